package bench

import (
	_ "embed" // of the template
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html.tmpl
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// page is what the template shows of a report.
type page struct {
	What, Where string
	Legend      []string
	Mixes       []pageMix
}

type pageMix struct {
	Name, Help string
	Rows       []pageRow
	Notes      []string
	Bars       *barPlot
}

type pageRow struct {
	Title   string
	Callers int
	Figures []pageFigures
	Plots   []*linePlot
}

type pageFigures struct{ Cells []string }

// WritePage writes a report as a page: one file that needs no other, and no script.
func (r *Report) WritePage(w io.Writer) error {
	p := &page{
		What: r.Setup.String(),
		Where: fmt.Sprintf("%s, %s. Each was measured for %v in all.",
			r.Version, r.Time.UTC().Format("2006-01-02 15:04 UTC"), r.Setup.Duration.Round(time.Millisecond)),
		Legend: r.Legend(),
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if len(p.Mixes) == 0 || p.Mixes[len(p.Mixes)-1].Name != row.Mix {
			p.Mixes = append(p.Mixes, pageMix{Name: row.Mix, Help: helpOf(row.Mix)})
		}
		m := &p.Mixes[len(p.Mixes)-1]
		m.add(row)
	}
	for i := range p.Mixes {
		var rows []*Row
		for k := range r.Rows {
			if r.Rows[k].Mix == p.Mixes[i].Name {
				rows = append(rows, &r.Rows[k])
			}
		}
		p.Mixes[i].Bars = newBarPlot(rows)
	}
	return pageTemplate.Execute(w, p)
}

func helpOf(name string) string {
	m, err := MixOf(name)
	if err != nil {
		return ""
	}
	return strings.ToUpper(m.Help[:1]) + m.Help[1:] + "."
}

// add shows a row of the report.
func (m *pageMix) add(row *Row) {
	shown := pageRow{Title: Callers(row.Callers), Callers: row.Callers}
	for i := range row.Sides {
		f := &row.Sides[i]
		shown.Figures = append(shown.Figures, pageFigures{[]string{
			f.Name, Thousands(f.PerSecond), Known(f.Ratio, 2), Millis(f.P50), Millis(f.P90), Millis(f.P99), Millis(f.P999), Millis(f.Max),
			Known(f.CPU, 1), Known(f.RedisCPU, 1), Known(f.RoundTrips, 2),
		}})
		for _, note := range f.Notes() {
			m.Notes = append(m.Notes, Callers(row.Callers)+": "+note)
		}
	}
	shown.Plots = []*linePlot{latencyPlot(row.Sides), overTimePlot(row.Sides)}
	m.Rows = append(m.Rows, shown)
}

// classOf is how a side is drawn.
func classOf(name string) string { return strings.ToLower(name) }

// number is a coordinate, to a tenth.
func number(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
