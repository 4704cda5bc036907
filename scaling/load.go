package scaling

import (
	"fmt"
	"math"
)

// Load is what a Cluster is to carry.
type Load struct {
	Apps  int     `json:"apps"`
	Users int64   `json:"users"` // of all apps
	Tail  float64 `json:"tail"`  // exponent of the Pareto law of their sizes
	Seed  uint64  `json:"seed"`

	ChecksPerUser float64 `json:"checks_per_user"` // counted ones, a day
	Peak          float64 `json:"peak"`            // checks of the busiest second, of those of the mean one
	RedisMicros   float64 `json:"redis_micros"`    // time of Redis a check, µs
	BytesPerUser  int64   `json:"bytes_per_user"`  // of all counters of a user
	BytesPerApp   int64   `json:"bytes_per_app"`   // of what an app has once
}

// Bounds of a load and of shards. Redis advises no more than a thousand nodes.
const (
	MostApps   = 1_000_000
	MostUsers  = 1_000_000_000_000
	MostShards = 1000

	mostBytes  = 1_000_000 // times MostUsers is still an int64
	mostFactor = 1_000_000
)

// FieldError says which field of the input is wrong, by its name in JSON, and how.
type FieldError struct{ Field, Problem string }

// Error names the field and the problem.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

func wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// Validate checks a load and the counts of shards, which rise. Its errors are of
// type *FieldError; that of the counts is the field "shards".
func Validate(l Load, shards []int) error {
	switch {
	case l.Apps < 1 || l.Apps > MostApps:
		return wrong("apps", "%d is not from 1 to %d", l.Apps, MostApps)
	case l.Users < int64(l.Apps):
		return wrong("users", "%d are fewer than one for each of %d apps", l.Users, l.Apps)
	case l.Users > MostUsers:
		return wrong("users", "%d is more than %d", l.Users, int64(MostUsers))
	case !(l.Tail > 0) || math.IsInf(l.Tail, 0): // NaN is not above 0 either
		return wrong("tail", "%v is not a number above 0", l.Tail)
	case l.BytesPerUser < 0 || l.BytesPerUser > mostBytes:
		return wrong("bytes_per_user", "%d is not from 0 to %d", l.BytesPerUser, mostBytes)
	case l.BytesPerApp < 0 || l.BytesPerApp > mostBytes:
		return wrong("bytes_per_app", "%d is not from 0 to %d", l.BytesPerApp, mostBytes)
	}
	for _, f := range []struct {
		field string
		value float64
	}{{"checks_per_user", l.ChecksPerUser}, {"peak", l.Peak}, {"redis_micros", l.RedisMicros}} {
		if !(f.value > 0 && f.value <= mostFactor) {
			return wrong(f.field, "%v is not above 0 and up to %d", f.value, mostFactor)
		}
	}
	if len(shards) == 0 {
		return wrong("shards", "is empty")
	}
	for i, n := range shards {
		switch {
		case n < 1 || n > MostShards:
			return wrong("shards", "%d is not from 1 to %d", n, MostShards)
		case i > 0 && n <= shards[i-1]:
			return wrong("shards", "%d does not come after %d: give them from few to many", n, shards[i-1])
		}
	}
	return nil
}

const secondsPerDay = 24 * 60 * 60

// checksPerSecond is what so many users ask at the peak.
func (l *Load) checksPerSecond(users float64) float64 {
	return users * l.ChecksPerUser * l.Peak / secondsPerDay
}

// bytes is what so many users of so many apps take.
func (l *Load) bytes(users, apps int64) int64 {
	return users*l.BytesPerUser + apps*l.BytesPerApp
}
