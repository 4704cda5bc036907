package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

func TestReady(t *testing.T) {
	t.Parallel()
	primary := redistest.Standalone(t)
	tests := []struct {
		name string
		args []string
		harm func(t *testing.T, server *redistest.Server)
		want account.FaultReason
		says string
	}{
		{"healthy", nil, nil, "", ""},
		{"down", nil, func(_ *testing.T, server *redistest.Server) { server.Kill() }, account.StoreUnavailable, "cannot be reached"},
		{"a replica", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "REPLICAOF", "127.0.0.1", strings.TrimPrefix(primary.Addr, "127.0.0.1:"))
		}, account.StoreReadOnly, "is a replica"},
		{"evicting", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		}, account.StoreEvicting, "allkeys-lru"},
		{"never initialised", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "FLUSHALL")
		}, account.StoreNotInitialized, "store init"},
		{"of a newer format", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "HSET", "imq:store", "format", "99")
		}, account.StoreNotInitialized, `format "99"; this version of imquota knows format 2. A newer version made it: bring this one up to that`},
		{"of the layout that had an app's record in its header", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "HSET", "imq:store", "format", "1")
		}, account.StoreNotInitialized, "make a backup with that version (imquota store backup)"},
		{"marked by something else", nil, func(t *testing.T, server *redistest.Server) {
			redisDo(t, server, "SET", "imq:store", "text")
		}, account.UsageUnknown, "WRONGTYPE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t, tt.args...)
			app := newApp(t, s, 1)
			if tt.harm != nil {
				tt.harm(t, server)
			}
			err := s.Ready(t.Context())
			wantReason(t, err, tt.want)
			if tt.want == "" {
				return
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
			o := applyOne(t.Context(), s, txnOf(app, add("users", 1)))
			wantReason(t, o.Err, tt.want)
		})
	}
}

func redisDo(t *testing.T, server *redistest.Server, args ...any) {
	t.Helper()
	if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(args, err)
	}
}

// TestLoading shows a server that reads its data, which takes it a moment per
// key here.
func TestLoading(t *testing.T) {
	t.Parallel()
	server, s := standalone(t, "--enable-debug-command", "yes")
	newApp(t, s, 1)
	client := server.Client()
	redisDo(t, server, "DEBUG", "POPULATE", 20_000, "filler")
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.RestartWith("--dbfilename", "dump.rdb", "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
	err := s.Ready(t.Context())
	wantReason(t, err, account.StoreUnavailable)
	if err == nil || !strings.Contains(err.Error(), "loading") {
		t.Errorf("%v does not say that it is loading", err)
	}
	_, err = s.App(t.Context(), 1)
	wantReason(t, err, account.StoreUnavailable)
}

// TestLostEverything empties a server under a running store, which must not
// take its apps for unknown ones or their counters for zero.
func TestLostEverything(t *testing.T) {
	t.Parallel()
	for _, probed := range []bool{false, true} {
		t.Run(map[bool]string{false: "before a probe", true: "after a probe"}[probed], func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t)
			app := newApp(t, s, 1)
			mustApply(t, s, txnOf(app, add("users", 5)))
			redisDo(t, server, "FLUSHALL")
			if probed {
				wantReason(t, s.Ready(t.Context()), account.StoreNotInitialized)
			}
			o := applyOne(t.Context(), s, txnOf(app, add("users", 1)))
			if probed {
				wantReason(t, o.Err, account.StoreNotInitialized)
			} else if !errors.Is(o.Err, quota.ErrStale) { // which makes the caller read the app
				t.Errorf("answered %v, want %v", o.Err, quota.ErrStale)
			}
			_, err := s.App(t.Context(), 1)
			wantReason(t, err, account.StoreNotInitialized)
			wantReason(t, s.UpdateApp(t.Context(), app, account.Event{}), account.StoreNotInitialized)
			o = applyOne(t.Context(), s, txnOf(app, add("users", 1)))
			wantReason(t, o.Err, account.StoreNotInitialized)
		})
	}
	t.Run("of one app", func(t *testing.T) {
		t.Parallel()
		server, s := standalone(t)
		app := newApp(t, s, 1)
		redisDo(t, server, "DEL", s.headerKey(1))
		if o := applyOne(t.Context(), s, txnOf(app, add("users", 1))); !errors.Is(o.Err, quota.ErrStale) {
			t.Errorf("answered %v, want %v", o.Err, quota.ErrStale)
		}
		if _, err := s.App(t.Context(), 1); !errors.Is(err, account.ErrUsageUnknown) {
			t.Errorf("answered %v, want %v", err, account.ErrUsageUnknown)
		}
	})
}

// TestLostNode empties one node of a cluster: of an app whose record and whose
// place in the directory lay there nothing is left, but it is not unknown.
func TestLostNode(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	newApp(t, s, 1)
	redisDo(t, server, "DEL", s.headerKey(1), s.directoryKey(1))
	if _, _, err := s.Init(t.Context(), false); err != nil { // repairs nothing
		t.Fatal(err)
	}
	for _, id := range []uint32{1, 1 + directories} {
		if _, err := s.App(t.Context(), id); !errors.Is(err, account.ErrUsageUnknown) {
			t.Errorf("app %d: answered %v, want %v", id, err, account.ErrUsageUnknown)
		}
	}
	if _, err := s.App(t.Context(), 2); !errors.Is(err, account.ErrAppNotFound) {
		t.Errorf("an app of another directory: answered %v, want %v", err, account.ErrAppNotFound)
	}
	app := &account.App{ID: 1, Account: "acme", FanoutBits: 14}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 10, false); !errors.Is(err, account.ErrUsageUnknown) {
		t.Errorf("creating it answered %v, want %v", err, account.ErrUsageUnknown)
	}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 10, true); err != nil {
		t.Errorf("creating it with the loss accepted: %v", err)
	}
}

func TestRecoversAfterRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	s := openProbing(t, "redis://"+server.Addr, 50*time.Millisecond)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 5)))
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
	server.Restart()
	eventually(t, time.Second, "the store to answer", func() error {
		return applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err
	})
	if got := used(t, s, app, "users"); got != 6 {
		t.Errorf("users %d, want 6: the refused call wrote nothing, the other one did", got)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInitDrawsOneID(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	const callers = 8
	var ids [callers]string
	var created [callers]bool
	var all sync.WaitGroup
	for i := range callers {
		s := open(t, "redis://"+server.Addr)
		all.Go(func() {
			var err error
			if ids[i], created[i], err = s.Init(context.WithoutCancel(t.Context()), false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	draws := 0
	for i := range callers {
		if ids[i] != ids[0] || ids[i] == "" {
			t.Errorf("ids %q and %q", ids[0], ids[i])
		}
		if created[i] {
			draws++
		}
	}
	if draws != 1 {
		t.Errorf("%d callers drew the id, want one", draws)
	}
	again, fresh, err := open(t, "redis://"+server.Addr).Init(t.Context(), false)
	if err != nil || fresh || again != ids[0] {
		t.Errorf("Init again answered %q, %v, %v; want %q, false", again, fresh, err, ids[0])
	}
}

func TestInitRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	s := open(t, "redis://"+server.Addr)
	redisDo(t, server, "HSET", "imq:store", "id", "abc", "format", "99")
	_, _, err := s.Init(t.Context(), false)
	wantReason(t, err, account.StoreNotInitialized)
	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	_, _, err = s.Init(t.Context(), false)
	wantReason(t, err, account.StoreEvicting)
}

// TestClockSkew: a sidecar whose clock is far from the store's would take every
// app to windows that have not begun, or hold it in ones that are over.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	server, _ := standalone(t)
	one, _ := redistest.ClusterOfOne(t)
	for name, url := range map[string]string{"standalone": "redis://" + server.Addr, "cluster": "redis+cluster://" + one.Addr} {
		initialized(t, url)
		for _, tt := range []struct {
			off    time.Duration
			option string
			want   account.FaultReason
			says   string
		}{
			{0, "", "", ""},
			{defaultSkew - 2*time.Second, "", "", ""},
			{-defaultSkew + 2*time.Second, "", "", ""},
			{defaultSkew + 2*time.Second, "", account.ClockSkew, "behind"},
			{-defaultSkew - 2*time.Second, "", account.ClockSkew, "ahead"},
			{50 * time.Second, "?max_clock_skew=1m", "", ""},
			{70 * time.Second, "?max_clock_skew=1m", account.ClockSkew, "behind"},
			{-48 * time.Hour, "?max_clock_skew=0", "", ""},
		} {
			t.Run(name+" "+tt.off.String()+tt.option, func(t *testing.T) {
				t.Parallel()
				s, err := Open(t.Context(), url+tt.option, Options{ProbeEvery: time.Hour, Now: func() time.Time { return time.Now().Add(tt.off) }})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				err = s.Ready(t.Context())
				wantReason(t, err, tt.want)
				if tt.want == "" {
					return
				}
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v does not say %q", err, tt.says)
				}
				_, err = s.App(t.Context(), 1)
				wantReason(t, err, tt.want)
			})
		}
	}
}

// TestClockThatJumps: between two probes the script itself refuses what a clock
// far ahead asks for. An app's clock never runs backwards, so that one such step
// would take the app to a later month for all sidecars, and for good.
func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 7)
	for _, tt := range []struct {
		name, option string
		off          time.Duration
		want         account.FaultReason
	}{
		{"as far as it may be", "", defaultSkew - 2*time.Second, ""},
		{"days behind", "", -48 * time.Hour, ""},
		{"ahead", "", defaultSkew + 2*time.Second, account.ClockSkew},
		{"months ahead", "", 60 * 24 * time.Hour, account.ClockSkew},
		{"as far as the URL allows", "?max_clock_skew=1m", 50 * time.Second, ""},
		{"further than the URL allows", "?max_clock_skew=1m", 70 * time.Second, account.ClockSkew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jumped, err := Open(t.Context(), "redis://"+server.Addr+tt.option, Options{ProbeEvery: time.Hour, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			defer jumped.Close()
			for _, mode := range []quota.TxnMode{quota.ModeJudge, quota.ModeConsume, quota.ModeForce} {
				txn := txnOf(app, add("users", 1))
				txn.Mode, txn.Now = mode, time.Now().Add(tt.off)
				wantReason(t, applyOne(t.Context(), jumped, txn).Err, tt.want)
			}
		})
	}
	clock, err := server.Client().HGet(t.Context(), s.headerKey(app.ID), "c").Int64()
	if err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(time.UnixMilli(clock)); ahead > time.Minute {
		t.Errorf("the app's clock is %v ahead", ahead)
	}
}

// TestProbeThatIsNotPermitted: a server that does not let the probe look may be
// evicting, and is not trusted.
func TestProbeThatIsNotPermitted(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 7)
	redisDo(t, server, "ACL", "SETUSER", "quotas", "on", ">s3cret", "~*", "+@all", "-@dangerous")
	limited := open(t, "redis://quotas:s3cret@"+server.Addr)
	wantReason(t, limited.Ready(t.Context()), account.StoreUnavailable)
	wantReason(t, applyOne(t.Context(), limited, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
	_, err := limited.App(t.Context(), app.ID)
	wantReason(t, err, account.StoreUnavailable)
	redisDo(t, server, "ACL", "SETUSER", "quotas", "+info")
	if err := limited.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustApply(t, limited, txnOf(app, add("users", 1)))
	if got := used(t, s, app, "users"); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
}

// TestAwayFromTheStart: a store that was never looked at is not used unseen
// when it appears.
func TestAwayFromTheStart(t *testing.T) {
	t.Parallel()
	server, first := standalone(t, "--maxmemory", "100mb")
	app := newApp(t, first, 7)
	proxy := redistest.NewProxy(t, server.Addr)
	proxy.Reject()
	s := openWith(t, "redis://"+proxy.Addr, Options{ProbeEvery: time.Hour, AwayEvery: time.Hour})
	wantReason(t, s.Ready(t.Context()), account.StoreUnavailable)
	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	proxy.Pass()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
	wantReason(t, s.Ready(t.Context()), account.StoreEvicting)
	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reject()
	wantReason(t, s.Ready(t.Context()), account.StoreUnavailable)
	proxy.Pass()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable) // the probe finds out first
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, txnOf(app, add("users", 1)))

	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	wantReason(t, s.Ready(t.Context()), account.StoreEvicting)
	proxy.Reject()
	wantReason(t, s.Ready(t.Context()), account.StoreUnavailable)
	proxy.Pass()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
}
