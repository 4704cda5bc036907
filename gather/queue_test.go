package gather_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/gather"
	"pgregory.net/rapid"
)

type item = gather.Item[string]

// airport has flights wait until they are let go.
type airport struct {
	*gather.Queue[string]
	flights [][]string
	land    chan struct{}
}

func newAirport(limits gather.Limits) *airport {
	a := &airport{land: make(chan struct{})}
	a.Queue = gather.New(limits, func(flight []*item) {
		var names []string
		for _, it := range flight {
			names = append(names, it.Value)
		}
		a.flights = append(a.flights, names)
		<-a.land
		for _, it := range flight {
			it.Value += " done"
		}
	})
	return a
}

// bring has somebody bring items, and returns when they wait or are on their way.
func (a *airport) bring(ctx context.Context, items ...*item) <-chan error {
	done := make(chan error, 1)
	go func() { done <- a.Do(ctx, items...) }()
	synctest.Wait()
	return done
}

// next has a flight land, and those who waited go.
func (a *airport) next() {
	a.land <- struct{}{}
	synctest.Wait()
}

func (a *airport) clear() {
	for range 1000 {
		select {
		case a.land <- struct{}{}:
		default:
			return
		}
		synctest.Wait()
	}
}

var roomy = gather.Limits{Flights: 1, Items: 64, Work: 256}

func TestWhoeverIsAloneGoesAtOnce(t *testing.T) {
	t.Parallel()
	for range 3 {
		sent := 0
		q := gather.New(roomy, func(flight []*item) { sent += len(flight) })
		it := &item{Of: 1, Work: 1}
		if err := q.Do(t.Context(), it); err != nil || sent != 1 || !it.Sent() { // no other goroutine touched sent
			t.Errorf("%d sent, error %v", sent, err)
		}
	}
}

func TestNothingAllocatedForWhoeverIsAlone(t *testing.T) {
	q := gather.New(roomy, func([]*item) {})
	it := &item{Of: 1, Work: 1}
	items := []*item{it}
	if n := testing.AllocsPerRun(100, func() { _ = q.Do(t.Context(), items...) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatArrivesDuringAFlightGoesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(roomy)
		var done []<-chan error
		for _, name := range []string{"a", "b", "c", "d"} {
			done = append(done, a.bring(t.Context(), &item{Value: name, Of: 1, Work: 1}))
		}
		a.clear()
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c", "d"}}, a.flights); diff != "" {
			t.Error(diff)
		}
		for _, d := range done {
			if err := <-d; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFlightsLeaveWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 3, Items: 64, Work: 256})
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			a.bring(t.Context(), &item{Value: name, Work: 1})
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b"}, {"c"}}, a.flights); diff != "" {
			t.Error(diff)
		}
		a.next()
		if diff := cmp.Diff([][]string{{"a"}, {"b"}, {"c"}, {"d", "e"}}, a.flights); diff != "" {
			t.Error(diff)
		}
		a.clear()
	})
}

// TestLongFlightsAreNotWaitedFor: when flights take long, others leave meanwhile, but
// not each item alone.
func TestLongFlightsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, More: 2, Apart: time.Millisecond, Items: 64, Work: 256})
		bring := func(name string) { a.bring(t.Context(), &item{Value: name, Work: 1}) }
		bring("a")
		bring("b")
		<-time.After(time.Millisecond - 1)
		bring("c")
		want := [][]string{{"a"}}
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("not apart yet: %s", diff)
		}
		<-time.After(1)
		bring("d")
		want = append(want, []string{"b", "c", "d"})
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("apart: %s", diff)
		}
		bring("e")
		<-time.After(time.Millisecond)
		bring("f")
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("fewer than left last: %s", diff)
		}
		bring("g")
		want = append(want, []string{"e", "f", "g"})
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("as many as left last: %s", diff)
		}
		<-time.After(time.Millisecond)
		for _, name := range []string{"h", "i", "j"} {
			bring(name)
		}
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("no more than three: %s", diff)
		}
		for range 3 {
			a.next()
		}
		want = append(want, []string{"h", "i", "j"})
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Errorf("all have returned: %s", diff)
		}
		a.clear()
	})
}

// TestFarFlightsNeedNotBeApart shows that nobody waits where it is the way that takes
// long, which a single long flight does not tell, and a single short one denies.
func TestFarFlightsNeedNotBeApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const far = 3 * time.Millisecond
		a := newAirport(gather.Limits{Flights: 1, More: 4, Apart: time.Millisecond, Far: far, Items: 64, Work: 256})
		bring := func(items ...*item) { a.bring(t.Context(), items...) }
		one := func(name string) *item { return &item{Value: name, Work: 1} }
		fly := func(flights int, took time.Duration) {
			for range flights {
				bring(one("x"))
				<-time.After(took)
				a.next()
			}
			a.flights = nil
		}
		left := func(when string, want ...[]string) {
			t.Helper()
			if diff := cmp.Diff(want, a.flights); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}

		fly(1, 2*far)
		bring(one("a"))
		bring(one("b"))
		left("after a long flight", []string{"a"})
		<-time.After(2 * far)
		a.clear()

		fly(200, 2*far)
		bring(one("a"))
		bring(one("b"))
		bring(one("c"), one("d"))
		left("after long flights", []string{"a"}, []string{"b"}, []string{"c", "d"})
		bring(one("e"))
		left("fewer than left last", []string{"a"}, []string{"b"}, []string{"c", "d"})
		a.clear()

		fly(200, 2*far)
		fly(1, far/2)
		bring(one("a"))
		bring(one("b"))
		left("after a short flight", []string{"a"})
		a.clear()
	})
}

func TestResultsAreTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, Items: 2, Work: 256})
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		items := []*item{{Value: "a", Work: 1}, {Value: "b", Work: 1}, {Value: "c", Work: 1}}
		done := a.bring(t.Context(), items...)
		a.next()
		a.next()
		select {
		case <-done:
			t.Error("returned before its last flight")
		default:
		}
		a.clear()
		if err := <-done; err != nil || items[0].Value != "a done" || items[2].Value != "c done" {
			t.Error(err, items[0].Value, items[2].Value)
		}
	})
}

func TestFlightsAreBoundedByItemsAndWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, Items: 3, Work: 16})
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		for _, it := range []*item{
			{Value: "1", Work: 1}, {Value: "2", Work: 1}, {Value: "3", Work: 1}, // full of items
			{Value: "4", Work: 8}, {Value: "5", Work: 8}, // full of work
			{Value: "6", Work: 1}, {Value: "whole", Work: 1000}, {Value: "7", Work: 1}, // alone
		} {
			a.bring(t.Context(), it)
		}
		a.clear()
		want := [][]string{{"first"}, {"1", "2", "3"}, {"4", "5"}, {"6"}, {"whole"}, {"7"}}
		if diff := cmp.Diff(want, a.flights); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhoBringsMuchKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, Items: 4, Work: 64})
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		for range 1000 {
			a.bring(t.Context(), &item{Value: "many", Of: 1, Work: 1})
		}
		for range 3 {
			a.bring(t.Context(), &item{Value: "large", Of: 2, Work: 1000})
		}
		small := a.bring(t.Context(), &item{Value: "small", Of: 3, Work: 1})
		other := a.bring(t.Context(), &item{Value: "other", Of: 4, Work: 1})
		for range 2 {
			a.next()
		}
		a.next()
		for _, done := range []<-chan error{small, other} {
			select {
			case <-done:
			default:
				t.Errorf("still waits after %v", a.flights)
			}
		}
		a.clear()
	})
}

func TestALargeItemHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, Items: 64, Work: 64})
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		large := a.bring(t.Context(), &item{Value: "large", Of: 1, Work: 640})
		const flights = 40
		for range flights * 64 {
			a.bring(t.Context(), &item{Value: "small", Of: 2, Work: 1})
		}
		for range flights {
			a.next()
			select {
			case <-large:
				if n := len(a.flights); n < 5 { // 160 turns of 4: small items go meanwhile
					t.Errorf("it went after %d flights", n)
				}
				a.clear()
				return
			default:
			}
		}
		t.Error("it waits for ever")
		a.clear()
	})
}

func TestWhoeverHasGoneIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(roomy)
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		ctx, cancel := context.WithCancel(t.Context())
		gone, stays := &item{Value: "gone", Work: 1}, &item{Value: "stays", Work: 1}
		left := a.bring(ctx, gone)
		a.bring(t.Context(), stays)
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) || gone.Sent() || a.Waiting() != 1 {
			t.Errorf("error %v, sent %v, %d wait", err, gone.Sent(), a.Waiting())
		}
		a.clear()
		if a.Waiting() != 0 {
			t.Errorf("%d wait", a.Waiting())
		}
		if diff := cmp.Diff([][]string{{"first"}, {"stays"}}, a.flights); diff != "" {
			t.Error(diff)
		}
		unsent := &item{Value: "late", Work: 1}
		if err := a.Do(ctx, unsent); !errors.Is(err, context.Canceled) || unsent.Sent() {
			t.Errorf("error %v, sent %v", err, unsent.Sent())
		}
	})
}

func TestWhoeverLeavesDuringTheFlightIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(gather.Limits{Flights: 1, Items: 1, Work: 1})
		a.bring(t.Context(), &item{Value: "first", Work: 1})
		ctx, cancel := context.WithCancel(t.Context())
		items := []*item{{Value: "sent", Work: 1}, {Value: "unsent", Work: 1}}
		left := a.bring(ctx, items...)
		a.next()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) || !items[0].Sent() || items[1].Sent() {
			t.Errorf("error %v, sent %v and %v", err, items[0].Sent(), items[1].Sent())
		}
		a.clear()
		if diff := cmp.Diff([][]string{{"first"}, {"sent"}}, a.flights); diff != "" {
			t.Error(diff)
		}
	})
}

// TestWhoComesAfterWhoHasLeft: it waits for its own flight, and not for that of
// somebody who has left.
func TestWhoComesAfterWhoHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			a := newAirport(gather.Limits{Flights: 1, Items: 1, Work: 1})
			a.bring(t.Context(), &item{Value: "first", Work: 1})
			ctx, cancel := context.WithCancel(t.Context())
			left := a.bring(ctx, &item{Value: "sent", Work: 1})
			a.next()
			cancel()
			<-left
			last := &item{Value: "last", Work: 1}
			done := a.bring(t.Context(), last)
			a.next()
			select {
			case <-done:
				t.Fatalf("%q is over while it is under way", last.Value)
			default:
			}
			a.next()
			if err := <-done; err != nil || last.Value != "last done" {
				t.Errorf("%q, error %v", last.Value, err)
			}
		}
	})
}

// step is something that happens to a queue: a caller comes, a caller goes, or a
// flight lands.
type step struct {
	Comes []*item
	Goes  int // which caller; -1: none
	Lands bool
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return step{Goes: rapid.IntRange(0, 20).Draw(t, "goes")}
		case 1:
			return step{Goes: -1, Lands: true}
		}
		return step{Goes: -1, Comes: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *item {
			return &item{Of: rapid.Uint64Range(0, 3).Draw(t, "of"), Work: rapid.IntRange(1, 50).Draw(t, "work")}
		}), 1, 4).Draw(t, "items")}
	}), 1, 40)
}

// caller is one that brought items.
type caller struct {
	items  []*item
	cancel context.CancelFunc
	done   <-chan error
}

// TestEachIsCarriedOnce has callers of many owners come and go at random.
func TestEachIsCarriedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		limits := gather.Limits{
			Flights: rapid.IntRange(1, 3).Draw(r, "flights"), Items: rapid.IntRange(1, 5).Draw(r, "items"), Work: rapid.IntRange(1, 40).Draw(r, "work"),
			More: rapid.IntRange(0, 2).Draw(r, "more"), Apart: time.Nanosecond, Far: time.Duration(rapid.IntRange(0, 1).Draw(r, "far")),
		}
		drawn := steps().Draw(r, "steps")
		var flights [][]*item
		var callers []*caller
		most := 0
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			underWay, land := 0, make(chan struct{})
			count := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				underWay += n
				most = max(most, underWay)
				return underWay
			}
			q := gather.New(limits, func(flight []*item) {
				count(1)
				mu.Lock()
				flights = append(flights, slices.Clone(flight))
				mu.Unlock()
				<-land
				count(-1)
			})
			for _, s := range drawn {
				switch {
				case s.Lands && count(0) > 0:
					land <- struct{}{}
				case s.Goes >= 0 && s.Goes < len(callers):
					callers[s.Goes].cancel()
					<-time.After(1)
				case len(s.Comes) > 0:
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error, 1)
					callers = append(callers, &caller{items: s.Comes, cancel: cancel, done: done})
					go func() { done <- q.Do(ctx, s.Comes...) }()
				}
				synctest.Wait()
			}
			for count(0) > 0 {
				land <- struct{}{}
				synctest.Wait()
			}
			for _, c := range callers {
				err := <-c.done
				c.cancel()
				for _, it := range c.items {
					if err == nil && !it.Sent() {
						t.Error("returned without an error, and not sent")
					}
				}
			}
		})
		carried := map[*item]int{}
		for _, flight := range flights {
			work := 0
			for _, it := range flight {
				work += it.Work
				carried[it]++
			}
			if len(flight) == 0 || len(flight) > limits.Items || work > limits.Work && len(flight) > 1 {
				r.Errorf("a flight of %d items, work %d: beyond %+v", len(flight), work, limits)
			}
		}
		if most > limits.Flights+limits.More {
			r.Errorf("%d flights at once of %+v", most, limits)
		}
		for _, c := range callers {
			for _, it := range c.items {
				if want := map[bool]int{true: 1}[it.Sent()]; carried[it] != want {
					r.Errorf("sent %v, carried %d times", it.Sent(), carried[it])
				}
			}
		}
	})
}

// TestTry carries at once or not at all, and gives its place back however sending
// ends.
func TestTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAirport(roomy)
		if !a.Try() || len(a.flights) != 0 {
			t.Errorf("nobody flew: %v", a.flights)
		}
		first := &item{Value: "first"}
		done := make(chan bool, 1)
		go func() { done <- a.Try(first) }()
		synctest.Wait()
		second := &item{Value: "second", Work: 1}
		if a.Try(second) || second.Sent() {
			t.Error("there was no room")
		}
		waited := a.bring(t.Context(), second)
		a.next()
		if !<-done || first.Value != "first done" {
			t.Errorf("there was room: %q", first.Value)
		}
		a.clear()
		if err := <-waited; err != nil || second.Value != "second done" {
			t.Error(err, second.Value)
		}
		if a.Try(&item{Work: 1}, &item{Work: roomy.Work}) {
			t.Error("more than a flight")
		}
	})
	q := gather.New(roomy, func([]*item) { panic("saved from") })
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the flight before is under way for ever")
				}
			}()
			q.Try(&item{})
		}()
	}
}
