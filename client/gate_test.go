package client_test

import (
	"context"
	"errors"
	"path"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// gate is a connection whose calls wait to be let through, in a bubble of
// synctest. It answers each check with a decision of its own, which names who
// asked in its edition.
type gate struct {
	answer func(method string, r *imquotav1.CheckQuotaRequest) (*imquotav1.Decision, *imquotav1.ItemError)
	fails  func(method string) error // whole calls

	mu    sync.Mutex
	calls []*call
	next  chan struct{}
}

// call is what came through the gate, or waits before it.
type call struct {
	method  string
	ctx     context.Context
	checks  []*imquotav1.CheckQuotaRequest
	bytes   int
	options int
}

func newGate() *gate {
	return &gate{next: make(chan struct{}), fails: func(string) error { return nil }, answer: func(_ string, r *imquotav1.CheckQuotaRequest) (*imquotav1.Decision, *imquotav1.ItemError) {
		return &imquotav1.Decision{Allowed: true, Edition: who(r)}, nil
	}}
}

// open lets one call through, and waits for what comes of it.
func (g *gate) open() {
	g.next <- struct{}{}
	synctest.Wait()
}

// clear lets all through, also those who come meanwhile.
func (g *gate) clear() {
	for {
		select {
		case g.next <- struct{}{}:
			synctest.Wait()
		default:
			return
		}
	}
}

// Invoke implements grpc.ClientConnInterface.
func (g *gate) Invoke(ctx context.Context, name string, in, out any, options ...grpc.CallOption) error {
	c := &call{method: path.Base(name), ctx: ctx, options: len(options)}
	raw, err := proto.Marshal(in.(proto.Message))
	if err != nil {
		return status.Error(13, err.Error())
	}
	c.bytes = len(raw)
	switch in.(type) {
	case *imquotav1.CheckQuotaRequest:
		r := &imquotav1.CheckQuotaRequest{}
		if err := proto.Unmarshal(raw, r); err != nil {
			return err
		}
		c.checks = []*imquotav1.CheckQuotaRequest{r}
	case *imquotav1.BatchCheckQuotaRequest:
		r := &imquotav1.BatchCheckQuotaRequest{}
		if err := proto.Unmarshal(raw, r); err != nil {
			return err
		}
		c.checks = r.GetItems()
	}
	g.mu.Lock()
	g.calls = append(g.calls, c)
	g.mu.Unlock()
	select {
	case <-g.next:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	if err := g.fails(c.method); err != nil {
		return err
	}
	switch out := out.(type) {
	case *imquotav1.CheckQuotaResponse:
		d, e := g.answer(c.method, c.checks[0])
		out.Decision = d
		if e != nil {
			return status.Error(13, e.GetMessage())
		}
	case *imquotav1.BatchCheckQuotaResponse:
		for _, r := range c.checks {
			item := &imquotav1.BatchItem{}
			if d, e := g.answer(c.method, r); e != nil {
				item.Result = &imquotav1.BatchItem_Error{Error: e}
			} else if d != nil {
				item.Result = &imquotav1.BatchItem_Decision{Decision: d}
			}
			out.Items = append(out.Items, item)
		}
	}
	return nil
}

// NewStream implements grpc.ClientConnInterface.
func (*gate) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

// login asks for a user.
func login(user string) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 1, Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: user}}}
}

// who is the user that login asks for.
func who(r *imquotav1.CheckQuotaRequest) string { return r.GetLogin().GetUserId() }

// answered is what a Check returned.
type answered struct {
	client.Answer
	err error
}

// ask begins a Check, and returns when it waits, or is over.
func ask(ctx context.Context, c *client.Client, r *imquotav1.CheckQuotaRequest, options ...grpc.CallOption) <-chan answered {
	done := make(chan answered, 1)
	go func() {
		a, err := c.Check(ctx, r, options...)
		done <- answered{a, err}
	}()
	synctest.Wait()
	return done
}

// want expects the decision of a user's own.
func want(t *testing.T, user string, done <-chan answered) {
	t.Helper()
	select {
	case a := <-done:
		if a.err != nil || !a.Allowed() || a.FailedOpen != nil || a.Decision.GetEdition() != user {
			t.Errorf("%s: %v, %v", user, a.Answer, a.err)
		}
	default:
		t.Errorf("%s still waits", user)
	}
}
