package client

import "sync/atomic"

// Stats counts what a Client has done since New. All only rise.
type Stats struct {
	Calls      int64 // checks that were sent by themselves, each time
	Batches    int64 // RPCs that carried checks together
	Gathered   int64 // checks in them
	Faults     int64 // of Check and Release that ended in an error
	FailedOpen int64 // of Check whose action went on undecided
}

// Stats returns what c has done, for a metrics library to read.
func (c *Client) Stats() Stats {
	return Stats{
		Calls: c.counts.calls.Load(), Batches: c.counts.batches.Load(), Gathered: c.counts.gathered.Load(),
		Faults: c.counts.faults.Load(), FailedOpen: c.counts.failedOpen.Load(),
	}
}

type counts struct{ calls, batches, gathered, faults, failedOpen atomic.Int64 }
