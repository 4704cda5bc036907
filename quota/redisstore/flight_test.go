package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/gather"
	"github.com/imquota/imquota/quota"
	"github.com/redis/go-redis/v9"
)

// gate has calls of scripts wait until it is opened, or each for a permit.
type gate struct {
	came    chan struct{} // one for each call
	permits chan struct{}
	open    chan struct{}
}

func newGate(s *Store) *gate {
	g := &gate{came: make(chan struct{}, 100), permits: make(chan struct{}), open: make(chan struct{})}
	s.client.AddHook(g)
	return g
}

func (g *gate) pass(ctx context.Context, cmds ...redis.Cmder) {
	for _, c := range cmds {
		if c.Name() == "fcall" || strings.HasPrefix(c.Name(), "eval") {
			g.came <- struct{}{}
			select {
			case <-g.open:
			case <-g.permits:
			case <-ctx.Done():
			}
			return
		}
	}
}

func (*gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		g.pass(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.pass(ctx, cmds...)
		return next(ctx, cmds)
	}
}

// queueing is callers of a store whose flights are all under way.
type queueing struct {
	t    *testing.T
	s    *Store
	gate *gate
	wait sync.WaitGroup
}

// flights are as many as are under way in these tests, however long they take.
const flights = 2

// holdingFlights has a store send no more than that.
func holdingFlights(s *Store) {
	few := limits
	few.Flights, few.More = flights, 0
	s.queue = gather.New(few, s.fly)
}

// allUnderWay has all flights of a store under way for an app that is not looked at.
func allUnderWay(t *testing.T, s *Store) *queueing {
	t.Helper()
	holdingFlights(s)
	c := &queueing{t: t, s: s}
	busy := newApp(t, s, 9999)
	mustApply(t, s, txnOf(busy, add("busy", 1)), txnOf(busy, add("busy", -1))) // the scripts are loaded
	mustApply(t, s, txnOf(busy, add("busy", -1)))
	c.gate = newGate(s)
	for range flights {
		c.wait.Go(func() { applyOne(t.Context(), s, txnOf(busy, add("busy", 1))) })
		<-c.gate.came
	}
	t.Cleanup(c.leave)
	return c
}

// bring has a caller wait with transactions, and returns where the outcomes come.
func (c *queueing) bring(ctx context.Context, txns ...quota.Txn) <-chan []quota.Outcome {
	c.t.Helper()
	outcomes, before := make(chan []quota.Outcome, 1), c.s.queue.Waiting()
	c.wait.Go(func() { outcomes <- c.s.Apply(ctx, txns) })
	apps := make(map[uint32]bool)
	for i := range txns {
		apps[txns[i].App] = true
	}
	c.await(before + len(apps))
	return outcomes
}

// await waits until so many wait.
func (c *queueing) await(n int) {
	c.t.Helper()
	eventually(c.t, 5*time.Second, fmt.Sprintf("%d to wait", n), func() error {
		if got := c.s.queue.Waiting(); got != n {
			return fmt.Errorf("%d wait", got)
		}
		return nil
	})
}

// leave has the flights go on, and all callers be answered.
func (c *queueing) leave() {
	select {
	case <-c.gate.open:
	default:
		close(c.gate.open)
	}
	c.wait.Wait()
}

func wantUsed(t *testing.T, outcomes []quota.Outcome, want ...int64) {
	t.Helper()
	for i, o := range outcomes {
		if o.Err != nil || !o.Applied {
			t.Fatalf("transaction %d: applied %v, error %v", i, o.Applied, o.Err)
		}
		if got := o.Charges[0].Used[0]; got != want[i] {
			t.Errorf("transaction %d found %d, want %d", i, got, want[i])
		}
	}
}

func TestCallersGatherIntoOneScript(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	one, two := newApp(t, s, 1), newApp(t, s, 2)
	c := allUnderWay(t, s)
	var answers []<-chan []quota.Outcome
	limited := add("users", 1)
	limited.Limit = catalog.Max(20)
	for i := range 30 {
		app := one
		if i%3 == 0 {
			app = two
		}
		answers = append(answers, c.bring(t.Context(), txnOf(app, limited)))
	}
	batch := c.bring(t.Context(), txnOf(one, add("a", 1)), txnOf(one, add("a", 1)), txnOf(two, add("a", 1)))
	before := calls(t, server.Client(), "fcall")
	c.leave()
	if got := calls(t, server.Client(), "fcall") - before; got != flights+1 {
		t.Errorf("%d calls of the script, want %d and one for all who waited", got, flights)
	}
	wantUsed(t, <-batch, 0, 1, 0)
	allowed := make(map[int64]int)
	for _, answer := range answers {
		if o := (<-answer)[0]; o.Err != nil {
			t.Error(o.Err)
		} else if o.Applied {
			allowed[o.Charges[0].Used[0]]++
		}
	}
	if got := []int64{used(t, s, one, "users"), used(t, s, two, "users")}; got[0] != 20 || got[1] != 10 {
		t.Errorf("users %v, want all 10 of one app and 20 of the other, whose limit that is", got)
	}
	for n := range int64(20) {
		if want := map[bool]int{true: 2, false: 1}[n < 10]; allowed[n] != want {
			t.Errorf("%d found %d users, want %d", allowed[n], n, want)
		}
	}
}

func TestCallerWhoLeavesIsNotSent(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	c := allUnderWay(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gone := c.bring(ctx, txnOf(app, add("users", 1)))
	stays := c.bring(t.Context(), txnOf(app, add("users", 1)))
	cancel()
	c.await(1)
	c.leave()
	wantReason(t, (<-gone)[0].Err, account.CallerGone)
	wantUsed(t, <-stays, 0)
	if got := used(t, s, app, "users"); got != 1 {
		t.Errorf("users %d, want 1", got)
	}
}

// TestCallerWhoLeavesDuringTheFlight does not know what became of it, and the
// others are answered.
func TestCallerWhoLeavesDuringTheFlight(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	c := allUnderWay(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	left := c.bring(ctx, txnOf(app, add("users", 1)))
	stays := c.bring(t.Context(), txnOf(app, add("users", 1)))
	for range flights {
		c.gate.permits <- struct{}{}
	}
	<-c.gate.came // those who waited are under way
	cancel()
	wantReason(t, (<-left)[0].Err, account.OutcomeUnknown)
	c.leave()
	wantUsed(t, <-stays, 1)
}

func TestEachIsJudgedByItsOwnVersion(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	stale := *app
	stale.Version.Revision += 7
	c := allUnderWay(t, s)
	first := c.bring(t.Context(), txnOf(app, add("users", 1)))
	outdated := c.bring(t.Context(), txnOf(&stale, add("users", 1)))
	second := c.bring(t.Context(), txnOf(app, add("users", 1)))
	c.leave()
	if err := (<-outdated)[0].Err; !errors.Is(err, quota.ErrStale) {
		t.Errorf("error %v, want stale", err)
	}
	wantUsed(t, append(<-first, <-second...), 0, 1)
}

// TestInstantsFarApart shows that callers whose clocks differ share no stamp, and
// one total all the same.
func TestInstantsFarApart(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	c := allUnderWay(t, s)
	var answers []quota.Outcome
	var brought []<-chan []quota.Outcome
	for _, at := range []time.Duration{0, time.Minute, 300 * time.Millisecond} {
		txn := txnOf(app, add("users", 1))
		txn.Now = txn.Now.Add(at)
		txn.Request = requestOf(at.String())
		brought = append(brought, c.bring(t.Context(), txn))
	}
	c.leave()
	for _, b := range brought {
		answers = append(answers, (<-b)...)
	}
	var clocks []time.Duration
	total := int64(0)
	for _, o := range answers {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		clocks = append(clocks, o.Clock.Sub(monday))
		total += o.Charges[0].Used[0]
	}
	if diff := cmp.Diff([]time.Duration{300 * time.Millisecond, time.Minute, 300 * time.Millisecond}, clocks); diff != "" {
		t.Errorf("clocks (-want +got):\n%s", diff)
	}
	if total != 0+1+2 {
		t.Errorf("found %d together, want 0, 1 and 2", total)
	}
}

// TestWindowTurnsUnderAFlight: who was planned before midnight is planned anew, if
// one of after midnight shares the stamp.
func TestWindowTurnsUnderAFlight(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	c := allUnderWay(t, s)
	midnight := monday.Add(14 * time.Hour)
	before := txnOf(app, add("users", 1))
	before.Now, before.WindowEnd = midnight.Add(-time.Millisecond), midnight
	after := txnOf(app, add("users", 1))
	after.Now, after.WindowEnd = midnight, midnight.Add(24*time.Hour)
	early, late := c.bring(t.Context(), before), c.bring(t.Context(), after)
	c.leave()
	var passed *quota.WindowPassedError
	if err := (<-early)[0].Err; !errors.As(err, &passed) || !passed.Clock.Equal(midnight) {
		t.Errorf("error %v, want that the window passed at midnight", err)
	}
	wantUsed(t, <-late, 0)
}

// TestOneAppAmongManyIsDamaged shows that what is wrong with one app is told to
// those who ask for it.
func TestOneAppAmongManyIsDamaged(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	var apps []*account.App
	for id := range uint32(5) {
		apps = append(apps, newApp(t, s, id+1))
	}
	c := allUnderWay(t, s)
	client.HSet(t.Context(), s.headerKey(apps[0].ID), "c", "soon")
	client.Del(t.Context(), s.headerKey(apps[1].ID))
	client.Set(t.Context(), s.headerKey(apps[1].ID), "what", 0)
	client.HSet(t.Context(), s.appPrefix(apps[2].ID)+"c", "users", "many")
	var answers []<-chan []quota.Outcome
	for _, app := range apps {
		answers = append(answers, c.bring(t.Context(), txnOf(app, add("users", 1))), c.bring(t.Context(), txnOf(app, add("other", 1))))
	}
	c.leave()
	for i := range answers {
		o := (<-answers[i])[0]
		if i < 5 {
			wantReason(t, o.Err, account.UsageUnknown)
		} else if o.Err != nil || !o.Applied {
			t.Errorf("app %d: %+v", apps[i/2].ID, o)
		}
	}
}

// TestOneAppAmongManyIsForbidden: so is what this user may not do.
func TestOneAppAmongManyIsForbidden(t *testing.T) {
	t.Parallel()
	server, whole := standalone(t)
	one, two := newApp(t, whole, 1), newApp(t, whole, 2)
	newApp(t, whole, 9999)
	s := refusing(t, server, "imq:{1}*", "imq:{9999}*")
	holdingFlights(s)
	c := &queueing{t: t, s: s}
	busy := txnOf(one, add("busy", 1))
	mustApply(t, s, busy)
	c.gate = newGate(s)
	for range flights {
		c.wait.Go(func() { applyOne(t.Context(), s, busy) })
		<-c.gate.came
	}
	t.Cleanup(c.leave)
	may, mayNot := c.bring(t.Context(), txnOf(one, add("users", 1))), c.bring(t.Context(), txnOf(two, add("users", 1)))
	c.leave()
	wantUsed(t, <-may, 0)
	wantReason(t, (<-mayNot)[0].Err, account.StoreUnavailable) // it is tried again for a while
	if got := used(t, whole, two, "users"); got != 0 {
		t.Errorf("users %d, want 0", got)
	}
}

// TestFullRedisTakesWhatIsReleased, whoever it was gathered with.
func TestFullRedisTakesWhatIsReleased(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 5)))
	c := allUnderWay(t, s)
	grows := c.bring(t.Context(), txnOf(app, add("users", 1)))
	shrinks := c.bring(t.Context(), txnOf(app, add("users", -1)))
	both := c.bring(t.Context(), txnOf(app, add("users", 1)), txnOf(app, add("users", -1)))
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "1")
	c.leave()
	wantReason(t, (<-grows)[0].Err, account.StoreOutOfMemory)
	mixed := <-both
	wantReason(t, mixed[0].Err, account.StoreOutOfMemory)
	for _, o := range []quota.Outcome{(<-shrinks)[0], mixed[1]} {
		if o.Err != nil || !o.Applied {
			t.Errorf("a release: %+v", o)
		}
	}
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "0")
	if got := used(t, s, app, "users"); got != 3 {
		t.Errorf("users %d, want 3", got)
	}
}

// TestGatheredUnderFlush: the script's text, or its library, is sent for all of them.
func TestGatheredUnderFlush(t *testing.T) {
	t.Parallel()
	for way, run := range forms {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t)
			run(s)
			app := newApp(t, s, 1)
			c := allUnderWay(t, s)
			answers := []<-chan []quota.Outcome{c.bring(t.Context(), txnOf(app, add("users", 1))), c.bring(t.Context(), txnOf(app, add("users", 1)))}
			flush(t, server.Client())
			c.leave()
			wantUsed(t, append(<-answers[0], <-answers[1]...), 0, 1)
		})
	}
}

// TestManyCallers counts exactly, whoever shares a flight with whom.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	apps := []*account.App{newApp(t, s, 1), newApp(t, s, 2), newApp(t, s, 3)}
	const callers, each, limit = 64, 40, 700
	var wait sync.WaitGroup
	var mu sync.Mutex
	applied, seen := make(map[uint32]int64), make(map[string]bool)
	before := calls(t, server.Client(), "fcall")
	for i := range callers {
		wait.Go(func() {
			for k := range each {
				app := apps[(i+k)%len(apps)]
				charge := add("users", 1)
				charge.Limit = catalog.Max(limit)
				txns := []quota.Txn{txnOf(app, charge, addEach("friends", 1, fmt.Sprint("user", k)))}
				if k%5 == 0 {
					other := apps[(i+k+1)%len(apps)]
					txns = append(txns, txnOf(other, charge))
				}
				for n, o := range s.Apply(t.Context(), txns) {
					if o.Err != nil {
						t.Error(o.Err)
						return
					}
					if !o.Applied {
						continue
					}
					place := fmt.Sprint(txns[n].App, " ", o.Charges[0].Used[0])
					mu.Lock()
					if applied[txns[n].App]++; seen[place] {
						t.Errorf("two transactions found %s", place)
					}
					seen[place] = true
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	for _, app := range apps {
		if got := used(t, s, app, "users"); got != limit || applied[app.ID] != limit {
			t.Errorf("app %d: users %d, applied %d, want %d", app.ID, got, applied[app.ID], limit)
		}
	}
	if got := calls(t, server.Client(), "fcall") - before; got > callers*each/2 {
		t.Errorf("%d calls of the script for %d of Apply: they do not gather", got, callers*each)
	}
}

// TestFlightIsOverWithTheLastOfItsCallers: and not when one of them leaves.
func TestFlightIsOverWithTheLastOfItsCallers(t *testing.T) {
	t.Parallel()
	until := func(ends time.Time) *gather.Item[*parcel] {
		ctx, cancel := context.WithDeadline(t.Context(), ends)
		t.Cleanup(cancel)
		return &gather.Item[*parcel]{Value: &parcel{ctx: ctx}}
	}
	now := time.Now()
	over, soon, late := until(now.Add(-time.Second)), until(now.Add(time.Minute)), until(now.Add(time.Hour))
	flight := flightContext([]*gather.Item[*parcel]{soon, late, over})
	if ends, ok := flight.Deadline(); !ok || !ends.Equal(now.Add(time.Hour)) || flight.Err() != nil {
		t.Errorf("it ends at %v, error %v", ends, flight.Err())
	}
	if flight := flightContext([]*gather.Item[*parcel]{over, until(now.Add(-time.Minute))}); !errors.Is(flight.Err(), context.DeadlineExceeded) {
		t.Errorf("when all are over: %v", flight.Err())
	}
	endless := &gather.Item[*parcel]{Value: &parcel{ctx: t.Context()}}
	if ends, ok := flightContext([]*gather.Item[*parcel]{soon, endless}).Deadline(); ok {
		t.Errorf("one of them has no end, and it ends at %v", ends)
	}
	if flightContext([]*gather.Item[*parcel]{soon, soon}) != soon.Value.ctx {
		t.Error("of one caller it is another")
	}
}
