package redistest

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and a server and breaks connections on demand.
type Proxy struct {
	Addr string

	listener net.Listener
	done     chan struct{} // closed with the proxy
	closed   sync.WaitGroup

	mu     sync.Mutex
	target string
	mode   proxyMode
	word   string // dropping, repeating: of the request whose reply is meant
	asked  map[net.Conn]bool
	last   map[net.Conn][]byte // the last piece of a reply
	conns  map[net.Conn]struct{}
	lag    time.Duration // of every reply
	hold   *hold
	count  int // of connections
}

// hold is a request that is kept back until it is released.
type hold struct {
	word           string // in it
	held, released chan struct{}
}

// proxyMode is what happens to what the server answers.
type proxyMode uint8

const (
	passing   proxyMode = iota
	dropping            // the next reply is swallowed and its connection cut
	halfOpen            // replies are swallowed, connections stay
	rejecting           // connections are closed at once
	repeating           // the next reply is the last one of its connection once more, before its own
)

// NewProxy starts a proxy for a server.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), listener: l, target: target, done: make(chan struct{}),
		conns: make(map[net.Conn]struct{}), asked: make(map[net.Conn]bool),
		last: make(map[net.Conn][]byte),
	}
	p.closed.Go(p.accept)
	t.Cleanup(func() {
		close(p.done)
		_ = l.Close()
		p.Cut()
		p.closed.Wait()
	})
	return p
}

// Pass lets everything through again.
func (p *Proxy) Pass() { p.set(passing) }

// DropReplyTo swallows the reply to the next request that holds a word, whatever
// else is asked meanwhile, and cuts its connection; afterwards everything passes.
func (p *Proxy) DropReplyTo(word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.word = dropping, word
	clear(p.asked)
}

// RepeatReplyAt sends a connection's last reply once more, as if it were the reply
// to the next request that holds a word; afterwards everything passes.
func (p *Proxy) RepeatReplyAt(word string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.word = repeating, word
}

// Lag has every reply come so much later; zero: at once again.
func (p *Proxy) Lag(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag = by
}

// Connections returns how many were opened or tried to be.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Hold keeps the next request back that holds a word. The channel is closed when
// it has come; release lets it go on.
func (p *Proxy) Hold(word string) (held <-chan struct{}, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &hold{word, make(chan struct{}), make(chan struct{})}
	p.hold = h
	return h.held, func() { close(h.released) }
}

// HalfOpen forwards what clients send and swallows every reply, as when the
// way back is lost.
func (p *Proxy) HalfOpen() { p.set(halfOpen) }

// Reject cuts all connections and closes new ones at once.
func (p *Proxy) Reject() {
	p.set(rejecting)
	p.Cut()
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) set(m proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.word = m, ""
	clear(p.asked)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.count++
		p.mu.Unlock()
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.behind())
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		p.closed.Go(func() { p.forward(client, server, func(request []byte) bool { return p.ask(client, request) }) })
		p.closed.Go(func() {
			p.forward(server, client, func(piece []byte) bool {
				p.delay()
				return p.reply(client, server, piece)
			})
		})
	}
}

// Retarget leads new connections to another server and cuts those there are.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.Cut()
}

func (p *Proxy) behind() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// keep notes a pair of connections, unless connections are rejected.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return p.mode != rejecting
}

// delay waits as long as replies lag.
func (p *Proxy) delay() {
	p.mu.Lock()
	lag := p.lag
	p.mu.Unlock()
	if lag == 0 {
		return
	}
	timer := time.NewTimer(lag)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
}

// keepBack waits until a request may go on, if it is the one that is held.
func (p *Proxy) keepBack(request []byte) {
	p.mu.Lock()
	h := p.hold
	isMeant := h != nil && bytes.Contains(request, []byte(h.word))
	if isMeant {
		p.hold = nil
	}
	p.mu.Unlock()
	if !isMeant {
		return
	}
	close(h.held)
	select {
	case <-p.done:
	case <-h.released:
	}
}

// ask notes who asks what a reply is to be dropped of. All requests pass.
func (p *Proxy) ask(client net.Conn, request []byte) bool {
	p.keepBack(request)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == dropping && bytes.Contains(request, []byte(p.word)) {
		p.asked[client] = true
	}
	if p.mode == repeating && bytes.Contains(request, []byte(p.word)) && p.last[client] != nil {
		p.mode = passing
		_, _ = client.Write(p.last[client])
	}
	return true
}

// reply decides on a piece of a reply: whether it may pass.
func (p *Proxy) reply(client, server net.Conn, piece []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[client] = bytes.Clone(piece)
	switch p.mode {
	case dropping:
		if !p.asked[client] {
			return true
		}
		p.mode = passing
		_, _ = client.Close(), server.Close()
		return false
	case halfOpen:
		return false
	case passing, rejecting, repeating:
	}
	return true
}

// forward copies until one side closes, asking of every piece whether it may
// pass.
func (p *Proxy) forward(from, to net.Conn, pass func(piece []byte) bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && pass(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
