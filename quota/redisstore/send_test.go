package redisstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// throughProxy starts a server and a store that reaches it through a proxy.
func throughProxy(t *testing.T, options string) (*redistest.Server, *redistest.Proxy, *Store) {
	t.Helper()
	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr)
	return server, proxy, initialized(t, "redis://"+proxy.Addr+options)
}

func TestLostReplyIsCountedOnce(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "")
	testLostReply(t, proxy, s)
}

// A Cluster client by itself would send the command again.
func TestLostReplyOfClusterIsCountedOnce(t *testing.T) {
	t.Parallel()
	_, proxy := redistest.ClusterOfOne(t)
	s := initialized(t, "redis+cluster://"+proxy.Addr)
	testLostReply(t, proxy, s)
}

func testLostReply(t *testing.T, proxy *redistest.Proxy, s *Store) {
	t.Helper()
	app, other := newApp(t, s, 1), newApp(t, s, 2)
	mustApply(t, s, txnOf(app, add("users", 1)))
	mustApply(t, s, txnOf(app, add("users", 1)), txnOf(other, add("users", 1))) // pipelines have connections of their own
	for _, apps := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d apps", apps), func(t *testing.T) {
			txn := txnOf(app, add("users", 1))
			txn.Request = requestOf(fmt.Sprintf("request %d", apps))
			txns := []quota.Txn{txn, txnOf(other, add("users", 1))}[:apps]
			before := used(t, s, app, "users")

			proxy.DropReplyTo("fcall")
			o := s.Apply(t.Context(), txns)[0]
			wantReason(t, o.Err, account.OutcomeUnknown)
			var f *account.Fault
			if errors.As(o.Err, &f) && f.RetryAfter <= 0 {
				t.Error("the fault does not say when to retry")
			}
			o = applyOne(t.Context(), s, txn)
			if o.Err != nil || !o.Replayed || o.Applied {
				t.Errorf("the same request id answered %+v, want Replayed", o)
			}
			if got := used(t, s, app, "users"); got != before+1 {
				t.Errorf("users %d, want %d: counted once", got, before+1)
			}
		})
	}
}

func TestLostReplyOfRead(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "")
	newApp(t, s, 1)
	proxy.DropReplyTo("hmget")
	_, err := s.App(t.Context(), 1)
	wantReason(t, err, account.StoreUnavailable)
}

func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "?timeout=200ms")
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 1))) // the script is loaded
	proxy.HalfOpen()
	begun := time.Now()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.OutcomeUnknown)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("answered after %v, want about 200ms", took)
	}
	proxy.Pass()
	proxy.Cut()
	if got := used(t, s, app, "users"); got != 2 {
		t.Errorf("users %d, want 2: only the reply was lost", got)
	}
}

func TestPausedServer(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	url := "redis://" + server.Addr + "?timeout=200ms"
	s := initialized(t, url)
	app := newApp(t, s, 1)
	server.Pause()
	defer server.Resume()
	begun := time.Now()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.OutcomeUnknown)
	_, err := s.App(t.Context(), 1)
	wantReason(t, err, account.StoreUnavailable)
	// One that knows nothing of the server yet waits for its first probe.
	_, err = open(t, url).App(t.Context(), 1)
	wantReason(t, err, account.StoreUnavailable)
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("three answers took %v, want about 200ms each", took)
	}
}

// TestDownForManyApps shows that a refused connection is tried again for a
// second in all, not for each app.
func TestDownForManyApps(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	var txns []quota.Txn
	for id := range uint32(20) {
		txns = append(txns, txnOf(newApp(t, s, id+1), add("users", 1)))
	}
	server.Kill()
	begun := time.Now()
	for _, o := range s.Apply(t.Context(), txns) {
		wantReason(t, o.Err, account.StoreUnavailable)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("answered after %v, want about a second", took)
	}
}

func TestRefusedConnectionIsTriedAgain(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 1)))
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	answered := make(chan quota.Outcome)
	go func() { answered <- applyOne(context.WithoutCancel(t.Context()), s, txnOf(app, add("users", 1))) }()
	server.Restart()
	if o := <-answered; o.Err != nil {
		t.Error(o.Err)
	}
	if got := used(t, s, app, "users"); got != 2 {
		t.Errorf("users %d, want 2", got)
	}
}

func TestBecameReplica(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	redisDo(t, server, "REPLICAOF", "127.0.0.1", "1")
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreReadOnly)
	redisDo(t, server, "REPLICAOF", "NO", "ONE")
	if got := used(t, s, app, "users"); got != 0 {
		t.Errorf("users %d, want 0", got)
	}
}

func TestFullServer(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	group := txnOf(app, add("groups", 1))
	group.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "g", Type: 'p', Day: 3}
	login := txnOf(app, add("users", 1))
	login.Users = quota.UserStep{Op: quota.UsersRegister, IDs: []string{"alice"}}
	mustApply(t, s, group, login, txnOf(app, add("friends", 5)))
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "1")

	dissolve := txnOf(app, add("groups", -1))
	dissolve.Group = quota.GroupStep{Op: quota.GroupDissolve, ID: "g"}
	judge := txnOf(app, add("friends", 1))
	judge.Mode = quota.ModeJudge
	login.Users.IDs = []string{"bob"}
	tests := []struct {
		name string
		txns []quota.Txn
		want []account.FaultReason
	}{
		{"growth is refused", []quota.Txn{txnOf(app, add("friends", 1))}, []account.FaultReason{account.StoreOutOfMemory}},
		{"a new user is refused", []quota.Txn{login}, []account.FaultReason{account.StoreOutOfMemory}},
		{"a release works", []quota.Txn{txnOf(app, add("friends", -1))}, []account.FaultReason{""}},
		{"judging works", []quota.Txn{judge}, []account.FaultReason{""}},
		{
			"releases among growth work, in order",
			[]quota.Txn{txnOf(app, add("friends", -1)), txnOf(app, add("friends", 1)), dissolve, login, txnOf(app, add("friends", -1))},
			[]account.FaultReason{"", account.StoreOutOfMemory, "", account.StoreOutOfMemory, ""},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, o := range s.Apply(t.Context(), tt.txns) {
				wantReason(t, o.Err, tt.want[i])
			}
		})
	}
	for name, want := range map[string]int64{"friends": 2, "groups": 0, "users": 1} {
		if got := used(t, s, app, name); got != want {
			t.Errorf("%s %d, want %d", name, got, want)
		}
	}
	wantReason(t, s.CreateApp(t.Context(), ownedBy("acme", 2), account.Event{}, 10, false), account.StoreOutOfMemory)
}

func TestCallersTime(t *testing.T) {
	t.Parallel()
	server, proxy, s := throughProxy(t, "")
	app := newApp(t, s, 1)
	client := server.Client()
	t.Run("is up before the store is asked", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		for _, o := range s.Apply(ctx, []quota.Txn{txnOf(app, add("users", 1)), txnOf(app, add("users", 1))}) {
			wantReason(t, o.Err, account.CallerGone)
			if !errors.Is(o.Err, context.Canceled) {
				t.Errorf("%v does not say why", o.Err)
			}
		}
		_, err := s.App(ctx, 1)
		wantReason(t, err, account.CallerGone)
		if n := calls(t, client, "fcall") + calls(t, client, "hmget"); n != 0 {
			t.Errorf("%d commands were sent, want none", n)
		}
	})
	t.Run("is up during the call", func(t *testing.T) {
		proxy.HalfOpen()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		o := applyOne(ctx, s, txnOf(app, add("users", 1)))
		wantReason(t, o.Err, account.OutcomeUnknown)
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Errorf("answered after %v, want about 50ms", took)
		}
	})
	t.Run("is up while the store is down", func(t *testing.T) {
		proxy.Pass()
		proxy.Cut()
		server.Kill()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := s.App(ctx, 1)
		wantReason(t, err, account.StoreUnavailable)
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Errorf("answered after %v, want about 50ms", took)
		}
	})
}

func TestLimitHoldsUnderLostReplies(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "")
	app := newApp(t, s, 1)
	acknowledged := 0
	for i := range 30 {
		txn := txnOf(app, add("users", 1))
		txn.Charges[0].Limit = catalog.Max(20)
		txn.Request = requestOf(fmt.Sprintf("request %d", i))
		if i%3 == 0 {
			proxy.DropReplyTo("fcall")
		}
		o := applyOne(t.Context(), s, txn)
		if o.Err != nil {
			o = applyOne(t.Context(), s, txn)
		}
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if o.Applied || o.Replayed {
			acknowledged++
		}
	}
	if got := used(t, s, app, "users"); got != 20 || acknowledged != 20 {
		t.Errorf("counted %d, acknowledged %d, want 20", got, acknowledged)
	}
}
