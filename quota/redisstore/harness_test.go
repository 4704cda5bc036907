package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := mutate(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// monday is the instant of all tests that do not move the clock.
var monday = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// open opens a store whose background probe does not interfere.
func open(t testing.TB, url string) *Store {
	t.Helper()
	return openProbing(t, url, time.Hour)
}

func openProbing(t testing.TB, url string, every time.Duration) *Store {
	t.Helper()
	return openWith(t, url, Options{ProbeEvery: every})
}

func openWith(t testing.TB, url string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// initialized opens a store and initialises it.
func initialized(t testing.TB, url string) *Store {
	t.Helper()
	s := open(t, url)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return s
}

// standalone starts a server with an initialised store.
func standalone(t testing.TB, args ...string) (*redistest.Server, *Store) {
	t.Helper()
	server := redistest.Standalone(t, args...)
	return server, initialized(t, "redis://"+server.Addr)
}

// refusing opens the store as a user who may write only keys that match.
func refusing(t *testing.T, server *redistest.Server, writable ...string) *Store {
	t.Helper()
	args := []any{"ACL", "SETUSER", "narrow", "reset", "on", ">pw", "+@all", "%R~*"}
	for _, pattern := range writable {
		args = append(args, "%RW~"+pattern)
	}
	redisDo(t, server, args...)
	return open(t, "redis://narrow:pw@"+server.Addr)
}

// newApp creates an app.
func newApp(t testing.TB, s *Store, id uint32) *account.App {
	t.Helper()
	return newAppOf(t, s, id, account.DefaultFanoutBits)
}

func newAppOf(t testing.TB, s *Store, id uint32, bits uint8) *account.App {
	t.Helper()
	app := &account.App{ID: id, Account: "acme", Region: "eu", Edition: "standard", Created: monday, FanoutBits: bits}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 1000, false); err != nil {
		t.Fatal(err)
	}
	return app
}

// txnOf begins a transaction of an app.
func txnOf(app *account.App, charges ...quota.Charge) quota.Txn {
	return quota.Txn{
		App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Now: monday,
		Mode: quota.ModeConsume, Charges: charges,
	}
}

// add charges a counter of the app.
func add(name string, n int64) quota.Charge {
	return quota.Charge{Counter: quota.Counter{Quota: name, Scope: catalog.ScopeApp}, Delta: n, Limit: catalog.Unlimited()}
}

// addEach charges a counter of each user.
func addEach(name string, n int64, users ...string) quota.Charge {
	c := add(name, n)
	c.Scope, c.Subjects = catalog.ScopeUser, users
	return c
}

// loginOf is the login of a user, which counts who is new and who is active in the
// month.
func loginOf(app *account.App, user string) quota.Txn {
	t := txnOf(app, add("users", 1), add("free_mau", 1))
	t.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{user}, Month: catalog.Month(monday, time.UTC)}
	t.Charges[0].Basis, t.Charges[1].Basis = quota.PerNewUser, quota.PerNewActive
	t.Charges[1].Window = catalog.WindowAt(catalog.KindMonth, monday, time.UTC)
	return t
}

func names(n int, pattern string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(pattern, i)
	}
	return list
}

func requestOf(name string) (k quota.RequestKey) {
	copy(k.Hash[:], name)
	copy(k.Fingerprint[:], "same")
	return k
}

// applyOne applies one transaction.
func applyOne(ctx context.Context, s *Store, txn quota.Txn) quota.Outcome {
	return s.Apply(ctx, []quota.Txn{txn})[0]
}

// mustApply applies transactions that must all take effect.
func mustApply(t testing.TB, s *Store, txns ...quota.Txn) []quota.Outcome {
	t.Helper()
	outcomes := s.Apply(t.Context(), txns)
	for i, o := range outcomes {
		if o.Err != nil || !o.Applied {
			t.Fatalf("transaction %d: applied %v, error %v", i, o.Applied, o.Err)
		}
	}
	return outcomes
}

// used reads a counter of the app without charging it.
func used(t testing.TB, s *Store, app *account.App, name string) int64 {
	t.Helper()
	txn := txnOf(app, add(name, 0))
	txn.Mode = quota.ModeJudge
	o := applyOne(t.Context(), s, txn)
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	return o.Charges[0].Used[0]
}

// reasonOf returns the reason of a fault, or the error's text.
func reasonOf(err error) account.FaultReason {
	var f *account.Fault
	switch {
	case err == nil:
		return ""
	case errors.As(err, &f):
		return f.Reason
	}
	return account.FaultReason(err.Error())
}

func wantReason(t testing.TB, err error, want account.FaultReason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Errorf("answered %q (%v), want %q", got, err, want)
	}
}

// calls returns how often a server ran a command since CONFIG RESETSTAT.
func calls(t testing.TB, c *redis.Client, command string) int {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(info, "cmdstat_"+command+":calls=")
	if !found {
		return 0
	}
	n := 0
	if _, err := fmt.Sscanf(after, "%d,", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// flush has a server forget all scripts and functions.
func flush(t testing.TB, c *redis.Client) {
	t.Helper()
	if err := errors.Join(c.ScriptFlush(t.Context()).Err(), c.FunctionFlush(t.Context()).Err()); err != nil {
		t.Fatal(err)
	}
}

// forms are how a store has Apply's script run.
var forms = map[string]func(s *Store){
	"as a function": func(s *Store) { s.refusedFunctions.Store(nil) },
	"as a script":   func(s *Store) { s.refuseFunctions() },
}

// eventually polls until check succeeds.
func eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", within, what, err)
		case <-tick.C:
		}
	}
}

// microseconds returns how long a command took on average in the server.
func microseconds(t testing.TB, c *redis.Client, command string) float64 {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	var n, total int
	var average float64
	_, after, _ := strings.Cut(info, "cmdstat_"+command+":")
	if _, err := fmt.Sscanf(after, "calls=%d,usec=%d,usec_per_call=%f", &n, &total, &average); err != nil {
		t.Fatal(err)
	}
	return average
}

// dumpAll returns every key's value as Redis stores it.
func dumpAll(t testing.TB, c *redis.Client) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range c.Keys(t.Context(), "*").Val() {
		all[key] = c.Dump(t.Context(), key).Val()
	}
	return all
}
