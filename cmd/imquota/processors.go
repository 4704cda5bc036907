package main

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/imquota/imquota/bench"
)

// A server uses as few of the machine's processors as its work fills. A call goes
// through the hands of several goroutines, and with more processors than are
// needed each of them is woken on another, which takes longer than what it does.
const (
	processorsEvery = 100 * time.Millisecond // is how often it is asked how many that are
	fullPart        = 0.9                    // of the processors in use: work may be waiting
	emptyPart       = 0.75                   // of one processor less: that would do
)

// useFewProcessors uses as many as the work fills, until the context is done.
func useFewProcessors(ctx context.Context) {
	tick := time.NewTicker(processorsEvery)
	defer tick.Stop()
	newProcessors().govern(ctx, tick.C)
}

// processors are those that Go's runtime uses at once, what it calls GOMAXPROCS.
type processors struct {
	used func() (time.Duration, error) // by this process so far
	now  func() int
	set  func(n int)
	all  func() // uses as many as the process may

	isLess bool // than all are used
}

func newProcessors() *processors {
	return &processors{
		used: bench.UsedCPU,
		now:  func() int { return runtime.GOMAXPROCS(0) },
		set:  func(n int) { runtime.GOMAXPROCS(n) },
		all:  runtime.SetDefaultGOMAXPROCS,
	}
}

// govern uses as many as the work has filled from one tick to the next, until the
// context is done. Where the operator has said how many, it leaves them.
func (p *processors) govern(ctx context.Context, tick <-chan time.Time) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	defer p.release()
	var asked time.Time
	var before time.Duration
	for {
		var at time.Time
		select {
		case <-ctx.Done():
			return
		case at = <-tick:
		}
		used, err := p.used()
		if err != nil {
			return // this system does not tell
		}
		if !asked.IsZero() {
			p.fit(float64(used-before) / float64(at.Sub(asked)))
		}
		asked, before = at, used
	}
}

// fit uses one less where that would do, and all at once where there may be work
// for more: a burst does not wait for another tick.
func (p *processors) fit(full float64) {
	switch now := p.now(); {
	case full > fullPart*float64(now):
		p.release()
	case full < emptyPart*float64(now-1):
		p.isLess = true
		p.set(now - 1)
	}
}

// release uses all. As long as they are, Go goes by what the process may use, which
// can change.
func (p *processors) release() {
	if p.isLess {
		p.isLess = false
		p.all()
	}
}
