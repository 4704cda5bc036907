package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// example is a report with everything that a page may have to show.
func example() *Report {
	ratio, cpu, trips := .5, 54.5, 1.0
	figures := func(name string, scale float64) Figures {
		f := Figures{Name: name, PerSecond: 20_000 * scale, P50: 900 / scale, P90: 1800 / scale, P99: 4000 / scale, P999: 9000 / scale, Max: 12_345 / scale, CPU: &cpu, Checks: 1000}
		for _, q := range curveQuantiles {
			f.Curve = append(f.Curve, Point{q, 900 / scale * (1 + nines(q))})
		}
		for i := range 600 {
			f.OverTime = append(f.OverTime, 20_000*scale+float64(i%7))
		}
		return f
	}
	quota := figures(NameQuota, 1)
	quota.RedisCPU, quota.RoundTrips = &cpu, &trips
	quota.Denied, quota.IsBehind, quota.Unsent = 7, true, 12
	quota.Failures = []Failure{{"OVERLOADED", 3, `<script>alert("no")</script> & more`}}
	echo := figures(NameEcho, 2)
	echo.Ratio = &ratio
	return &Report{
		Version: "v1", Time: time.Date(2024, 6, 15, 4, 0, 0, 0, time.UTC), Machine: Machine{"linux", "amd64", 2, "go1"},
		Setup: Setup{Store: "redis", Over: "tcp", Apps: 1, Users: 2, Connections: 4, View: "full", Rounds: 5, Duration: time.Minute},
		Rows: []Row{
			{Mix: "uniform", Callers: 1, Sides: []Figures{quota, echo, figures(NameRedis, 3)}},
			{Mix: "uniform", Callers: 64, Sides: []Figures{quota, echo, figures(NameRedis, 3)}},
			{Mix: "features", Callers: 1, Sides: []Figures{{Name: NameQuota}, {Name: NameEcho}}}, // nothing was answered
		},
	}
}

func TestPageStandsAlone(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := example().WritePage(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, no := range []string{"<script", "http:", "https:", "src=", "href=", "@import", "url(", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(text, no) {
			t.Errorf("the page has %q", no)
		}
	}
	for _, want := range []string{
		"redis over TCP", "2 cores", "2024-06-15 04:00 UTC", "1 caller", "64 callers", "20,000", "0.50", "54.5",
		"&lt;script&gt;alert", "denied: 7 of 1,000 checks", "does not keep this rate: calls were sent up to 0.000 ms late, 12 never", "99.9%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	open := 0
	elements := make(map[string]int)
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("it is not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open++
			elements[e.Name.Local]++
		case xml.EndElement:
			open--
		}
	}
	// Three mixes' rows, two plots each, and bars of one mix; the other has none.
	if open != 0 || elements["svg"] != 7 || elements["polyline"] != 2*2*3 || elements["rect"] != 6 {
		t.Errorf("%d elements are open, of %v", open, elements)
	}
}

// TestPlotsStayInside: whatever the figures are, no line leaves its plot, and one
// that rises is drawn to rise.
func TestPlotsStayInside(t *testing.T) {
	t.Parallel()
	for _, sides := range [][]Figures{
		example().Rows[0].Sides,
		{{Name: NameQuota, Curve: []Point{{0, .1}, {.5, 1e7}, {.999, 6e7}}, OverTime: []float64{0, 1, 1e6}}},
		{{Name: NameQuota, Curve: []Point{{0, 100}}, OverTime: []float64{3}}},
		{{Name: NameQuota, Curve: []Point{{0, 0}, {.5, 0}}}},
	} {
		for _, p := range []*linePlot{latencyPlot(sides), overTimePlot(sides)} {
			for _, l := range p.Lines {
				last := math.Inf(-1)
				for point := range strings.FieldsSeq(l.Points) {
					textX, textY, _ := strings.Cut(point, ",")
					x, errX := strconv.ParseFloat(textX, 64)
					y, errY := strconv.ParseFloat(textY, 64)
					if errX != nil || errY != nil || x < plotLeft || x > plotRight+.1 || y < plotTop-.1 || y > plotBottom+.1 || x < last {
						t.Errorf("%s: %s of %q", p.Caption, point, l.Points)
					}
					last = x
				}
			}
			if len(p.YTicks) > 12 || len(p.XTicks) > 12 {
				t.Errorf("%s: %d and %d marks", p.Caption, len(p.XTicks), len(p.YTicks))
			}
		}
	}
	rising := latencyPlot([]Figures{{Name: NameQuota, Curve: []Point{{0, 100}, {.9, 1000}, {.99, 10_000}}}})
	if got := rising.Lines[0].Points; got != "44.0,220.0 189.0,122.0 334.0,24.0" {
		t.Errorf("three decades at three nines: %s", got)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 123_456.7: "123,457", 1e6: "1,000,000", -1234: "-1,234", -123: "-123"} {
		if got := Thousands(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.000", 59: "0.059", 948.4: "0.948", 1234: "1.23", 12_345: "12.3", 123_456: "123", 1e7: "10000"} {
		if got := Millis(v); got != want {
			t.Errorf("%v µs: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 250: "250", 20_000: "20k", 2_500_000: "2.5M"} {
		if got := short(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	s := Setup{Target: "host:1", Batch: 32, Rate: 5000, Connections: 4, Apps: 10_000, Users: 1_000_000, View: "basic", RequestIDs: true}
	if got, want := s.String(), "host:1, batches of 32, 5,000 calls due a second, connections: 4, apps: 10,000, users: 1,000,000, basic view, request ids"; got != want {
		t.Errorf("%s", got)
	}
	s = Setup{Store: "bolt", Over: "unix", Connections: 1, Apps: 1, Users: 1, View: "full"}
	if got, want := s.String(), "bolt over a Unix socket, connections: 1, apps: 1, users: 1"; got != want {
		t.Errorf("%s", got)
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		goal Goal
		want bool
	}{
		{AtLeast(1, "", "", 1.1, 1.1), true},
		{AtLeast(1, "", "", 1.0999, 1.1), false},
		{AtMost(1, "", "", 9, 9), true},
		{AtMost(1, "", "", 9.1, 9), false},
		{AtMost(1, "nothing was measured", "", 0, 9), false},
		{AtMost(1, "of nothing", "", math.NaN(), 9), false},
		{AtLeast(1, "of nothing", "", math.Inf(1), 9), false},
	} {
		if tt.goal.IsMet != tt.want {
			t.Errorf("%+v", tt.goal)
		}
	}
}
