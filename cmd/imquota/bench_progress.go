package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/imquota/imquota/bench"
)

// benchProgress says on stderr how far a run is: on a terminal in one line that
// changes, elsewhere in a line for each thing that is begun.
type benchProgress struct {
	w          io.Writer
	isTerminal bool
	last       string // what a line was written about
	shown      time.Time
	isOpen     bool // a line stands that is to be wiped
}

func newBenchProgress(w io.Writer) *benchProgress {
	f, ok := w.(*os.File)
	return &benchProgress{w: w, isTerminal: ok && isTerminal(f)}
}

// tell writes a line of its own.
func (p *benchProgress) tell(line string) {
	p.end()
	_, _ = fmt.Fprintln(p.w, line)
}

// redraw is how often a line on a terminal changes at most.
const redraw = 100 * time.Millisecond

// show says what goes on, and how much of it is done.
func (p *benchProgress) show(what, detail string, done, total int) {
	if !p.isTerminal {
		if what != p.last {
			p.last = what
			_, _ = fmt.Fprintln(p.w, what)
		}
		return
	}
	if p.isOpen && what == p.last && done < total && time.Since(p.shown) < redraw {
		return
	}
	p.last, p.shown, p.isOpen = what, time.Now(), true
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K  %s %s%s", bar(int64(done), int64(max(1, total))), what, detail)
}

// task returns what hears of work that has parts.
func (p *benchProgress) task(what string) bench.Progress {
	return func(done, total int) { p.show(what, fmt.Sprintf(": %d of %d", done, total), done, total) }
}

// step returns what hears of sides that are measured.
func (p *benchProgress) step(what string) func(side *bench.Side, done, total int) {
	return func(side *bench.Side, done, total int) { p.show(what, ": "+side.Name, done, total) }
}

// end wipes what stands on a terminal.
func (p *benchProgress) end() {
	if p.isOpen {
		_, _ = fmt.Fprint(p.w, wipe(p.w))
		p.isOpen = false
	}
}
