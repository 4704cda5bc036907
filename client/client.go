package client

import (
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
)

// Client asks imquota. It is safe for use by many goroutines, and there should be
// one for all of them: only calls of the same Client are gathered.
type Client struct {
	quotas   imquotav1.QuotaServiceClient
	caller   *imquotav1.Client // of requests that have none; nil: no name
	id       string
	settle   time.Duration
	timeout  time.Duration
	failOpen func(*imquotav1.CheckQuotaRequest) bool
	// features and counted hold checks that gather, apart from each other: what the
	// plan decides alone does not wait for the store. nil: each goes by itself.
	features, counted *gathering
	counts            counts
}

// Options configures a Client.
type Options struct {
	// ID names the calling service, 1 to 64 printable ASCII bytes. It stands in
	// for client.id where a request has none. Optional.
	ID string
	// Timeout is for how long Check, Release, and Reserve before its creation ask, all
	// attempts together; less when their context ends before. 5 seconds when zero.
	Timeout time.Duration
	// FailOpen says which actions go on when imquota cannot answer, as
	// [FailOpenFeatures] does. Nothing goes on when nil. It is called by many
	// goroutines, and only when it matters: see [Answer.FailedOpen].
	FailOpen func(*imquotav1.CheckQuotaRequest) bool
	// NoGathering has every Check be an RPC of its own: for connections whose
	// interceptors need the values of the caller's context.
	NoGathering bool
	// Settle is for how long Reserve tries to commit or to cancel once the
	// creation has ended, whether or not its caller still waits; 5 seconds when
	// zero.
	Settle time.Duration
}

// defaultSettle and defaultTimeout let a store fail over, or a sidecar start
// again.
const (
	defaultSettle  = 5 * time.Second
	defaultTimeout = 5 * time.Second
)

// New returns a client of what is at the other end of conn, which stays the
// caller's to close. [DialOptions] are made for it.
func New(conn grpc.ClientConnInterface, o Options) *Client {
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	c := &Client{
		quotas: imquotav1.NewQuotaServiceClient(conn), id: o.ID,
		settle: o.Settle, timeout: o.Timeout, failOpen: o.FailOpen,
	}
	if o.ID != "" {
		c.caller = &imquotav1.Client{Id: o.ID}
	}
	if !o.NoGathering {
		c.features, c.counted = c.newGathering(features), c.newGathering(counted)
	}
	return c
}
