package client

import (
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
)

// Client asks imquota. It is safe for use by many goroutines.
type Client struct {
	quotas imquotav1.QuotaServiceClient
	id     string
	settle time.Duration
}

// Options configures a Client.
type Options struct {
	// ID names the calling service, 1 to 64 printable ASCII bytes. It stands in
	// for client.id where a request has none. Optional.
	ID string
	// Settle is for how long Reserve tries to commit or to cancel once the
	// creation has ended, whether or not its caller still waits; 5 seconds when
	// zero.
	Settle time.Duration
}

// defaultSettle lets a store fail over, or a sidecar start again.
const defaultSettle = 5 * time.Second

// New returns a client of what is at the other end of conn, which stays the
// caller's to close.
func New(conn grpc.ClientConnInterface, o Options) *Client {
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	return &Client{quotas: imquotav1.NewQuotaServiceClient(conn), id: o.ID, settle: o.Settle}
}
