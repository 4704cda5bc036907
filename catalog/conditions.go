package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Conditions says for a person under which conditions the feature may be used;
// empty: always.
func (f *Feature) Conditions() string {
	var parts []string
	if a := f.Approval; a != nil {
		parts = append(parts, "after an approval, active "+Span(a.ActiveAfter)+" later")
	}
	if r := f.Regions; r != nil {
		parts = append(parts, "not in "+strings.Join(slices.Sorted(maps.Keys(r.Excluded)), ", "))
	}
	if p := f.Platforms; p != nil {
		parts = append(parts, "on "+strings.Join(p.Names, ", "))
	}
	if s := f.SDK; s != nil {
		var least []string
		for _, family := range slices.Sorted(maps.Keys(s.Min)) {
			least = append(least, family+" "+s.Min[family].String())
		}
		parts = append(parts, "SDK "+strings.Join(least, ", ")+" or later")
	}
	if g := f.GroupTypes; g != nil {
		parts = append(parts, "in "+strings.Join(g.Names, ", ")+" groups")
	}
	if g := f.GroupSize; g != nil {
		parts = append(parts, fmt.Sprintf("of at most %d members", g.MaxMembers))
	}
	return strings.Join(parts, "; ")
}

// Span shows a duration in hours, or in days when it is more than a few.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0 && d > 3*day:
		return fmt.Sprintf("%d days", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return d.String()
}
