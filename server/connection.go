package server

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// connection counts the calls of one. It travels as what is known of the other
// end: that is in every call's context already, where a stats.Handler would have
// each call's metadata copied, and be told of seven events.
type connection struct {
	credentials.AuthInfo // of the other end

	inFlight atomic.Int64
	arriving arriving
}

// connectionOf returns the connection that a call came by; nil if it came by none.
func connectionOf(ctx context.Context) *connection {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(*connection)
	return c
}

// authInfo returns what is known of who asks.
func authInfo(ctx context.Context) credentials.AuthInfo {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if c, ok := p.AuthInfo.(*connection); ok {
		return c.AuthInfo
	}
	return p.AuthInfo
}

// Credentials are those given, and begin each connection's counts, which go with
// the connection. They are for grpc.Creds.
func (*Admission) Credentials(c credentials.TransportCredentials) credentials.TransportCredentials {
	return &counting{c}
}

type counting struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *counting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return conn, info, err
	}
	return conn, &connection{AuthInfo: info}, nil
}

// Clone implements credentials.TransportCredentials.
func (c *counting) Clone() credentials.TransportCredentials {
	return &counting{c.TransportCredentials.Clone()}
}
