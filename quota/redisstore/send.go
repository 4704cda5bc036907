package redisstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// A command that was sent and not answered may have run. Only what provably
// did not run is sent again; everything else is reported.

// verdict is what an error says about the command.
type verdict uint8

const (
	ran      verdict = iota // it was answered, or it may have run
	notSent                 // no connection carried it
	refused                 // the server refused it before running it
	noScript                // the server does not know the script
	moved                   // another node has the keys
	moving                  // the keys are on their way to another node
)

// refusals are the errors by which a server refuses a command unrun, and the
// reason that is told if they last.
var refusals = []struct {
	prefix  string
	verdict verdict
	reason  account.FaultReason
}{
	{"NOSCRIPT", noScript, account.StoreUnavailable},
	{"MOVED ", moved, account.SlotMoving},
	{"ASK ", moving, account.SlotMoving},
	{"TRYAGAIN", moving, account.SlotMoving},
	{"LOADING", refused, account.StoreUnavailable},
	{"CLUSTERDOWN", refused, account.StoreUnavailable},
	{"MASTERDOWN", refused, account.StoreUnavailable},
	{"NOREPLICAS", refused, account.StoreUnavailable},
	{"READONLY", refused, account.StoreReadOnly},
	{"MISCONF", refused, account.StoreReadOnly},
	{"ERR max number of clients", refused, account.StoreUnavailable},
	{"OOM ", refused, account.StoreOutOfMemory},
	{"NOAUTH", refused, account.StoreUnavailable},
	{"WRONGPASS", refused, account.StoreUnavailable},
	{"NOPERM", refused, account.StoreUnavailable},
}

// final are refusals that trying again within the call does not change.
var final = map[account.FaultReason]bool{account.StoreOutOfMemory: true}

func judge(err error) (verdict, account.FaultReason) {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial",
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed):
		return notSent, account.StoreUnavailable
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		for _, r := range refusals {
			if strings.HasPrefix(reply.Error(), r.prefix) {
				return r.verdict, r.reason
			}
		}
		return ran, account.OutcomeUnknown
	}
	if text := err.Error(); strings.Contains(text, "all sentinels") || strings.Contains(text, "cluster has no nodes") || strings.Contains(text, "cannot load cluster slots") {
		return notSent, account.StoreUnavailable
	}
	return ran, account.OutcomeUnknown
}

// How long a refused command is tried again, and at what pace.
const (
	retryFor   = time.Second
	retryFirst = 5 * time.Millisecond
	retryMost  = 100 * time.Millisecond
	retryHint  = 200 * time.Millisecond
)

// send runs a command until the server has run it, or until its time is up.
// run must carry its own result out; load makes a script known.
func (s *Store) send(ctx context.Context, writes bool, run func(ctx context.Context) error, load func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return gone(err)
	}
	if err := s.trusted(ctx); err != nil {
		return err
	}
	deadline, pause := time.Now().Add(retryFor), retryFirst
	for {
		err := run(ctx)
		if err == nil {
			return nil
		}
		v, reason := judge(err)
		if v == noScript && load != nil {
			if loadErr := load(ctx); loadErr == nil {
				continue
			}
		}
		if v == ran || final[reason] || time.Now().After(deadline) || s.wait(ctx, v, pause) != nil {
			return s.faultOf(err, writes)
		}
		pause = min(2*pause, retryMost)
	}
}

// wait pauses before a command is sent again, and follows keys that moved.
func (s *Store) wait(ctx context.Context, v verdict, pause time.Duration) error {
	if cluster, ok := s.client.(*redis.ClusterClient); ok && v != notSent {
		cluster.ReloadState(ctx)
		if v == moved {
			pause = retryFirst
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func gone(err error) *account.Fault {
	return &account.Fault{Reason: account.CallerGone, Detail: "the caller's time was up before the store was asked", Err: err}
}

// faultOf makes a fault of the error that a command ended with. When it writes
// and may have run, its outcome is unknown.
func (s *Store) faultOf(err error, writes bool) *account.Fault {
	var f *account.Fault
	if errors.As(err, &f) {
		return f
	}
	v, reason := judge(err)
	f = &account.Fault{Reason: reason, Err: err, RetryAfter: retryHint}
	switch {
	case v == ran && writes:
		f.Detail = s.target.String() + " did not answer: the request may have been counted; repeat it with the same request id"
	case v == ran:
		f.Reason = account.StoreUnavailable
		f.Detail = s.target.String() + " did not answer"
	case reason == account.SlotMoving:
		f.Detail = "the app's keys are moving between nodes of " + s.target.String()
	case reason == account.StoreReadOnly:
		f.Detail = s.target.String() + " refuses writes"
	case reason == account.StoreOutOfMemory:
		f.Detail = s.target.String() + " is out of memory; releases still work"
	default:
		f.Detail = s.target.String() + " cannot be reached: " + err.Error()
	}
	return f
}
