package catalog_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imquota/imquota/catalog"
)

func TestLimit_Allows(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		limit catalog.Limit
		used  int64
		delta int64
		want  bool
	}{
		{"the 20th of 20", catalog.Max(20), 19, 1, true},
		{"the 21st of 20", catalog.Max(20), 20, 1, false},
		{"several that just fit", catalog.Max(20), 15, 5, true},
		{"several that do not", catalog.Max(20), 16, 5, false},
		{"more than the limit at once", catalog.Max(20), 0, 21, false},
		{"nothing more, at the limit", catalog.Max(20), 20, 0, true},
		{"nothing more, beyond the limit", catalog.Max(20), 25, 0, true},
		{"one fewer, beyond the limit", catalog.Max(20), 25, -1, true},
		{"the first of none", catalog.Max(0), 0, 1, false},
		{"the zero value is a limit of zero", catalog.Limit{}, 0, 1, false},
		{"from below zero up to the limit", catalog.Max(5), -3, 8, true},
		{"from below zero beyond the limit", catalog.Max(5), -3, 9, false},
		{"up to the largest limit", catalog.Max(catalog.MaxLimit), catalog.MaxLimit - 1, 1, true},
		{"beyond the largest limit", catalog.Max(catalog.MaxLimit), catalog.MaxLimit, 1, false},
		{"a sum that no int64 holds", catalog.Max(20), math.MaxInt64, math.MaxInt64, false},
		{"a delta that no store holds", catalog.Max(catalog.MaxLimit), 1, math.MaxInt64, false},
		{"the least used, the largest delta", catalog.Max(0), math.MinInt64, math.MaxInt64, true},
		{"anything without a limit", catalog.Unlimited(), math.MaxInt64, math.MaxInt64, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.limit.Allows(tc.used, tc.delta); got != tc.want {
				t.Errorf("%v.Allows(%d, %d) = %v", tc.limit, tc.used, tc.delta, got)
			}
		})
	}
}

func TestLimit_RemainingAndOverage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		limit     catalog.Limit
		used      int64
		remaining int64
		overage   int64
	}{
		{"unused", catalog.Max(20), 0, 20, 0},
		{"almost used up", catalog.Max(20), 19, 1, 0},
		{"used up", catalog.Max(20), 20, 0, 0},
		{"one beyond", catalog.Max(20), 21, 0, 1},
		{"a day below zero leaves more than the limit", catalog.Max(5), -3, 8, 0},
		{"the largest limit", catalog.Max(catalog.MaxLimit), 0, catalog.MaxLimit, 0},
		{"nothing allowed", catalog.Max(0), 3, 0, 3},
		{"no limit is never exceeded", catalog.Unlimited(), math.MaxInt64, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.limit.Remaining(tc.used); got != tc.remaining {
				t.Errorf("remaining = %d, want %d", got, tc.remaining)
			}
			if got := tc.limit.Overage(tc.used); got != tc.overage {
				t.Errorf("overage = %d, want %d", got, tc.overage)
			}
		})
	}
}

func TestLimit_Text(t *testing.T) {
	t.Parallel()
	limits := map[string]catalog.Limit{
		"zero": catalog.Max(0), "some": catalog.Max(42), "largest": catalog.Max(catalog.MaxLimit), "none": catalog.Unlimited(),
	}
	text, err := json.Marshal(limits)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"largest":"9007199254740991","none":"unlimited","some":"42","zero":"0"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	var got map[string]catalog.Limit
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(limits, got, cmp.Comparer(func(a, b catalog.Limit) bool { return a == b })); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestLimit_UnmarshalText_Refused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "-1", "9007199254740992", "9223372036854775808", "1e3", "1.0", "0x10", "1_000", " 1", "1 ",
		"Unlimited", "unlimited ", "∞", "-0x1", "null",
	} {
		l := catalog.Max(7)
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, l)
		}
		if l != catalog.Max(7) {
			t.Errorf("%q changes the limit to %v", text, l)
		}
	}
}

// No number stands for the absence of a limit.
func TestLimit_UnlimitedIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, catalog.MaxLimit} {
		if catalog.Max(n) == catalog.Unlimited() || catalog.Max(n).IsUnlimited() {
			t.Errorf("%d is unlimited", n)
		}
	}
	if got := catalog.Unlimited().Max(); got != 0 {
		t.Errorf("the number of no limit is %d", got)
	}
}
