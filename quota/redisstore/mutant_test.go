package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// mutant is a script that is broken in one place.
type mutant struct{ name, replaces, by string }

// A suite that passes a broken script proves nothing. Each of these is one, and
// the suite must find it. What it replaces must stand in the script exactly once:
// it cannot go stale unnoticed.
var mutants = []mutant{
	{"judges no limit", "if d > 0 and limit and sum + d > limit then", "if false then"},
	{"adds beyond the limit", "or after > most or", "or"},
	{"leaves what it added before a limit", "elseif was then", "elseif false then"},
	{"leaves the first of a counter", "if was == 0 then", "if false then"},
	{"leaves the id of what it did not do", "        if id then\n          call('HDEL', bucket, id)", "        if false then\n          call('HDEL', bucket, id)"},
	{"adds one whatever is asked", "local by = d == 1 and '1' or d", "local by = '1'"},
	{"adds again in the next generation", "elseif try('HGET', KEYS[base + A[at + 2]], id) then", "elseif false then"},
	{"adds what is held", "        if not holds then\n", "        if true then\n"},
	{"takes another shape", "shape, shapeBase = own, base", "shape, shapeBase = shape == 0 and own or shape, base"},
	{"takes back one whatever was added", "local d, ends = A[charge], at + 2", "local d, ends = 1, at + 2"},
	{"takes back as much of each charge", "    charge, at = charge + 4, ends\n", "    at = ends\n"},
	{"judges each charge by the first", "    to, shape = move(to, shape, 4)\n    to", "    to = move(to, shape, 4)\n    to"},
	{"judges by another's counters", "to, at = move(to, at, 2 * A[shape - 1])", "to = move(to, at, 2 * A[shape - 1])"},
	{"keeps a clock for what it added", "o, sequence = p, sequence + 1\n", "o = p\n"},
	{"takes any known user for one who was active", "elseif value ~= text then", "elseif false then"},
	{"lets in when the month is over", "window, charges, month, bucket, user = A[shape + 1],", "window, charges, month, bucket, user = 0,"},
	{"tells a login what a total was", "local fields = totals[KEYS[key]]\n", "local fields\n"},
	{"tells a login a damaged total", "return nil", "used = 0"},
	{"lets in whoever was deleted as if never known", "seen < -1 or", ""},
	{"takes a user back to an earlier month", "or seen >= month then", "then"},
	{"logs in beyond the limit", "or d > 0 and A[i + 1] and after > A[i + 1] then", "then"},
	{"keeps no login", "call('HSET', bucket, user, text)", ""},
	{"registers at each login", "A[i] * (A[i + 4] == 1 and new or active)\n    out", "A[i] * active\n    out"},
	{"counts no login", "become(counter, counter.used + d, A[i + 9])", ""},
	{"keeps a clock for no login", "    sequence = sequence + 1\n  end\n  out[o + 1] = 1\n", "  end\n  out[o + 1] = 1\n"},
	{"counts some of the charges", "  from[n + 1] = c\n  return fits", "  from[n + 1] = c\n  return fits or n > 1"},
	{"remembers no request", "change('HSET', young, id, fingerprint)", ""},
	{"forgets requests with their generation", "if not known then", "if false then"},
	{"takes another request for a repetition", "if known and known ~= fingerprint then", "if false then"},
	{"counts repetitions", "local applies = not replayed and (", "local applies = ("},
	{"does not count what is held", "sum = sum + held[k]", ""},
	{"holds for ever", "change('ZADD', ENDS, h.ends, h.id)", ""},
	{"holds no id of a group", "take(parts, ofGroupID(t.group), 1)", ""},
	{"holds on after the end", "if h.parts then", "if false then"},
	{"commits late as if in time", "h.late ~= (h.ends <= clock)", "false"},
	{"counts below zero", "if after < 0 and signed == 0 then", "if false then"},
	{"counts members below zero", "members = max(0, members + d)", "members = members + d"},
	{"counts a user at each login", "if op ~= 1 and seen < month then", "if op ~= 1 then"},
	{"registers who was active", "not known and op ~= 4", "not known"},
	{"judges by any record", "elseif stored[1] ~= A[at + 1] then", "elseif not stored[1] then"},
	{"runs the clock backwards", "clock, idsEnd = max(clock, A[at + 3])", "clock, idsEnd = A[at + 3]"},
	{"counts in windows that are over", "if window ~= 0 and clock >= window then", "if false then"},
	{"reads a total anew", "if not counter then", "if true then"},
	{"writes no total", "for _, counter in ipairs(changed) do", "for _, counter in ipairs({}) do"},
	{"takes the keys of another", "base, at = A[at], at + 2", "base, at = base or A[at], at + 2"},
	{"keeps the clock of another app", "if clock ~= stamped then", "if not stamped then"},
	{"keeps no clock", "if writes > before then", "if false then"},
}

// asItIs names the script that is not broken.
const asItIs = "as it is"

// The variables that make another run of this test binary one of a mutant.
const (
	mutantVariable = "IMQUOTA_TEST_MUTANT"
	storeVariable  = "IMQUOTA_TEST_STORE"
)

// mutate has the process run with a broken script, if it is to.
func mutate() error {
	name := os.Getenv(mutantVariable)
	if name == "" || name == asItIs {
		return nil
	}
	for _, m := range mutants {
		if m.name == name {
			if n := strings.Count(applyLua, m.replaces); n != 1 {
				return fmt.Errorf("%q stands in the script %d times, want once", m.replaces, n)
			}
			applyLua = strings.Replace(applyLua, m.replaces, m.by, 1)
			return nil
		}
	}
	return fmt.Errorf("there is no mutant %q", name)
}

var failedTest = regexp.MustCompile(`(?m)^ +--- FAIL: TestOneStore/([^ ]+)`)

// TestMutants runs the suite on each.
func TestMutants(t *testing.T) {
	t.Parallel()
	if os.Getenv(mutantVariable) != "" {
		t.Skip("this is one")
	}
	if !withMutants {
		t.Skip("run without the race detector")
	}
	server := redistest.Standalone(t)
	for _, m := range append(slices.Clone(mutants), mutant{name: asItIs}) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			run := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneStore$", "-test.failfast", "-test.parallel=8", "-test.skip=TestOneStore/random") // what chance finds, it may miss
			run.Env = append(os.Environ(), mutantVariable+"="+m.name,
				storeVariable+"=redis://"+server.Addr+"?prefix=m"+strings.ReplaceAll(m.name, " ", "-"))
			text, err := run.CombinedOutput()
			var failed *exec.ExitError
			switch found := failedTest.FindSubmatch(text); {
			case m.name == asItIs:
				if err != nil {
					t.Errorf("the suite fails as it stands: %s", text)
				}
			case err == nil:
				t.Error("the suite passes")
			case !errors.As(err, &failed) || found == nil || bytes.Contains(text, []byte("panic:")):
				t.Errorf("%v: %s", err, text)
			default:
				t.Logf("found by %s", bytes.ReplaceAll(found[1], []byte("_"), []byte(" ")))
			}
		})
	}
}

// TestOneStore is the suite on the store that TestMutants names.
func TestOneStore(t *testing.T) {
	t.Parallel()
	url := os.Getenv(storeVariable)
	if url == "" {
		t.Skip("for TestMutants")
	}
	suite(t, url)
}
