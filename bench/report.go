package bench

import (
	"math"
	"slices"
	"time"
)

// Report is what a run came to.
type Report struct {
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Setup   Setup     `json:"setup"`
	Rows    []Row     `json:"rows"`
	// IsPartial: it ended before all was measured that was asked for.
	IsPartial bool `json:"isPartial,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

// Setup is what was asked of whom.
type Setup struct {
	Target      string        `json:"target,omitempty"` // empty: a sidecar of the run's own
	Store       string        `json:"store,omitempty"`  // of that sidecar
	Over        string        `json:"over"`             // tcp or unix
	Apps        int           `json:"apps"`
	Users       int           `json:"users"`
	Seed        uint64        `json:"seed"`
	Connections int           `json:"connections"`
	Batch       int           `json:"batch"`
	Rate        float64       `json:"rate"` // calls a second; zero: a closed loop
	Duration    time.Duration `json:"durationNanos"`
	Rounds      int           `json:"rounds"`
	View        string        `json:"view"`
	RequestIDs  bool          `json:"requestIds"`
}

// Row is one mix at one number of callers: imquota first, then its floors.
type Row struct {
	Mix     string    `json:"mix"`
	Callers int       `json:"callers"`
	Sides   []Figures `json:"sides"`
}

// Names of sides.
const (
	NameQuota = "imquota"
	NameEcho  = "echo"  // bare
	NameTyped = "typed" // the echo, by imquota's own messages
	NameRedis = "Redis"
	NameBolt  = "bbolt"
)

// Figures are those of one side. What is not known is nil.
type Figures struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"checksPerSecond"`
	// Ratio is imquota's throughput, of this floor's.
	Ratio *float64 `json:"ratio,omitempty"`

	P50  float64 `json:"p50Micros"`
	P90  float64 `json:"p90Micros"`
	P99  float64 `json:"p99Micros"`
	P999 float64 `json:"p999Micros"`
	Max  float64 `json:"maxMicros"`

	// Of a check: processor time of the server and of the Redis it counts in, and
	// how often that was asked.
	CPU        *float64 `json:"cpuMicrosPerCheck,omitempty"`
	RedisCPU   *float64 `json:"redisCpuMicrosPerCheck,omitempty"`
	RoundTrips *float64 `json:"roundTripsPerCheck,omitempty"`

	Checks   int64     `json:"checks"`
	Denied   int64     `json:"denied"`
	Failures []Failure `json:"failures,omitempty"`
	// GaveUp is how many callers ended a round early, because all that they asked
	// failed: the figures are of those who did not.
	GaveUp int `json:"gaveUp,omitempty"`

	// An open loop that fell behind: calls that were due and never sent, and how
	// late the last one was.
	Unsent   int64   `json:"unsent"`
	Late     float64 `json:"lateMicros"`
	IsBehind bool    `json:"isBehind"`

	Curve    []Point   `json:"curve"`    // of the latency
	OverTime []float64 `json:"overTime"` // checks a second, by tenths of a second
}

// Point says that a share of all calls took no longer.
type Point struct {
	Quantile float64 `json:"quantile"`
	Micros   float64 `json:"micros"`
}

// curveQuantiles are what a curve is drawn through: ever closer to all calls.
var curveQuantiles = []float64{0, .1, .25, .5, .6, .7, .75, .8, .85, .9, .925, .95, .97, .98, .99, .995, .998, .999, .9995, .9999, .99999}

// RowOf returns what was measured of imquota, the first, and of its floors.
func RowOf(series []*Series) Row {
	row := Row{Mix: series[0].Mix.Name, Callers: series[0].Callers}
	for i, s := range series {
		f := s.Figures()
		if i > 0 {
			f.Ratio = rounded(series[0].Ratio(s), 3)
		}
		row.Sides = append(row.Sides, f)
	}
	return row
}

// Figures returns what a side came to.
func (s *Series) Figures() Figures {
	all := s.Total()
	f := Figures{
		Name: s.Name, PerSecond: *rounded(s.PerSecond(), 1),
		P50: micros(all.Latency.Quantile(.5)), P90: micros(all.Latency.Quantile(.9)),
		P99: micros(all.Latency.Quantile(.99)), P999: micros(all.Latency.Quantile(.999)), Max: micros(all.Latency.Max()),
		Checks: all.Checks, Denied: all.Denied, Failures: all.Failures.List(), GaveUp: all.GaveUp,
		Unsent: all.Unsent, Late: micros(all.Late), IsBehind: s.isBehind(),
	}
	if all.CPU > 0 && all.Checks > 0 {
		f.CPU = rounded(micros(all.CPU)/float64(all.Checks), 2)
	}
	if s.Redis != nil && all.Checks > 0 {
		f.RedisCPU = rounded(micros(all.Redis.CPU)/float64(all.Checks), 2)
		f.RoundTrips = rounded(float64(all.Redis.Reads)/float64(all.Checks), 4)
	}
	for _, q := range curveQuantiles {
		if float64(all.Latency.Count())*(1-q) >= 1 { // else it is but the longest
			f.Curve = append(f.Curve, Point{q, micros(all.Latency.Quantile(q))})
		}
	}
	for _, slice := range s.Slices {
		f.OverTime = append(f.OverTime, slice.overTime()...)
	}
	return f
}

// late is how late a call may be sent in an open loop before that is more than a
// server's worst moment.
const late = 50 * time.Millisecond

// isBehind reports whether an open loop did not keep its rate: calls were left
// over, or the last one of most stretches was late.
func (s *Series) isBehind() bool {
	isLate := func(slice *Slice) float64 {
		if slice.Unsent > 0 || slice.Late > max(late, slice.Length/20) {
			return 1
		}
		return 0
	}
	return s.Rate > 0 && median(s.Slices, isLate) >= .5
}

func micros(d time.Duration) float64 {
	return *rounded(float64(d)/float64(time.Microsecond), 1)
}

// rounded rounds to so many digits behind the point.
func rounded(v float64, digits int) *float64 {
	scale := math.Pow10(digits)
	v = math.Round(v*scale) / scale
	return &v
}

// FirstFailure returns the first of what went wrong on imquota's side.
func (r *Report) FirstFailure() (Failure, bool) {
	for _, row := range r.Rows {
		if failures := row.Sides[0].Failures; len(failures) > 0 {
			return slices.MaxFunc(failures, func(a, b Failure) int { return int(a.Count - b.Count) }), true
		}
	}
	return Failure{}, false
}
