package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// shape tells how many checks each call carried.
func (g *gate) shape() (shape []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		shape = append(shape, fmt.Sprint(c.method, " ", len(c.checks)))
	}
	return shape
}

// fill begins as many checks as are under way at once, so that others wait.
func fill(t *testing.T, g *gate, c *client.Client) []<-chan answered {
	t.Helper()
	full := []<-chan answered{ask(t.Context(), c, login("first")), ask(t.Context(), c, login("second"))}
	if diff := slices.Compare(g.shape(), []string{"CheckQuota 1", "CheckQuota 1"}); diff != 0 {
		t.Fatalf("under way: %v", g.shape())
	}
	return full
}

// TestOneCallerStaysUnary and uses its own goroutine and context, however often it
// asks.
func TestOneCallerStaysUnary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		ctx := context.WithValue(t.Context(), traceKey{}, "mine")
		for i := range 3 {
			done := ask(ctx, c, login("alice"))
			if g.calls[i].ctx.Value(traceKey{}) != "mine" {
				t.Error("the caller's values are gone")
			}
			g.open()
			want(t, "alice", done)
		}
		if got := g.shape(); !slices.Equal(got, []string{"CheckQuota 1", "CheckQuota 1", "CheckQuota 1"}) {
			t.Errorf("sent %v", got)
		}
		for range 3 { // and no place is lost
			func() {
				defer func() {
					if recover() != "an interceptor" {
						t.Error("it panicked elsewhere")
					}
				}()
				g.fails = func(string) error { panic("an interceptor") }
				close(g.next)
				defer func() { g.next = make(chan struct{}) }()
				_, _ = c.Check(t.Context(), login("alice"))
			}()
		}
		g.fails = func(string) error { return nil }
		done := ask(t.Context(), c, login("alice"))
		g.open()
		want(t, "alice", done)
		if got := c.Stats(); got != (client.Stats{Calls: 7}) {
			t.Errorf("counted %+v", got)
		}
	})
}

// TestManyCallersGather behind a slow server: 64 become three calls, and each is
// told what is its own.
func TestManyCallersGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{ID: "gateway"}))
		var done []<-chan answered
		for i := range 64 {
			done = append(done, ask(t.Context(), c, login(fmt.Sprint("user-", i))))
		}
		g.clear()
		if got := g.shape(); !slices.Equal(got, []string{"CheckQuota 1", "CheckQuota 1", "BatchCheckQuota 62"}) {
			t.Errorf("sent %v", got)
		}
		for i, d := range done {
			want(t, fmt.Sprint("user-", i), d)
		}
		for _, call := range g.calls {
			for _, r := range call.checks {
				if r.GetClient().GetId() != "gateway" {
					t.Errorf("sent %v", r)
				}
			}
		}
		if got := c.Stats(); got != (client.Stats{Calls: 2, Batches: 1, Gathered: 62}) {
			t.Errorf("counted %+v", got)
		}
	})
}

// TestSlowCalls do not keep others waiting: the next to come takes along who waits.
func TestSlowCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		done := []<-chan answered{ask(t.Context(), c, login("a")), ask(t.Context(), c, login("b"))}
		if got := g.shape(); len(got) != 2 {
			t.Errorf("they take no time yet: %v", got)
		}
		<-time.After(time.Millisecond)
		done = append(done, ask(t.Context(), c, login("c")))
		if got := g.shape(); len(got) != 3 || got[2] != "BatchCheckQuota 3" {
			t.Errorf("under way: %v", got)
		}
		g.clear()
		for i, user := range []string{"a", "b", "c"} {
			want(t, user, done[i])
		}
	})
}

// TestNotSent: whoever has gone before there was room is dropped.
func TestNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		ctx, hangUp := context.WithCancel(t.Context())
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gone, late, stays := ask(ctx, c, login("gone")), ask(short, c, login("late")), ask(t.Context(), c, login("stays"))
		hangUp()
		synctest.Wait()
		if a := <-gone; !errors.Is(a.err, context.Canceled) || status.Code(a.err) != codes.Canceled || !strings.Contains(a.err.Error(), "not sent") {
			t.Errorf("gone: %v", a)
		}
		begun := time.Now()
		if a := <-late; !errors.Is(a.err, context.DeadlineExceeded) || status.Code(a.err) != codes.DeadlineExceeded || time.Since(begun) != time.Second {
			t.Errorf("late, after %v: %v", time.Since(begun), a)
		}
		if a, err := c.Check(ctx, login("gone before")); !errors.Is(err, context.Canceled) {
			t.Errorf("gone before it asked: %v, %v", a, err)
		}
		g.clear()
		want(t, "stays", stays)
		if last := g.calls[len(g.calls)-1]; len(g.calls) != 3 || len(last.checks) != 1 || who(last.checks[0]) != "stays" {
			t.Errorf("sent %v", g.shape())
		}
	})
}

// TestDeadlines: a batch has the latest of its members', and each member its own.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{Timeout: time.Minute}))
		begun := time.Now()
		fill(t, g, c)
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		early, latest := login("early"), within(1500*time.Millisecond)
		first, last := ask(within(time.Second), c, early), ask(latest, c, login("latest"))
		ctx, hangUp := context.WithCancel(t.Context())
		gone := ask(ctx, c, login("gone"))
		hangUp()
		<-gone
		g.open()
		batch := g.calls[2]
		if deadline, ok := batch.ctx.Deadline(); !ok || deadline.Sub(begun) != 1500*time.Millisecond || batch.ctx.Value(traceKey{}) != nil {
			t.Errorf("the batch ends after %v", deadline.Sub(begun))
		}
		if a := <-first; status.Code(a.err) != codes.DeadlineExceeded || time.Since(begun) != time.Second || !strings.Contains(a.err.Error(), "answer has not come") {
			t.Errorf("after %v: %v", time.Since(begun), a)
		}
		early.GetLogin().UserId = "another" // it is the caller's again
		g.clear()
		want(t, "latest", last)

		// Nobody has a deadline: it is that of an attempt.
		g = newGate()
		c = client.FromTheFirst(client.New(g, client.Options{Timeout: time.Minute}))
		fill(t, g, c)
		begun = time.Now()
		ask(t.Context(), c, login("patient"))
		g.open()
		if deadline, ok := g.calls[2].ctx.Deadline(); !ok || deadline.Sub(begun) != 2*time.Second {
			t.Errorf("the batch ends after %v", deadline.Sub(begun))
		}
		g.clear()
	})
}

// TestBatchesAreBounded by what the server takes; what no batch can carry goes by
// itself.
func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	ids := func(n, length int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprintf("%0*d", length, i))
		}
		return ids
	}
	register := func(n, length int) *imquotav1.CheckQuotaRequest {
		return &imquotav1.CheckQuotaRequest{AppId: 1, Action: &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: &imquotav1.RegisterUsers{UserIds: ids(n, length)}}}
	}
	create := &imquotav1.CheckQuotaRequest{AppId: 1, Action: &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: &imquotav1.CreateGroup{MemberIds: ids(400, 8)}}}
	add := &imquotav1.CheckQuotaRequest{AppId: 1, Action: &imquotav1.CheckQuotaRequest_AddGroupMembers{AddGroupMembers: &imquotav1.AddGroupMembers{UserIds: ids(400, 8)}}}
	for name, c := range map[string]struct {
		requests []*imquotav1.CheckQuotaRequest
		batches  []int // how many checks are in each
		alone    int
	}{
		"items":    {slices.Repeat([]*imquotav1.CheckQuotaRequest{login("alice")}, 600), []int{256, 256, 88}, 0},
		"ids":      {[]*imquotav1.CheckQuotaRequest{register(400, 8), create, add, register(600, 8)}, []int{2, 2}, 0},
		"full":     {[]*imquotav1.CheckQuotaRequest{register(1000, 32), login("alice")}, []int{1, 1}, 0},
		"bytes":    {slices.Repeat([]*imquotav1.CheckQuotaRequest{login(strings.Repeat("x", 60<<10))}, 9), []int{4, 4, 1}, 0},
		"too many": {[]*imquotav1.CheckQuotaRequest{register(1001, 1)}, nil, 1},
		"too long": {[]*imquotav1.CheckQuotaRequest{login(strings.Repeat("x", 300<<10))}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				cl := client.FromTheFirst(client.New(g, client.Options{}))
				fill(t, g, cl)
				for _, r := range c.requests {
					ask(t.Context(), cl, r)
				}
				g.clear()
				var batches []int
				alone := -2 // those who filled it
				for _, call := range g.calls {
					if call.method == "CheckQuota" {
						alone++
						continue
					}
					n := 0
					for _, r := range call.checks {
						n += len(r.GetRegisterUsers().GetUserIds()) + len(r.GetCreateGroup().GetMemberIds()) + len(r.GetAddGroupMembers().GetUserIds())
					}
					if n > 1000 || call.bytes > 256<<10 {
						t.Errorf("a batch of %d ids and %d bytes", n, call.bytes)
					}
					batches = append(batches, len(call.checks))
				}
				if !slices.Equal(batches, c.batches) || alone != c.alone {
					t.Errorf("batches of %v, and %d alone; want %v and %d", batches, alone, c.batches, c.alone)
				}
			})
		})
	}
}

// TestAppsTakeTurns: one that asks a thousand times does not keep another waiting.
func TestAppsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		for range 600 {
			ask(t.Context(), c, login("busy"))
		}
		other := login("other")
		other.AppId = 2
		done := ask(t.Context(), c, other)
		g.open() // the first batch leaves
		g.open() // the second of those before is back; the next leaves
		g.open()
		want(t, "other", done)
		g.clear()
	})
}

// TestFeaturesDoNotWait for what is counted, nor it for them: the store may be slow.
func TestFeaturesDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		for range 4 {
			ask(t.Context(), c, feature())
			ask(t.Context(), c, friend("bob"))
		}
		if got := g.shape(); len(got) != 4 || g.calls[2].checks[0].GetUseFeature() == nil || g.calls[3].checks[0].GetUseFeature() == nil {
			t.Fatalf("under way: %v", got)
		}
		g.clear()
		if got := g.shape(); !slices.Equal(slices.Sorted(slices.Values(got[4:])), []string{"BatchCheckQuota 2", "BatchCheckQuota 4"}) {
			t.Errorf("sent %v", got)
		}
	})
}

// TestByItself goes who brings what a shared call cannot have.
func TestByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		withMetadata := metadata.AppendToOutgoingContext(t.Context(), "authorization", "alice's")
		ask(withMetadata, c, login("metadata"))
		ask(t.Context(), c, login("options"), grpc.WaitForReady(true))
		ask(metadata.NewOutgoingContext(t.Context(), metadata.MD{}), c, login("neither"))
		if got := g.shape(); len(got) != 4 {
			t.Fatalf("under way: %v", got)
		}
		if md, _ := metadata.FromOutgoingContext(g.calls[2].ctx); len(md.Get("authorization")) != 1 || g.calls[3].options <= g.calls[2].options {
			t.Error("they did not come with the call")
		}
		g.clear()
		if last := g.calls[len(g.calls)-1]; last.method != "BatchCheckQuota" {
			t.Errorf("sent %v", g.shape())
		}

		g = newGate()
		c = client.New(g, client.Options{NoGathering: true})
		for range 5 {
			ask(t.Context(), c, login("alice"))
		}
		if got := g.shape(); len(got) != 5 {
			t.Errorf("under way: %v", got)
		}
		g.clear()
	})
}

// TestBatchRefused as a whole, by a server or a proxy: each asks alone.
func TestBatchRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []codes.Code{codes.Unimplemented, codes.InvalidArgument, codes.Internal, codes.ResourceExhausted, codes.PermissionDenied} {
			g := newGate()
			g.fails = func(method string) error {
				if method == "BatchCheckQuota" {
					return status.Error(code, "as a whole")
				}
				return nil
			}
			c := client.FromTheFirst(client.New(g, client.Options{}))
			fill(t, g, c)
			done := []<-chan answered{ask(t.Context(), c, login("a")), ask(t.Context(), c, login("b"))}
			g.clear()
			want(t, "a", done[0])
			want(t, "b", done[1])
			if got := g.shape(); !slices.Equal(got[2:], []string{"BatchCheckQuota 2", "CheckQuota 1", "CheckQuota 1"}) {
				t.Errorf("%v: sent %v", code, got)
			}
		}

		// As does a panic of an interceptor, which is each caller's own then.
		g := newGate()
		g.fails = func(method string) error {
			if method == "BatchCheckQuota" {
				panic("an interceptor")
			}
			return nil
		}
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		done := ask(t.Context(), c, login("a"))
		g.clear()
		want(t, "a", done)
	})
}

// TestBatchUnanswered: nobody asks again at once, which would be many calls to a
// server that has too many.
func TestBatchUnanswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		busy := fault(codes.Unavailable, "OVERLOADED", time.Second)
		g.fails = func(method string) error {
			if method == "BatchCheckQuota" {
				return busy
			}
			return nil
		}
		c := client.FromTheFirst(client.New(g, client.Options{}))
		fill(t, g, c)
		done := []<-chan answered{ask(t.Context(), c, login("a")), ask(t.Context(), c, login("b"))}
		g.clear()
		if got := g.shape(); len(got) != 3 || got[2] != "BatchCheckQuota 2" {
			t.Errorf("sent %v", got)
		}
		<-time.After(time.Second + 25*time.Millisecond) // what it asks for, and the first pause
		synctest.Wait()
		g.clear()
		want(t, "a", done[0])
		want(t, "b", done[1])
	})
}

// TestNoDecision: an answer without one is not a denial.
func TestNoDecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.answer = func(string, *imquotav1.CheckQuotaRequest) (*imquotav1.Decision, *imquotav1.ItemError) {
			return nil, nil
		}
		c := client.FromTheFirst(client.New(g, client.Options{}))
		done := append(fill(t, g, c), ask(t.Context(), c, login("gathered")))
		g.clear()
		for _, d := range done {
			if a := <-d; status.Code(a.err) != codes.Internal || a.Decision != nil {
				t.Errorf("%v, %v", a.Answer, a.err)
			}
		}
		g.answer = func(string, *imquotav1.CheckQuotaRequest) (*imquotav1.Decision, *imquotav1.ItemError) {
			return nil, &imquotav1.ItemError{Message: "no code"}
		}
		g.calls = nil
		done = append(fill(t, g, c), ask(t.Context(), c, login("gathered")))
		g.clear()
		for _, d := range done {
			if a := <-d; status.Code(a.err) != codes.Internal || a.Decision != nil {
				t.Errorf("%v, %v", a.Answer, a.err)
			}
		}
		if got := c.Stats().Faults; got != 6 {
			t.Errorf("%d faults counted", got)
		}
	})
}

// TestBatchShort: a batch with answers missing tells nobody another's.
func TestBatchShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.FromTheFirst(client.New(short{g}, client.Options{}))
		fill(t, g, c)
		done := []<-chan answered{ask(t.Context(), c, login("a")), ask(t.Context(), c, login("b"))}
		g.clear()
		want(t, "a", done[0])
		want(t, "b", done[1])
	})
}

// short loses the first answer of a batch.
type short struct{ *gate }

func (s short) Invoke(ctx context.Context, name string, in, out any, options ...grpc.CallOption) error {
	err := s.gate.Invoke(ctx, name, in, out, options...)
	if b, ok := out.(*imquotav1.BatchCheckQuotaResponse); ok {
		b.Items = b.GetItems()[1:]
	}
	return err
}
