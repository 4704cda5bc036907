package bench

import "math"

// Goal is something that is to be reached, and how far it is.
type Goal struct {
	Goal   int     `json:"goal"` // its number in docs/performance.md
	Name   string  `json:"name"`
	Figure float64 `json:"figure"`
	Wanted float64 `json:"wanted"`
	Unit   string  `json:"unit,omitempty"` // of both; none: a ratio
	IsMost bool    `json:"isMost"`         // the figure is not to exceed what is wanted
	IsMet  bool    `json:"isMet"`
}

// AtLeast is a goal whose figure is to reach something.
func AtLeast(goal int, name, unit string, figure, wanted float64) Goal {
	figure = measured(figure)
	return Goal{Goal: goal, Name: name, Unit: unit, Figure: figure, Wanted: wanted, IsMet: figure >= wanted}
}

// AtMost is a goal whose figure is not to exceed something.
func AtMost(goal int, name, unit string, figure, wanted float64) Goal {
	figure = measured(figure)
	return Goal{Goal: goal, Name: name, Unit: unit, Figure: figure, Wanted: wanted, IsMost: true, IsMet: figure > 0 && figure <= wanted}
}

// measured is a figure, or zero, which meets no goal: what comes of no answers is a
// ratio of or to nothing.
func measured(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
