package bench

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/status"
)

// tick is how finely the throughput over time is kept.
const tick = 100 * time.Millisecond

// Slice is what one stretch of load came to.
type Slice struct {
	Length time.Duration
	Calls  int64   // that were answered
	Checks int64   // in them
	InTime int64   // of those, answered within the stretch
	Denied int64   // of Checks
	Ticks  []int64 // the same by tenths of a second

	// Latency is that of each call that was answered, in an open loop from when it
	// was due on. Calls that were never sent count in an open loop, as long as they
	// waited.
	Latency  Histogram
	Failures Failures
	GaveUp   int           // callers that ended early, for all they asked failed
	Unsent   int64         // calls of an open loop that were due and found no caller to the end
	Late     time.Duration // an open loop: how late the last call was sent

	CPU   time.Duration // of the side's server; zero: not known
	Redis RedisUse
}

// PerSecond returns how many checks were answered a second.
func (s *Slice) PerSecond() float64 { return float64(s.InTime) / s.Length.Seconds() }

// overTime returns the checks a second of each tick, of which the last may be short.
func (s *Slice) overTime() []float64 {
	var rates []float64
	for i, n := range s.Ticks {
		took := min(tick, s.Length-time.Duration(i)*tick)
		rates = append(rates, math.Round(float64(n)/took.Seconds()))
	}
	return rates
}

// Failure is what went wrong for one reason.
type Failure struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	First  string `json:"first"` // in the server's words
}

// Failures are calls and items of batches that were not decided, by reason.
type Failures map[string]*Failure

func (f Failures) add(reason string, n int64, text string) {
	if known := f[reason]; known != nil {
		known.Count += n
		return
	}
	f[reason] = &Failure{reason, n, text}
}

// List returns them, the most frequent first.
func (f Failures) List() []Failure {
	var list []Failure
	for _, reason := range slices.Sorted(maps.Keys(f)) {
		list = append(list, *f[reason])
	}
	slices.SortStableFunc(list, func(a, b Failure) int { return int(b.Count - a.Count) })
	return list
}

// worker is one caller at work.
type worker struct {
	caller Caller
	calls  *calls
}

// hopeless is how many calls of a worker may fail in a row. One that goes on would
// but fill the log of the server, or of nobody.
const hopeless = 50

// recorder keeps what one worker's calls came to.
type recorder struct {
	Slice
	began     time.Time
	inARow    int // that failed
	isAtAnEnd bool
}

func newRecorder(began time.Time, length time.Duration) *recorder {
	return &recorder{began: began, Slice: Slice{
		Length: length, Failures: make(Failures), Ticks: make([]int64, (length+tick-1)/tick),
	}}
}

// run sends a call and notes what it came to; since is when its latency begins.
func (w *worker) run(ctx context.Context, c *Call, since time.Time, r *recorder) (ended time.Time) {
	out, err := w.caller.Call(ctx, c)
	ended = time.Now()
	r.note(c, out, err, since, ended)
	return ended
}

func (r *recorder) note(c *Call, out Outcome, err error, since, ended time.Time) {
	if err != nil {
		r.Failures.add(reasonOf(err), 1, status.Convert(err).Message())
		r.inARow++
		r.isAtAnEnd = r.inARow >= hopeless
		return
	}
	r.inARow = 0
	if out.Failed > 0 {
		r.Failures.add(reasonOf(out.Err), int64(out.Failed), out.Err.Error())
	}
	decided := int64(c.Size() - out.Failed)
	r.Calls++
	r.Checks += decided
	r.Denied += int64(out.Denied)
	r.Latency.Record(ended.Sub(since), 1)
	if at := ended.Sub(r.began); at < r.Length {
		r.InTime += decided
		r.Ticks[at/tick] += decided
	}
}

// sum adds up what workers recorded.
func sum(recorders []*recorder) *Slice {
	all := &Slice{Length: recorders[0].Length, Failures: make(Failures), Ticks: make([]int64, len(recorders[0].Ticks))}
	for _, r := range recorders {
		all.Calls += r.Calls
		all.Checks += r.Checks
		all.InTime += r.InTime
		all.Denied += r.Denied
		all.Latency.Add(&r.Latency)
		for i, n := range r.Ticks {
			all.Ticks[i] += n
		}
		if r.isAtAnEnd {
			all.GaveUp++
		}
		for _, f := range r.Failures {
			all.Failures.add(f.Reason, f.Count, f.First)
		}
	}
	return all
}
