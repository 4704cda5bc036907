package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Side is what is measured, or one of its floors, at one load.
type Side struct {
	Name       string
	Mix        *Mix
	Population *Population
	Callers    int
	// First is the number of the first caller. Callers that ask the same apps need
	// numbers of their own, or they create the same groups.
	First int
	Batch int     // checks a call; zero: one, in a call that is no batch
	Rate  float64 // calls a second; zero: a closed loop

	// Caller returns what the i-th caller calls with.
	Caller func(i int) Caller
	// CPU returns what the server has used so far; nil: that is not known.
	CPU func(context.Context) (time.Duration, error)
	// Redis is what the server counts in; nil: in nothing, or nothing that is known.
	Redis *Redis

	workers []*worker
}

// Plan is how sides are measured: in turns, in so many stretches of each.
type Plan struct {
	Duration time.Duration // of each side, in all
	Warmup   time.Duration // of each side, before anything is measured
	Rounds   int
	// Heard hears what is measured next, and how much of the plan is done.
	Heard func(side *Side, done, total int)
}

// leastSlice is the shortest stretch that says anything.
const leastSlice = 50 * time.Millisecond

// rounds returns how many stretches there are, and how long each is.
func (p *Plan) rounds() (n int, each time.Duration) {
	n = min(max(1, p.Rounds), max(1, int(p.Duration/leastSlice)))
	return n, p.Duration / time.Duration(n)
}

// Measure measures sides in turns, so that what the machine does beside hits all
// alike: first to last, then last to first, and so on. Each turn begins with some
// load that does not count.
func (p *Plan) Measure(ctx context.Context, sides []*Side) ([]*Series, error) {
	series := make([]*Series, len(sides))
	for i, s := range sides {
		series[i] = &Series{Side: s}
		s.prepare()
	}
	rounds, length := p.rounds()
	done, total := 0, (rounds+1)*len(sides)
	next := func(s *Side) {
		if p.Heard != nil {
			p.Heard(s, done, total)
		}
		done++
	}
	for _, s := range sides {
		next(s)
		if p.Warmup > 0 {
			s.load(ctx, p.Warmup)
		}
	}
	for round := range rounds {
		for k := range sides {
			if round%2 == 1 {
				k = len(sides) - 1 - k
			}
			next(sides[k])
			slice, err := sides[k].measure(ctx, length)
			if err != nil {
				return nil, fmt.Errorf("measuring %s: %w", sides[k].Name, err)
			}
			series[k].Slices = append(series[k].Slices, slice)
		}
	}
	return series, nil
}

func (s *Side) prepare() {
	for i := range s.Callers {
		s.workers = append(s.workers, &worker{caller: s.Caller(i), calls: s.Mix.calls(s.Population, s.First+i, s.Batch)})
	}
}

func (s *Side) load(ctx context.Context, length time.Duration) *Slice {
	if s.Rate > 0 {
		return openLoop(ctx, s.workers, length, s.Rate, wait)
	}
	return closedLoop(ctx, s.workers, length)
}

// measure measures one stretch: what was asked for it has to be answered.
func (s *Side) measure(ctx context.Context, length time.Duration) (*Slice, error) {
	s.load(ctx, max(leastSlice, length/8))
	cpu, use, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	slice := s.load(ctx, length)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	cpuAfter, useAfter, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	slice.CPU = cpuAfter - cpu
	slice.Redis = RedisUse{CPU: useAfter.CPU - use.CPU, Reads: max(0, useAfter.Reads-use.Reads-1)} // one was the question itself
	return slice, nil
}

// use asks for what the servers have used.
func (s *Side) use(ctx context.Context) (cpu time.Duration, use RedisUse, err error) {
	if s.CPU != nil {
		if cpu, err = s.CPU(ctx); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return 0, RedisUse{}, fmt.Errorf("its processor time: %w", err)
		}
	}
	if s.Redis != nil {
		if use, err = s.Redis.Use(ctx); err != nil {
			return 0, RedisUse{}, fmt.Errorf("its Redis: %w", err)
		}
	}
	return cpu, use, nil
}

// Series is what all stretches of a side came to.
type Series struct {
	*Side
	Slices []*Slice
}

// PerSecond returns how many checks were answered a second: the median of the
// stretches.
func (s *Series) PerSecond() float64 {
	return median(s.Slices, (*Slice).PerSecond)
}

// Total adds up all stretches.
func (s *Series) Total() *Slice {
	all := &Slice{Failures: make(Failures)}
	for _, slice := range s.Slices {
		all.Length += slice.Length
		all.Calls += slice.Calls
		all.Checks += slice.Checks
		all.InTime += slice.InTime
		all.Denied += slice.Denied
		all.Unsent += slice.Unsent
		all.Late = max(all.Late, slice.Late)
		all.GaveUp += slice.GaveUp
		all.Latency.Add(&slice.Latency)
		for _, f := range slice.Failures {
			all.Failures.add(f.Reason, f.Count, f.First)
		}
		all.CPU += slice.CPU
		all.Redis.CPU += slice.Redis.CPU
		all.Redis.Reads += slice.Redis.Reads
	}
	return all
}

// Ratio returns how many times the throughput of another side this one has: the
// median of the rounds, each of which is seconds long.
func (s *Series) Ratio(other *Series) float64 {
	pairs := make([][2]*Slice, min(len(s.Slices), len(other.Slices)))
	for i := range pairs {
		pairs[i] = [2]*Slice{s.Slices[i], other.Slices[i]}
	}
	return median(pairs, func(p [2]*Slice) float64 {
		if p[1].InTime == 0 {
			return 0
		}
		return p[0].PerSecond() / p[1].PerSecond()
	})
}

// median returns the middle of what is measured of each; zero of none.
func median[T any](of []T, measured func(T) float64) float64 {
	if len(of) == 0 {
		return 0
	}
	values := make([]float64, len(of))
	for i, one := range of {
		values[i] = measured(one)
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 0 {
		return (values[half-1] + values[half]) / 2
	}
	return values[half]
}
