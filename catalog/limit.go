package catalog

import (
	"fmt"
	"strconv"
)

// Limit is the most a counter may reach, inclusive, or no limit at all. The
// zero value is a limit of zero. "Unlimited" is a state of its own: no number
// stands for it.
type Limit struct {
	max       int64
	unlimited bool
}

// MaxLimit is the largest number a limit can be: every number up to it is
// exact in all stores, one of which computes in doubles.
const MaxLimit = 1<<53 - 1

// Max returns a limit of n, which must be from 0 to MaxLimit.
func Max(n int64) Limit { return Limit{max: n} }

// Unlimited returns the absence of a limit.
func Unlimited() Limit { return Limit{unlimited: true} }

// IsUnlimited reports whether there is no limit.
func (l Limit) IsUnlimited() bool { return l.unlimited }

// Max returns the number; it is zero when there is no limit.
func (l Limit) Max() int64 { return l.max }

// Allows reports whether a counter at used may grow by delta. Shrinking and
// standing still are always allowed.
func (l Limit) Allows(used, delta int64) bool {
	return delta <= 0 || l.unlimited || used <= l.max-delta
}

// Remaining returns what may still be added to used, never below zero.
// It has no meaning without a limit.
func (l Limit) Remaining(used int64) int64 { return max(0, l.max-used) }

// Overage returns how far used is beyond the limit, never below zero.
func (l Limit) Overage(used int64) int64 {
	if l.unlimited {
		return 0
	}
	return max(0, used-l.max)
}

// String returns the number or "unlimited".
func (l Limit) String() string {
	if l.unlimited {
		return "unlimited"
	}
	return strconv.FormatInt(l.max, 10)
}

// MarshalText returns what String does.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *Limit) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*l = Unlimited()
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > MaxLimit {
		return fmt.Errorf("limit %q is neither a number from 0 to %d nor \"unlimited\"", text, int64(MaxLimit))
	}
	*l = Max(n)
	return nil
}
