package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listener is one address and what is served on it.
type listener struct {
	net.Listener
	server   interface{ Serve(l net.Listener) error }
	kind     string // gRPC or HTTP
	services string
}

// address is how a client names it.
func (l *listener) address() string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return l.Addr().String()
}

// near is how a client on this machine reaches it.
func (l *listener) near() string {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return l.address()
}

// listeners opens every address, or none.
func (c *serveCmd) listeners(ctx context.Context, f *front) (opened []*listener, err error) {
	defer func() {
		if err != nil {
			closeAll(opened)
		}
	}()
	for _, address := range c.Listen {
		l, isBeyond, err := c.openAddress(ctx, f, "--listen", address)
		if err != nil {
			return opened, err
		}
		l.kind, l.server, l.services = "gRPC", f.all, "all"
		if isBeyond || len(c.AdminListen) > 0 {
			l.server, l.services = f.quotas, "QuotaService"
		}
		opened = append(opened, l)
	}
	for _, address := range c.AdminListen {
		l, _, err := c.openAddress(ctx, f, "--admin-listen", address)
		if err != nil {
			return opened, err
		}
		l.kind, l.server, l.services = "gRPC", f.admin, "AppService, BillingService"
		opened = append(opened, l)
	}
	l, err := c.listenHTTP(ctx, f)
	if l != nil {
		opened = append(opened, l)
	}
	return opened, err
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// listenHTTP opens the address of HTTP, if there is to be one.
func (c *serveCmd) listenHTTP(ctx context.Context, f *front) (*listener, error) {
	if c.HTTPListen == noHTTP {
		return nil, nil
	}
	l, isBeyond, err := c.openAddress(ctx, f, "--http-listen", c.HTTPListen)
	if err != nil {
		// A second sidecar on this machine need not care for what it was not asked for.
		if c.HTTPListen == defaultHTTPListen && errors.Is(err, syscall.EADDRINUSE) {
			f.log.Warn("no HTTP: its default address is taken; name another with --http-listen", "address", defaultHTTPListen)
			return nil, nil
		}
		return nil, err
	}
	l.kind, l.services = "HTTP", "all"
	isQuotasOnly := isBeyond || len(c.AdminListen) > 0
	if isQuotasOnly {
		l.services = "QuotaService"
	}
	isUnix := l.Addr().Network() == "unix"
	if f.http, err = f.newHTTP(ctx, isQuotasOnly, !isBeyond && !isUnix); err != nil {
		return l, err
	}
	l.server = f.http
	if f.tls != nil && !isUnix {
		l.Listener = tls.NewListener(l.Listener, f.tls)
	}
	return l, nil
}

// openAddress opens one address of a flag, if it may be served on.
func (c *serveCmd) openAddress(ctx context.Context, f *front, flag, address string) (l *listener, isBeyond bool, err error) {
	isBeyond, err = reachesBeyond(ctx, address)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("%s %s: %w", flag, address, err)
	case isBeyond && f.tls == nil && !c.PlaintextBeyondLoopback:
		return nil, false, fmt.Errorf("%s %s: reaches beyond loopback without TLS: give --tls-cert and --tls-key, or say --plaintext-beyond-loopback", flag, address)
	}
	opened, err := listen(ctx, address)
	if err != nil {
		return nil, false, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return &listener{Listener: &door{Listener: opened, most: int64(c.MaxConnections), all: f.metrics.connections, refused: f.metrics.refused}}, isBeyond, nil
}
