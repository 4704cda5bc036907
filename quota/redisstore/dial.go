package redisstore

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// dial connects. Where that fails it answers a connection on which everything
// does, by the same error: a pool of go-redis that has counted as many failures
// as it has places looks once a second from then on, and until it has seen the
// server refuses every command unsent. A server that is back would wait for that.
// How often a server that is away is tried is the circuit's to decide.
func (t *target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	var conn net.Conn
	var err error
	if t.tls == nil {
		conn, err = dialer.DialContext(ctx, network, addr)
	} else {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: t.tls}).DialContext(ctx, network, addr)
	}
	if err == nil {
		return conn, nil
	}
	return &unreachable{addr: name(addr), err: &dialError{text: err.Error(), isTimeout: ctx.Err() != nil}}, nil
}

// dialError says that there was no connection, so that nothing was sent. It does
// not unwrap: go-redis would take a net.OpError apart.
type dialError struct {
	text      string
	isTimeout bool // it is the caller's time that was up
}

// Error returns the dialer's own words.
func (e *dialError) Error() string { return e.text }

// unreachable is a connection to a server that cannot be reached.
type unreachable struct {
	addr name
	err  error
}

// name is an address as it was given.
type name string

// Network implements net.Addr.
func (name) Network() string { return "tcp" }

// String implements net.Addr.
func (n name) String() string { return string(n) }

// Read implements net.Conn.
func (u *unreachable) Read([]byte) (int, error) { return 0, u.err }

// Write implements net.Conn.
func (u *unreachable) Write([]byte) (int, error) { return 0, u.err }

// Close implements net.Conn.
func (*unreachable) Close() error { return nil }

// LocalAddr implements net.Conn.
func (*unreachable) LocalAddr() net.Addr { return name("") }

// RemoteAddr implements net.Conn.
func (u *unreachable) RemoteAddr() net.Addr { return u.addr }

// SetDeadline implements net.Conn.
func (*unreachable) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (*unreachable) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (*unreachable) SetWriteDeadline(time.Time) error { return nil }
