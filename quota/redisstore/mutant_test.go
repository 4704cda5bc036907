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
	{"judges no limit", "if delta > 0 and limit and used + delta > limit then", "if false then"},
	{"counts some of the charges", "fits = charge(t, c) and fits", "fits = charge(t, c)"},
	{"remembers no request", "change('HSET', t.young, t.id, t.fingerprint)", ""},
	{"forgets requests with their generation", "if not fingerprint and t.old ~= 0 then", "if false then"},
	{"takes another request for a repetition", "if fingerprint and fingerprint ~= t.fingerprint then", "if false then"},
	{"counts repetitions", "local applies = not t.replayed and (", "local applies = ("},
	{"does not count what is held", "used = used + (c.held[i] or 0)", ""},
	{"holds for ever", "change('ZADD', ENDS, text(t.holdEnd), t.hold)", ""},
	{"holds no id of a group", "hold(ofGroupID(t), 1)", ""},
	{"holds on after the end", "if t.parts then", "if false then"},
	{"commits late as if in time", "t.late ~= (t.holdEnd <= clock)", "false"},
	{"counts below zero", "if after < 0 and not c.signed then", "if false then"},
	{"counts members below zero", "members = math.max(0, members + c.change)", "members = members + c.change"},
	{"counts a user at each login", "if t.userOp ~= 1 and last < t.month then", "if t.userOp ~= 1 then"},
	{"registers who was active", "not known and t.userOp ~= 4", "not known"},
	{"judges by any record", "if header[1] ~= take() then", "take()\nif not header[1] then"},
	{"runs the clock backwards", "clock = math.max(clock, number())", "clock = number()"},
	{"counts in windows that are over", "if t.window ~= 0 and clock >= t.window then", "if false then"},
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
