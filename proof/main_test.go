package proof

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // of toxiproxy, some of whose toxics have no logger
	flag.Parse()
	most := atOnce
	if os.Getenv("IMQUOTA_SOAK") != "" {
		most = all
	}
	if runtime.GOMAXPROCS(0) < most {
		_ = flag.Set("test.parallel", strconv.Itoa(most))
	}
	goleak.VerifyTestMain(m, ofToxiproxy...)
}

// atOnce is how many tests run at once: they wait for faults more than they
// compute. In a soak all do, for each goes on until its end.
const (
	atOnce = 6
	all    = 20
)

var started = time.Now()

// A toxic that has closed its end leaves those before it with what they carry.
var ofToxiproxy = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
}

// soak is how long the tests go on; zero: they are short.
func soak(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("IMQUOTA_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("IMQUOTA_SOAK: %v", err)
	}
	return d
}

// firstSeed is that of every test's first round.
func firstSeed(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("IMQUOTA_SEED")
	if text == "" {
		return drawn
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("IMQUOTA_SEED: %v", err)
	}
	return n
}

var drawn = rand.Uint64() >> 32

// tally is what a test has done so far.
type tally struct{ calls, faults int }

// rounds runs a test once, or with other seeds until the soak is over or it fails.
func rounds(t *testing.T, run func(t *testing.T, seed uint64) tally) {
	t.Helper()
	lasts := soak(t)
	var total tally
	first := firstSeed(t)
	for seed := first; ; seed++ {
		t.Logf("seed %d: IMQUOTA_SEED=%d go test -race -run '^%s$' ./proof", seed, seed, t.Name())
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			did := run(t, seed)
			total.calls, total.faults = total.calls+did.calls, total.faults+did.faults
		})
		passed := time.Since(started)
		t.Logf("seed %d is over: %d rounds, %d calls, %d faults in %v", seed, seed-first+1, total.calls, total.faults, passed.Round(time.Second))
		if !ok || passed >= lasts {
			return
		}
	}
}

// draw makes the generator of one part of a round.
func draw(seed uint64, part int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(part))) }

// pass lets time go by: for a fault to last, or for callers to come.
func pass(d time.Duration) { <-time.After(d) }
