package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// machine is one with eight processors.
type machine struct {
	inUse int
	spent time.Duration
	freed int // how often all were used
}

func (m *machine) processors() *processors {
	return &processors{
		used: func() (time.Duration, error) { return m.spent, nil },
		now:  func() int { return m.inUse },
		set:  func(n int) { m.inUse = n },
		all:  func() { m.inUse, m.freed = 8, m.freed+1 },
	}
}

func TestProcessorsFitTheWork(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	synctest.Test(t, func(t *testing.T) {
		m := &machine{inUse: 8, spent: time.Hour}
		ctx, cancel := context.WithCancel(t.Context())
		ticks := make(chan time.Time)
		go m.processors().govern(ctx, ticks)
		at := time.Now()
		ticks <- at
		synctest.Wait()
		for i, step := range []struct {
			full float64
			want int
		}{
			{8, 8},
			{5.3, 8},
			{5.2, 7},
			{0, 6},
			{0, 5},
			{3.1, 5},
			{2.9, 4},
			{3.5, 4},
			{3.7, 8},
			{0.7, 7},
			{0.7, 6},
			{0.7, 5},
			{0.7, 4},
			{0.7, 3},
			{0.7, 2},
			{0.8, 2},
			{1.7, 2},
			{0.7, 1},
			{0, 1},
			{0.8, 1},
			{0.95, 8},
			{0, 7},
		} {
			at = at.Add(processorsEvery)
			m.spent += time.Duration(step.full * float64(processorsEvery))
			ticks <- at
			synctest.Wait()
			if m.inUse != step.want {
				t.Fatalf("step %d, in which %v are full: %d are used, want %d", i, step.full, m.inUse, step.want)
			}
		}
		if m.freed != 2 {
			t.Errorf("all were asked for %d times, want 2: each stops all work for a moment", m.freed)
		}
		cancel()
		synctest.Wait()
		if m.inUse != 8 {
			t.Errorf("%d are used afterwards", m.inUse)
		}
	})
}

func TestProcessorsAreLeftWhereTheSystemDoesNotTell(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	m := &machine{inUse: 8}
	p := m.processors()
	p.used = func() (time.Duration, error) { return 0, errors.ErrUnsupported }
	ticks := make(chan time.Time, 1)
	ticks <- time.Now()
	p.govern(t.Context(), ticks)
	if m.inUse != 8 {
		t.Errorf("%d are used", m.inUse)
	}
}

func TestServerWithLittleToDoUsesOneProcessor(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t)
	p.awaitMetric("go_sched_gomaxprocs_threads", func(n int) bool { return n == 1 })
}

func TestProcessorsThatTheOperatorHasSaidAreLeft(t *testing.T) {
	t.Setenv("GOMAXPROCS", "8")
	m := &machine{inUse: 8}
	m.processors().govern(t.Context(), nil) // returns, though no tick ever comes
	if m.inUse != 8 || m.freed != 0 {
		t.Errorf("%d are used", m.inUse)
	}
}
