package client_test

import (
	"context"
	"fmt"
	"net"
	"path"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// fate is what becomes of a call on the wire.
type fate int

const (
	arrives      fate = iota
	losesReply        // it is carried out, and the connection breaks before the reply is sent
	losesRequest      // the connection breaks before it is carried out
	strays            // its caller is told that it failed, and it arrives when the test says so
)

// wire is between a client and its server.
type wire struct {
	mu     sync.Mutex
	conns  map[string]net.Conn // by the client's name
	calls  map[string]int      // by method
	decide func(method string, n int) fate
	stray  func() error
}

// lose gives the calls of one method a fate, up to the last of so many; the test
// goes on from there.
func (w *wire) lose(method string, n int, f fate) {
	w.on(func(m string, i int) fate {
		if m == method && i <= n {
			return f
		}
		return arrives
	})
}

func (w *wire) on(decide func(method string, n int) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decide = decide
	clear(w.calls)
}

// called returns how often a method was called since on.
func (w *wire) called(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[method]
}

// arrive carries out the call that strayed.
func (w *wire) arrive() error {
	w.mu.Lock()
	stray := w.stray
	w.mu.Unlock()
	return stray()
}

func (w *wire) intercept(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	w.mu.Lock()
	w.calls[method]++
	n, decide := w.calls[method], w.decide
	w.mu.Unlock()
	f := arrives
	if decide != nil {
		f = decide(method, n)
	}
	switch f {
	case losesReply:
		_, _ = handle(ctx, in)
		w.cut(ctx)
	case losesRequest:
		w.cut(ctx)
	case strays:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stray = func() error {
			_, err := handle(context.WithoutCancel(ctx), in)
			return err
		}
	default:
		return handle(ctx, in)
	}
	return nil, status.Error(codes.Unavailable, "lost on the wire")
}

// cut breaks the connection of a call.
func (w *wire) cut(ctx context.Context) {
	p, _ := peer.FromContext(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conns[p.Addr.String()].Close()
}

// listener tells a wire of its connections, and gives each client a name.
type listener struct {
	net.Listener
	wire     *wire
	accepted int
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted++
	named := &namedConn{conn, &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("%p %d", l, l.accepted)}}
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	l.wire.conns[named.RemoteAddr().String()] = conn
	return named, nil
}

// namedConn is a connection whose other end has a name, as those of a socket in
// a file have not.
type namedConn struct {
	net.Conn
	name net.Addr
}

func (c *namedConn) RemoteAddr() net.Addr { return c.name }
