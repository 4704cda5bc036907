package proof

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// chain is one operation as a client asked for it: the call and its repetitions
// with the same request id, one after the other, through any sidecar.
type chain struct {
	input

	name     string // of the user or group that it is about, where there are many
	request  string // id
	attempts []attempt
	makes    *chain        // commit, cancel: what made the reservation
	hold     string        // reserve: the reservation's id, once it is known
	lasts    time.Duration // reserve: for how long; zero: longer than the history
	due      time.Time     // reserve: when it is to be committed, where that matters
	late     bool          // commit: its hold had ended
}

// attempt is one call of a chain.
type attempt struct {
	call, ret time.Duration // since the history began
	outcome   outcome
	reason    string // of an error
	output    output
}

// outcome is what a client knows after a call.
type outcome uint8

const (
	settled outcome = iota // it was answered
	nothing                // an error that says that nothing was done
	doubt                  // nobody knows
)

// last returns the last attempt that was answered, or nil.
func (c *chain) last() *attempt {
	for i := len(c.attempts) - 1; i >= 0; i-- {
		if a := &c.attempts[i]; a.outcome == settled {
			return a
		}
	}
	return nil
}

// isDone reports whether it is known what became of the operation.
func (c *chain) isDone() bool {
	last := c.last()
	if last == nil {
		return false
	}
	return last.output.answer != denied && last.output.answer != exists || !c.isInDoubt()
}

// isInDoubt reports whether the operation may have an effect that no answer told.
func (c *chain) isInDoubt() bool {
	in := false
	for i := range c.attempts {
		switch a := &c.attempts[i]; {
		case a.outcome == doubt:
			in = true
		case a.outcome == settled && (a.output.answer == applied || a.output.answer == replayed):
			return false
		}
	}
	return in
}

// hasEffect reports whether the operation is known to have taken effect.
func (c *chain) hasEffect() bool {
	if c.verb == read || c.mode == checkOnly {
		return false
	}
	return slices.ContainsFunc(c.attempts, func(a attempt) bool {
		return a.outcome == settled && (a.output.answer == applied || a.output.answer == replayed)
	})
}

// isCountedOnce says what is wrong with the answers of a chain by themselves: an
// effect comes once, and is repeated only after it came.
func (c *chain) isCountedOnce() error {
	if c.verb == read || c.verb == setLimit || c.mode == checkOnly {
		return nil
	}
	effects, came := 0, false
	for i := range c.attempts {
		a := &c.attempts[i]
		if a.outcome == doubt {
			came = true
		}
		if a.outcome != settled {
			continue
		}
		switch a.output.answer {
		case applied, sometime:
			if effects++; effects > 1 {
				return fmt.Errorf("%v %s: counted again at %v, after it had been acknowledged", &c.input, c.request, a.call)
			}
			came = true
		case replayed:
			if !came {
				return fmt.Errorf("%v %s: called a repetition at %v, and was not counted before", &c.input, c.request, a.call)
			}
		case denied, exists:
			if effects > 0 {
				return fmt.Errorf("%v %s: denied at %v, after it had been acknowledged", &c.input, c.request, a.call)
			}
		case maybe, committed, cancelled, unknown:
		}
	}
	return nil
}

// numbers gives what the model must remember small numbers.
type numbers struct {
	holds map[*chain]int
	ids   int
}

// operations are what the model is to explain of a chain.
func (c *chain) operations(client int, n *numbers) (ops []porcupine.Operation) {
	in := c.input
	maker := c
	if c.makes != nil {
		maker = c.makes
	}
	if c.makes != nil || c.mode == reserve {
		if _, ok := n.holds[maker]; !ok {
			n.holds[maker] = len(n.holds)
		}
		in.hold = n.holds[maker]
	}
	add := func(in input, call, ret time.Duration, out output) {
		ops = append(ops, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(ret)})
	}
	isRead := c.verb == read || c.mode == checkOnly
	first, came := time.Duration(-1), false // of the attempts in doubt; the effect
	for i := range c.attempts {
		a := &c.attempts[i]
		switch {
		case isRead && a.outcome == settled:
			add(in, a.call, a.ret, a.output)
		case isRead || a.outcome == nothing:
		case a.outcome == doubt:
			if first < 0 && !came {
				first = a.call
				n.ids++
				in.id = n.ids
			}
		case c.verb == setLimit:
			if !came {
				call := a.call
				if first >= 0 {
					call = first
				}
				add(in, call, a.ret, a.output)
			}
			came, first = true, -1
		case a.output.answer == replayed:
			if !came && first >= 0 {
				add(in, first, a.ret, output{answer: sometime})
			}
			came, first = true, -1
			add(in, a.call, a.ret, a.output)
		case a.output.answer == applied, a.output.answer == sometime:
			// What was in doubt before had no effect, else this were a repetition,
			// and has none any more.
			in.id, in.fresh = 0, false
			add(in, a.call, a.ret, a.output)
			came, first = true, -1
		default:
			in := in
			in.fresh = first >= 0
			add(in, a.call, a.ret, a.output)
		}
	}
	if first >= 0 {
		add(in, first, never, output{answer: maybe})
	}
	return ops
}

// never is when an operation ends of which nobody knows whether it has.
const never = time.Duration(math.MaxInt64)

// checkTime bounds the search for an order; histories are made to need far less.
const (
	checkTime = time.Minute
	drawTime  = 10 * time.Second // to draw how far one gets
)

// disorder is a history that has no order.
type disorder struct {
	partition
	model   porcupine.Model
	history []porcupine.Operation
	verdict porcupine.CheckResult
}

// Error implements error.
func (d *disorder) Error() string {
	return fmt.Sprintf("%v of app %d: %d operations: %s", d.family, d.app, len(d.history), d.verdict)
}

// judge holds chains against the model, and returns how many operations there
// were, or what is wrong.
func judge(chains []*chain) (ops int, err error) {
	parts := make(map[partition][]*chain)
	for _, c := range chains {
		if err := c.isCountedOnce(); err != nil {
			return 0, err
		}
		parts[c.partition] = append(parts[c.partition], c)
	}
	for p, chains := range parts {
		var history []porcupine.Operation
		n := &numbers{holds: make(map[*chain]int)}
		for i, c := range chains {
			history = append(history, c.operations(i, n)...)
		}
		if n.ids >= maxBits || len(n.holds) >= maxBits {
			return 0, fmt.Errorf("%d ids and %d reservations are more than the model remembers", n.ids, len(n.holds))
		}
		placeClients(history)
		ops += len(history)
		model := modelOf(p)
		if verdict := porcupine.CheckOperationsTimeout(model, history, checkTime); verdict != porcupine.Ok {
			return ops, &disorder{p, model, history, verdict}
		}
	}
	return ops, nil
}

// placeClients gives operations the clients that show them, so that none of one
// overlap.
func placeClients(history []porcupine.Operation) {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var free []int64 // when each client is
	for i := range history {
		op := &history[i]
		client := slices.IndexFunc(free, func(at int64) bool { return at < op.Call })
		if client < 0 {
			client, free = len(free), append(free, 0)
		}
		op.ClientId, free[client] = client, op.Return
	}
}

// draw draws the history, for a browser, and returns the file's path.
func (d *disorder) draw() (string, error) {
	dir, err := os.MkdirTemp("", "imquota-proof-") // it is looked at after the test
	if err != nil {
		return "", err
	}
	_, info := porcupine.CheckOperationsVerbose(d.model, d.history, drawTime)
	path := filepath.Join(dir, fmt.Sprintf("%v-of-app-%d.html", d.family, d.app))
	return path, porcupine.VisualizePath(d.model, info, path)
}

// wantLinearizable fails the test when chains have no order, and says where they
// are drawn.
func wantLinearizable(t testing.TB, what string, chains []*chain) {
	t.Helper()
	began := time.Now()
	ops, err := judge(chains)
	if err == nil {
		t.Logf("%s: %d operations have an order, found in %v", what, ops, time.Since(began).Round(time.Millisecond))
		return
	}
	t.Errorf("%s: %v", what, err)
	if d, ok := errors.AsType[*disorder](err); ok {
		path, err := d.draw()
		t.Logf("drawn in %s, %v", path, err)
	}
}
