package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

func wantDurability(t testing.TB, o quota.Outcome, want quota.Durability) {
	t.Helper()
	if o.Err != nil || !o.Applied || o.Durability != want {
		t.Errorf("applied %v, durability %d, error %v; want applied with durability %d", o.Applied, o.Durability, o.Err, want)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	primary := redistest.Standalone(t, "--repl-diskless-sync-delay", "0")
	url := "redis://" + primary.Addr
	unwaiting := initialized(t, url)
	app, other := newApp(t, unwaiting, 1), newApp(t, unwaiting, 2)
	s := open(t, url+"?wait=1&timeout=10s&wait_timeout=5s") // a busy machine replicates late
	impatient := open(t, url+"?wait=1&wait_timeout=200ms")
	count := func(s *Store) quota.Outcome { return applyOne(t.Context(), s, txnOf(app, add("users", 1))) }
	wantDurability(t, count(impatient), quota.DurabilityPrimary) // there is no replica
	replica := primary.Replica()
	wantDurability(t, count(s), quota.DurabilityReplicated)
	for _, o := range s.Apply(t.Context(), []quota.Txn{txnOf(app, add("users", 1)), txnOf(other, add("users", 1))}) {
		wantDurability(t, o, quota.DurabilityReplicated)
	}
	wantDurability(t, count(unwaiting), quota.DurabilityPrimary)
	wantDurability(t, count(open(t, "redis://"+primary.Addr+"?wait=2&wait_timeout=50ms")), quota.DurabilityPrimary)

	client := primary.Client()
	update := func() {
		t.Helper()
		if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	update() // the script is loaded
	client.ConfigResetStat(t.Context())
	if got := used(t, s, app, "users"); got != 5 {
		t.Errorf("counted %d, want 5", got)
	}
	if n := calls(t, client, "wait"); n != 0 {
		t.Errorf("a judgement waited %d times", n)
	}
	update()
	if n := calls(t, client, "wait"); n != 1 {
		t.Errorf("a change of a record waited %d times, want once", n)
	}

	replica.Pause()
	defer replica.Resume()
	begun := time.Now()
	wantDurability(t, count(impatient), quota.DurabilityPrimary)
	if took := time.Since(begun); took < 150*time.Millisecond || took > 900*time.Millisecond {
		t.Errorf("waited %v for a replica that is stuck, want about 200ms", took)
	}
}

// TestWaitOfHurriedCaller: a caller with less time than replicas have is
// answered in its time.
func TestWaitOfHurriedCaller(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	app := newApp(t, initialized(t, "redis://"+server.Addr), 1)
	s := open(t, "redis://"+server.Addr+"?wait=1&wait_timeout=20s&timeout=30s")
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	wantDurability(t, applyOne(ctx, s, txnOf(app, add("users", 1))), quota.DurabilityPrimary)
	if ctx.Err() != nil {
		t.Error("the answer came when the caller's time was up")
	}
}

// TestWaitOfHurriedCallerAmongOthers: nor do others who have time make it late.
func TestWaitOfHurriedCallerAmongOthers(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	_ = initialized(t, "redis://"+server.Addr)
	s := open(t, "redis://"+server.Addr+"?wait=1&wait_timeout=20s&timeout=30s")
	app := newApp(t, open(t, "redis://"+server.Addr), 1)
	holdingFlights(s)
	q := &queueing{t: t, s: s, gate: newGate(s)}
	for range flights {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.wait.Go(func() { applyOne(ctx, s, txnOf(app, add("busy", 1))) })
		<-q.gate.came
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	hurried, patient := q.bring(ctx, txnOf(app, add("users", 1))), q.bring(t.Context(), txnOf(app, add("users", 1)))
	close(q.gate.open)
	wantDurability(t, (<-hurried)[0], quota.DurabilityPrimary)
	wantDurability(t, (<-patient)[0], quota.DurabilityPrimary)
	q.leave()
}

// TestLostWait: the script's reply came, that of WAIT did not.
func TestLostWait(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	proxy := redistest.NewProxy(t, server.Addr)
	s := initialized(t, "redis://"+proxy.Addr+"?wait=1&wait_timeout=400ms&timeout=2s&pool_size=1")
	app := newApp(t, open(t, "redis://"+server.Addr), 1)
	count := func() quota.Outcome { return applyOne(t.Context(), s, txnOf(app, add("users", 1))) }
	mustApply(t, s, txnOf(app, add("users", 1)))
	answered := make(chan quota.Outcome)
	go func() { answered <- count() }()
	client := server.Client()
	eventually(t, 5*time.Second, "the script to have run", func() error {
		if used(t, open(t, "redis://"+server.Addr), app, "users") == 2 && blocked(t, client) {
			return nil
		}
		return errors.New("not yet")
	})
	proxy.Cut()
	wantDurability(t, <-answered, quota.DurabilityPrimary)
	if got := used(t, s, app, "users"); got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
	mustApply(t, s, txnOf(app, add("users", 1)))
	// All replies lost: nobody knows.
	proxy.DropReplyTo("fcall")
	wantReason(t, count().Err, account.OutcomeUnknown)
	if got := used(t, s, app, "users"); got != 4 {
		t.Errorf("counted %d, want 4: once, whatever was lost", got)
	}
}

// TestWaitInCluster: WAIT goes where the app is, and where it moves.
func TestWaitInCluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 2, 1)
	s := initialized(t, "redis+cluster://"+c.Nodes[0].Addr+"?wait=1&wait_timeout=400ms")
	var apps []*account.App
	var txns []quota.Txn
	for id := range uint32(16) {
		app := newApp(t, s, id+1)
		apps, txns = append(apps, app), append(txns, txnOf(app, add("users", 1)))
	}
	for range 2 {
		for _, o := range s.Apply(t.Context(), txns) {
			wantDurability(t, o, quota.DurabilityReplicated)
		}
	}
	for _, way := range []string{"as a script", "as a function"} {
		forms[way](s)
		for _, n := range c.Primaries(t) {
			flush(t, n.Client())
		}
		wantDurability(t, applyOne(t.Context(), s, txns[0]), quota.DurabilityReplicated)
	}

	from, slot := c.Owner(t, s.headerKey(apps[0].ID))
	move := c.BeginMove(t, slot, from, otherThan(c.Primaries(t), from))
	for move.MoveKeys(100) > 0 {
	}
	wantDurability(t, applyOne(t.Context(), s, txns[0]), quota.DurabilityPrimary) // only the cluster's client follows an ASK
	move.Finish()
	wantDurability(t, applyOne(t.Context(), s, txns[0]), quota.DurabilityReplicated)
	for i, app := range apps {
		want := int64(2)
		if i == 0 {
			want = 6
		}
		if got := used(t, s, app, "users"); got != want {
			t.Errorf("app %d: counted %d, want %d", app.ID, got, want)
		}
	}
}

// TestNothingReplicatedIsLost: the primary dies under load, and its replica has
// all that was answered as replicated.
func TestNothingReplicatedIsLost(t *testing.T) {
	t.Parallel()
	const workers, each, before = 8, 60, 200
	servers := redistest.Sentinel(t)
	redisDo(t, servers.Primary, "CONFIG", "SET", "min-replicas-to-write", "1")
	s := initialized(t, "redis+sentinel://"+strings.Join(servers.Addrs, ",")+"/"+servers.MasterName+"?wait=1&wait_timeout=300ms")
	app := newApp(t, s, 1)
	requestTxn := func(worker, i int) quota.Txn {
		txn := txnOf(app, add("users", 1))
		txn.Request = requestOf(fmt.Sprint(worker, " ", i))
		return txn
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var replicated [workers][each]bool
	var acknowledged, unknown atomic.Int64
	enough := make(chan struct{})
	var load sync.WaitGroup
	for worker := range workers {
		load.Go(func() {
			for i := range each {
				for ctx.Err() == nil {
					o := applyOne(ctx, s, requestTxn(worker, i))
					if reasonOf(o.Err) == account.OutcomeUnknown {
						unknown.Add(1)
					}
					if o.Err != nil {
						rest(ctx, s.client, 20*time.Millisecond)
						continue
					}
					replicated[worker][i] = o.Durability == quota.DurabilityReplicated
					if replicated[worker][i] && acknowledged.Add(1) == before {
						close(enough)
					}
					break
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatal("the load is not answered")
	}
	servers.Primary.Kill()
	load.Wait()
	servers.Primary, servers.Replica = servers.Replica, servers.Primary
	servers.AwaitPrimary(t)
	// No replica is left to wait for.
	alone, again := open(t, "redis://"+servers.Primary.Addr), 0
	for worker := range workers {
		for i := range each {
			o := applyOne(ctx, alone, requestTxn(worker, i))
			switch {
			case o.Err != nil:
				t.Fatal(o.Err)
			case o.Replayed:
			case replicated[worker][i]:
				t.Errorf("request %d of worker %d was replicated, and is lost", i, worker)
			default:
				again++
			}
		}
	}
	if got := used(t, alone, app, "users"); got != workers*each {
		t.Errorf("counted %d, want %d: each id once", got, workers*each)
	}
	t.Logf("%d acknowledged as replicated, %d outcomes unknown, %d others lost and repeated", acknowledged.Load(), unknown.Load(), again)
}

// blocked reports whether a client of the server waits.
func blocked(t testing.TB, client *redis.Client) bool {
	t.Helper()
	info, err := client.Info(t.Context(), "clients").Result()
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(info, "blocked_clients:0\r\n")
}
