package proof

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// TestFindsBrokenStores: the proof finds each of these defects, some of which need
// a fault or a race to show. A check that passes all of them proves nothing.
func TestFindsBrokenStores(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(quota.Store) applies{
		"judges outside of the step that counts": judgesOutside,
		"forgets request ids":                    forgets,
		"does not count what is held":            ignoresHolds,
		"counts repetitions":                     countsRepetitions,
		"sends again what may have run":          sendsAgain,
		"says that nothing was done":             deniesDoubt,
		"answers from a copy":                    answersFromCopy,
		"judges by an outdated record":           ignoresVersion,
		"counts in two steps":                    splits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := firstSeed(t)
			for end := time.Now().Add(time.Minute); time.Now().Before(end); seed++ {
				if found := findIn(t, seed, func(s quota.Store) quota.Store { return broken{s, breaks(s)} }); found != nil {
					t.Log(found)
					return
				}
			}
			t.Errorf("a store that %s is not found out, up to seed %d", name, seed-1)
		})
	}
}

// findIn runs a round and returns what is found.
func findIn(t *testing.T, seed uint64, wrap func(quota.Store) quota.Store) (found error) {
	t.Helper()
	t.Run("round", func(t *testing.T) {
		w := newWorld(t, seed, wrap)
		w.load.apps, w.load.pace = w.load.apps[:1], 4*time.Millisecond // all meet
		w.breaker.calm = 400 * time.Millisecond
		chains := w.strain(t, 2*time.Second)
		_, found = judge(chains)
	})
	return found
}

// applies is a way to apply one transaction.
type applies func(ctx context.Context, t quota.Txn) quota.Outcome

// broken is a store that applies in another way than it should.
type broken struct {
	quota.Store

	apply applies
}

// Apply implements quota.Store.
func (b broken) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	for i := range txns {
		outcomes[i] = b.apply(ctx, txns[i])
	}
	return outcomes
}

// one applies a transaction as it should be.
func one(ctx context.Context, s quota.Store, t quota.Txn) quota.Outcome {
	return s.Apply(ctx, []quota.Txn{t})[0]
}

// fit reports whether all charges fit by what was found. byHeld: what is held
// counts.
func fit(t *quota.Txn, o *quota.Outcome, byHeld bool) bool {
	for i := range o.Charges {
		for k, used := range o.Charges[i].Used {
			if byHeld && k < len(o.Charges[i].Held) {
				used += o.Charges[i].Held[k]
			}
			if !t.Charges[i].Limit.Allows(used, o.Charges[i].Delta) {
				return false
			}
		}
	}
	return true
}

func judgesOutside(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		if t.Mode != quota.ModeConsume {
			return one(ctx, s, t)
		}
		t.Mode = quota.ModeJudge
		o := one(ctx, s, t)
		if o.Err != nil || o.Replayed || !fit(&t, &o, true) {
			return o
		}
		pass(time.Millisecond) // for others to come between, as they would on a busier machine
		t.Mode = quota.ModeForce
		return one(ctx, s, t)
	}
}

func forgets(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		t.Request = quota.RequestKey{}
		return one(ctx, s, t)
	}
}

func ignoresHolds(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		if t.Mode != quota.ModeConsume {
			return one(ctx, s, t)
		}
		o := one(ctx, s, t)
		if o.Err != nil || o.Applied || o.Replayed || !fit(&t, &o, false) {
			return o
		}
		t.Mode = quota.ModeForce
		return one(ctx, s, t)
	}
}

func countsRepetitions(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		o := one(ctx, s, t)
		if o.Replayed && t.Mode == quota.ModeConsume && t.Hold.Op == quota.HoldNone {
			again := t
			again.Request = quota.RequestKey{}
			_ = one(ctx, s, again)
		}
		return o
	}
}

func sendsAgain(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		o := one(ctx, s, t)
		var f *account.Fault
		if errors.As(o.Err, &f) && f.Reason == account.OutcomeUnknown && t.Hold.Op == quota.HoldNone {
			t.Request = quota.RequestKey{}
			return one(context.WithoutCancel(ctx), s, t)
		}
		return o
	}
}

func deniesDoubt(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		o := one(ctx, s, t)
		var f *account.Fault
		if errors.As(o.Err, &f) && f.Reason == account.OutcomeUnknown {
			o.Err = &account.Fault{Reason: account.StoreUnavailable}
		}
		return o
	}
}

func answersFromCopy(s quota.Store) applies {
	type copied struct {
		outcome quota.Outcome
		at      time.Time
	}
	type key struct {
		app     uint32
		version account.Version
		quota   string
		subject string
	}
	var mu sync.Mutex
	copies := make(map[key]copied)
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		if t.Mode != quota.ModeJudge || len(t.Charges) != 1 || t.Hold.Op != quota.HoldNone || t.Charges[0].Delta != 0 {
			return one(ctx, s, t)
		}
		k := key{t.App, t.Version, t.Charges[0].Quota, strings.Join(t.Charges[0].Subjects, "")}
		mu.Lock()
		defer mu.Unlock()
		if c, ok := copies[k]; ok && time.Since(c.at) < time.Second {
			return c.outcome
		}
		o := one(ctx, s, t)
		if o.Err == nil {
			copies[k] = copied{o, time.Now()}
		}
		return o
	}
}

func ignoresVersion(s quota.Store) applies {
	registry, _ := s.(account.Registry)
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		o := one(ctx, s, t)
		if errors.Is(o.Err, quota.ErrStale) {
			if app, err := registry.App(ctx, t.App); err == nil {
				t.Version = app.Version
				return one(ctx, s, t)
			}
		}
		return o
	}
}

func splits(s quota.Store) applies {
	return func(ctx context.Context, t quota.Txn) quota.Outcome {
		if t.Mode != quota.ModeConsume || len(t.Charges) != 2 || t.Users.Op != quota.UsersNone || t.Group.Op != quota.GroupNone {
			return one(ctx, s, t)
		}
		first, second := t, t
		first.Charges, second.Charges = t.Charges[:1], t.Charges[1:]
		o := one(ctx, s, first)
		if o.Err != nil || !o.Applied {
			return one(ctx, s, t)
		}
		second.Request = quota.RequestKey{}
		then := one(ctx, s, second)
		o.Err = then.Err
		o.Applied = then.Applied
		o.Charges = append(o.Charges, then.Charges...)
		return o
	}
}
