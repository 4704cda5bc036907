package client

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// DialOptions are what a connection to imquota is best opened with, beside its
// credentials: a sidecar that was away is found again within half a second (gRPC's
// own pauses grow to two minutes), and one that is gone without a word is noticed
// within 25 seconds.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 400 * time.Millisecond},
			MinConnectTimeout: 2 * time.Second,
		}),
		// The server cuts off who pings more often than every 10 seconds.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
	}
}
