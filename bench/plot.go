package bench

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Plots are drawn for the width of a telephone, and grow with the page.
const (
	plotWidth  = 360
	plotHeight = 240
	plotLeft   = 44
	plotRight  = plotWidth - 26 // half of the last mark of the scale
	plotTop    = 24
	plotBottom = plotHeight - 20
)

// linePlot is a plot of lines, one for each side.
type linePlot struct {
	Caption        string
	Width, Height  int
	Left, Right    int
	Top, Bottom    int
	LabelX, LabelY int
	XTicks, YTicks []tickMark
	Lines          []plotLine
	Legend         []plotName
}

// tickMark is a line of the grid, and what it stands for.
type tickMark struct{ At, TextAt, Text string }

type plotLine struct{ Class, Points string }

type plotName struct{ Class, X, Y, Name string }

func newLinePlot(caption string, sides []Figures) *linePlot {
	p := &linePlot{
		Caption: caption, Width: plotWidth, Height: plotHeight, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
		LabelX: plotLeft - 5, LabelY: plotBottom + 15,
	}
	for i := range sides {
		p.Legend = append(p.Legend, plotName{classOf(sides[i].Name), strconv.Itoa(plotLeft + 72*i), "14", sides[i].Name})
	}
	return p
}

// scale maps values to coordinates.
type scale struct{ from, to, low, high float64 }

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return s.low
	}
	return s.low + (v-s.from)/(s.to-s.from)*(s.high-s.low)
}

// latencyPlot shows how long shares of all calls take: each nine more is as far to
// the right, and ten times the latency as far up.
func latencyPlot(sides []Figures) *linePlot {
	p := newLinePlot("Latency in ms, by share of all calls", sides)
	lowest, highest, most := math.Inf(1), 0.0, .9
	for i := range sides {
		for _, point := range sides[i].Curve {
			if point.Micros > 0 {
				lowest, highest = min(lowest, point.Micros), max(highest, point.Micros)
			}
			most = max(most, point.Quantile)
		}
	}
	if highest == 0 {
		return p
	}
	x := scale{0, nines(most), plotLeft, plotRight}
	y := scale{math.Floor(math.Log10(lowest)*2) / 2, math.Ceil(math.Log10(highest)*2) / 2, plotBottom, plotTop}
	for _, q := range []float64{0, .9, .99, .999, .9999, .99999} {
		if q <= most {
			p.XTicks = append(p.XTicks, tickMark{At: number(x.at(nines(q))), Text: share(q)})
		}
	}
	p.YTicks = logTicks(y)
	for i := range sides {
		var points strings.Builder
		for _, point := range sides[i].Curve {
			if point.Micros > 0 {
				points.WriteString(number(x.at(nines(point.Quantile))) + "," + number(y.at(math.Log10(point.Micros))) + " ")
			}
		}
		p.Lines = append(p.Lines, plotLine{classOf(sides[i].Name), strings.TrimSpace(points.String())})
	}
	return p
}

// nines is 1 for 0.9, 2 for 0.99 and so on.
func nines(q float64) float64 { return -math.Log10(1 - q) }

// share is 0.999 as "99.9 %".
func share(q float64) string {
	return strconv.FormatFloat(math.Round(q*1e5)/1e3, 'f', -1, 64) + "%"
}

// logTicks are at 1, 2 and 5 of each power of ten, or at 1 alone where there are
// many of them. The scale is of logarithms of microseconds.
func logTicks(y scale) []tickMark {
	steps := []float64{1, 2, 5}
	if y.to-y.from > 2 {
		steps = steps[:1]
	}
	var ticks []tickMark
	for power := math.Floor(y.from); power <= y.to; power++ {
		for _, step := range steps {
			v := step * math.Pow(10, power)
			if at := math.Log10(v); at >= y.from-1e-9 && at <= y.to+1e-9 {
				ticks = append(ticks, yTick(y.at(at), strconv.FormatFloat(v/1000, 'g', 3, 64)))
			}
		}
	}
	return ticks
}

func yTick(at float64, text string) tickMark {
	return tickMark{At: number(at), TextAt: number(at + 4), Text: text}
}

// mostPoints is how many points a line has at most.
const mostPoints = 240

// overTimePlot shows the throughput over the time that was measured: the rounds of
// each side, one after the other.
func overTimePlot(sides []Figures) *linePlot {
	p := newLinePlot("Checks a second, over the time measured in s", sides)
	highest, longest := 0.0, 0
	for i := range sides {
		if len(sides[i].OverTime) > 0 {
			highest = max(highest, slices.Max(sides[i].OverTime))
		}
		longest = max(longest, len(sides[i].OverTime))
	}
	if highest == 0 {
		return p
	}
	step := roundStep(highest / 4)
	y := scale{0, step * math.Ceil(highest/step), plotBottom, plotTop}
	for v := 0.0; v <= y.to; v += step {
		p.YTicks = append(p.YTicks, yTick(y.at(v), short(v)))
	}
	x := scale{0, float64(longest) * tick.Seconds(), plotLeft, plotRight}
	for v, step := 0.0, roundStep(x.to/5); v <= x.to+1e-9; v += step {
		p.XTicks = append(p.XTicks, tickMark{At: number(x.at(v)), Text: strconv.FormatFloat(v, 'g', 3, 64)})
	}
	for i := range sides {
		var points strings.Builder
		every := (len(sides[i].OverTime) + mostPoints - 1) / mostPoints
		for k := 0; k < len(sides[i].OverTime); k += every {
			part := sides[i].OverTime[k:min(k+every, len(sides[i].OverTime))]
			sum := 0.0
			for _, v := range part {
				sum += v
			}
			middle := (float64(k) + float64(len(part))/2) * tick.Seconds()
			points.WriteString(number(x.at(middle)) + "," + number(y.at(sum/float64(len(part)))) + " ")
		}
		p.Lines = append(p.Lines, plotLine{classOf(sides[i].Name), strings.TrimSpace(points.String())})
	}
	return p
}

// roundStep is the next of 1, 2 or 5 times a power of ten.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5} {
		if v <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// short is 20,000 as "20k".
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 3, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 3, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// barPlot is a plot of the throughput of all sides, at each number of callers.
type barPlot struct {
	Width, Height int
	Heads         []barHead
	Bars          []plotBar
}

type barHead struct {
	Y    int
	Text string
}

type plotBar struct {
	Class, Name, Text, Width, TextX string
	X, Y, Height, TextY             int
}

// Bars begin behind the names, and leave room for the figures.
const (
	barLeft   = 64
	barRight  = plotWidth - 64
	barHeight = 14
	barStep   = 19
	headStep  = 22
)

func newBarPlot(rows []*Row) *barPlot {
	highest := 0.0
	for _, row := range rows {
		for i := range row.Sides {
			highest = max(highest, row.Sides[i].PerSecond)
		}
	}
	if highest == 0 {
		return nil
	}
	p := &barPlot{Width: plotWidth}
	x := scale{0, highest, 0, barRight - barLeft}
	y := 0
	for _, row := range rows {
		p.Heads = append(p.Heads, barHead{y + headStep - 7, Callers(row.Callers)})
		y += headStep
		for i := range row.Sides {
			f := &row.Sides[i]
			width := x.at(f.PerSecond)
			p.Bars = append(p.Bars, plotBar{
				Class: classOf(f.Name), Name: f.Name, Text: Thousands(f.PerSecond), X: barLeft, Y: y, Width: number(width), Height: barHeight,
				TextX: number(barLeft + width + 5), TextY: y + barHeight - 3,
			})
			y += barStep
		}
	}
	p.Height = y
	return p
}
