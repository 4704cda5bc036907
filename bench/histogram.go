package bench

import (
	"math"
	"math/bits"
	"time"
)

// A power of two has so many buckets, as a power of two: the middle of a bucket
// is within 0.4 % of all that is in it.
const bucketBits = 7

// longest is what a longer latency is counted as; 18 minutes.
const longest = 1<<40 - 1

const buckets = (40 - bucketBits + 1) << bucketBits

// Histogram counts latencies. Its zero value is empty.
type Histogram struct {
	counts []uint64 // by bucket: exact below 2^(bucketBits+1) ns, then ever wider
	n      uint64
	max    time.Duration
}

// Record counts one latency n times.
func (h *Histogram) Record(d time.Duration, n uint64) {
	if n == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	d = max(0, d)
	h.counts[bucketOf(min(uint64(d), longest))] += n
	h.n += n
	h.max = max(h.max, d)
}

// Add counts what another histogram has counted.
func (h *Histogram) Add(other *Histogram) {
	if other.n == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// Count returns how many latencies were counted.
func (h *Histogram) Count() uint64 { return h.n }

// Max returns the longest latency, to the nanosecond.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the latency that the share q of all, 0 to 1, do not exceed;
// zero when none was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	// A share such as 0.9 is a little more than nine tenths as a float: of ten
	// latencies the ninth is meant all the same.
	rank := max(1, uint64(math.Ceil(q*float64(h.n)*(1-1e-12))))
	if rank >= h.n {
		return h.max
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(middleOf(i), h.max)
		}
	}
	return h.max
}

// bucketOf returns the bucket of a latency in nanoseconds: the leading bits of
// the number, and how many follow them.
func bucketOf(v uint64) int {
	shift := max(0, bits.Len64(v)-bucketBits-1)
	return shift<<bucketBits + int(v>>shift)
}

// middleOf returns the latency in the middle of a bucket.
func middleOf(bucket int) time.Duration {
	shift := max(0, bucket>>bucketBits-1)
	lowest := uint64(bucket-shift<<bucketBits) << shift
	return time.Duration(lowest + (uint64(1)<<shift)/2)
}
