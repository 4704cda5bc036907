package main

import (
	"time"

	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Limits of connections.
const (
	handshake      = 10 * time.Second // a connection that is not set up by then is none
	maxHeaderBytes = 16 << 10         // of a call; certificates are not in it
	pingAfter      = time.Minute      // of silence: a gateway that is gone is noticed
	pingTimeout    = 10 * time.Second
	fastestPings   = 10 * time.Second // a client that pings more often is cut off
)

// transportOptions are what a server of ours asks of gRPC itself, apart from what
// imquota makes of a call. The echo of imquota bench takes them too.
func transportOptions(messageBytes int, streams uint32) []grpc.ServerOption {
	return append(server.TransportOptions(),
		grpc.MaxRecvMsgSize(messageBytes),
		grpc.MaxConcurrentStreams(streams), grpc.ConnectionTimeout(handshake), grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: fastestPings, PermitWithoutStream: true}),
	)
}
