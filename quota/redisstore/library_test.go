package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// libraries returns the names of those that a server has.
func libraries(t *testing.T, c *redis.Client) []string {
	t.Helper()
	all, err := c.FunctionList(t.Context(), redis.FunctionListQuery{}).Result()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	return names
}

// sent returns how often commands were, since the server's statistics were reset.
func sent(t *testing.T, c *redis.Client, commands ...string) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for _, command := range commands {
		n[command] = calls(t, c, command)
	}
	return n
}

// TestLibraryIsGivenOnce: whoever comes first gives it, and whoever finds that it is
// gone.
func TestLibraryIsGivenOnce(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newApp(t, s, 1)
	count := func(s *Store, want map[string]int) {
		t.Helper()
		if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		mustApply(t, s, txnOf(app, add("users", 1)))
		if diff := cmp.Diff(want, sent(t, client, "fcall", "function|load", "evalsha", "eval")); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	}
	known := map[string]int{"fcall": 1, "function|load": 0, "evalsha": 0, "eval": 0}
	given := map[string]int{"fcall": 2, "function|load": 1, "evalsha": 0, "eval": 0}
	count(s, given)
	count(s, known)
	count(open(t, "redis://"+server.Addr), known)
	redisDo(t, server, "FUNCTION", "FLUSH")
	count(s, given)
	redisDo(t, server, "SCRIPT", "FLUSH")
	count(s, known)
	if got := used(t, s, app, "users"); got != 5 {
		t.Errorf("users %d, want 5", got)
	}
}

// TestLibrariesOfVersions lie side by side: an older sidecar goes on.
func TestLibrariesOfVersions(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	older := open(t, "redis://"+server.Addr)
	older.scripts = newApplyScripts(strings.Replace(applyLua, "sequence = p, sequence + 1", "sequence = p, sequence + 2", 1))
	app := newApp(t, s, 1)
	client := server.Client()
	for range 2 {
		mustApply(t, s, txnOf(app, addEach("friends", 1, "alice")))
		mustApply(t, older, txnOf(app, addEach("friends", 1, "alice")))
	}
	if got := libraries(t, client); len(got) != 2 {
		t.Errorf("libraries %q, want two", got)
	}
	if got := client.HGet(t.Context(), s.headerKey(app.ID), "s").Val(); got != "6" {
		t.Errorf("sequence %s, want 6: each runs its own", got)
	}
}

// TestServerWithoutFunctions evaluates the script, and is not asked each time.
func TestServerWithoutFunctions(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args  []string
		rules []any // of the user
	}{
		"knows none":       {[]string{"--rename-command", "FCALL", ""}, []any{"+@all"}},
		"keeps them apart": {[]string{"--rename-command", "FUNCTION", ""}, []any{"+@all"}},
		"may call none":    {nil, []any{"+@all", "-fcall"}},
		"may load none":    {nil, []any{"+@all", "-function|load"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t, tt.args...)
			client := server.Client()
			app := newApp(t, s, 1)
			redisDo(t, server, append([]any{"ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*"}, tt.rules...)...)
			limited := open(t, "redis://limited:pw@"+server.Addr+"?pool_size=1")
			if err := limited.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			var refusals []int
			for i := range int64(4) {
				before := errorReplies(t, client)
				if i == 3 {
					passed := time.Now().Add(-withoutFunctions)
					limited.refusedFunctions.Store(&passed)
				}
				if got := mustApply(t, limited, txnOf(app, add("users", 1)))[0].Charges[0].Used[0]; got != i {
					t.Errorf("used %d before, want %d", got, i)
				}
				refusals = append(refusals, errorReplies(t, client)-before)
			}
			if refusals[0] == 0 || refusals[1] != 0 || refusals[2] != 0 || refusals[3] == 0 {
				t.Errorf("refused %v times, want that at first and a minute later only", refusals)
			}
		})
	}
}

// errorReplies counts what a server answered with an error.
func errorReplies(t *testing.T, c *redis.Client) int {
	t.Helper()
	for line := range strings.Lines(c.Info(t.Context(), "stats").Val()) {
		if text, ok := strings.CutPrefix(line, "total_error_replies:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("INFO has no total_error_replies")
	return 0
}

// TestLibraryIsRefusedOnce, however many apps are counted together.
func TestLibraryIsRefusedOnce(t *testing.T) {
	t.Parallel()
	server, _ := redistest.ClusterOfOne(t)
	s := initialized(t, "redis+cluster://"+server.Addr)
	const apps = 20
	var txns []quota.Txn
	for id := range uint32(apps) {
		txns = append(txns, txnOf(newApp(t, s, id+1), add("users", 1)))
	}
	redisDo(t, server, "ACL", "SETUSER", "default", "-function|load")
	mustApply(t, s, txns...)
	if stats := server.Client().InfoMap(t.Context(), "commandstats").Item("Commandstats", "cmdstat_function|load"); !strings.Contains(stats, "rejected_calls=1,") {
		t.Errorf("the library was given as often as %q says, want once", stats)
	}
}

// TestLibraryIsTakenLater by a server that refuses writes for a while.
func TestLibraryIsTakenLater(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	redisDo(t, server, "CONFIG", "SET", "min-replicas-to-write", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // it is tried again until then
	defer cancel()
	wantReason(t, applyOne(ctx, s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
	redisDo(t, server, "CONFIG", "SET", "min-replicas-to-write", "0")
	mustApply(t, s, txnOf(app, add("users", 1)))
	if got := libraries(t, server.Client()); len(got) != 1 {
		t.Errorf("libraries %q, want one", got)
	}
}

// TestCallersTimeIsUpBeforeTheFunctionRuns: what has provably not run is no unknown
// outcome, whatever the server was asked before.
func TestCallersTimeIsUpBeforeTheFunctionRuns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after, rule string
		args        []string
	}{
		{"fcall", "+@all", nil},
		{"function", "+@all", nil},
		{"fcall", "-fcall", nil},
		{"fcall", "+@all", []string{"--rename-command", "FCALL", ""}},
		{"function", "-function|load", nil},
		{"evalsha", "-fcall", nil},
	} {
		t.Run(strings.Join(append(tt.args, tt.rule, tt.after), " "), func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t, tt.args...)
			app := newApp(t, s, 1)
			redisDo(t, server, "ACL", "SETUSER", "default", tt.rule)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.client.AddHook(cancelling{after: tt.after, cancel: cancel})
			wantReason(t, applyOne(ctx, s, txnOf(app, add("users", 1))).Err, account.StoreUnavailable)
			if ctx.Err() == nil {
				t.Errorf("%s was not sent", tt.after)
			}
			redisDo(t, server, "ACL", "SETUSER", "default", "+@all")
			if got := used(t, s, app, "users"); got != 0 {
				t.Errorf("users %d, want 0", got)
			}
		})
	}
}

// cancelling has a caller leave when a command was answered.
type cancelling struct {
	after  string
	cancel func()
}

func (cancelling) DialHook(next redis.DialHook) redis.DialHook { return next }

func (cancelling) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c cancelling) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == c.after {
			c.cancel()
		}
		return err
	}
}

// TestFullServerWithoutTheLibrary: it takes no library, and still what is released.
func TestFullServerWithoutTheLibrary(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 5)))
	redisDo(t, server, "FUNCTION", "FLUSH")
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "1")
	mustApply(t, s, txnOf(app, add("users", -1)))
	wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.StoreOutOfMemory)
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "0")
	if got := used(t, s, app, "users"); got != 4 {
		t.Errorf("users %d, want 4", got)
	}
}

// TestLostReplyToLibrary: nothing was counted, and what counts is evaluated.
func TestLostReplyToLibrary(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "")
	app := newApp(t, s, 1)
	proxy.DropReplyTo("#!lua name=")
	mustApply(t, s, txnOf(app, add("users", 1)))
	if s.form() != byFunction {
		t.Error("a lost reply is taken for a refusal")
	}
	mustApply(t, s, txnOf(app, add("users", 1)))
	if got := used(t, s, app, "users"); got != 2 {
		t.Errorf("users %d, want 2", got)
	}
}

// TestLibraryInCluster: each server is given it that has an app, and its replicas
// have it from it.
func TestLibraryInCluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 3)
	s := initialized(t, "redis+cluster://"+c.Nodes[0].Addr)
	var txns []quota.Txn
	for id := range uint32(24) { // of each
		txns = append(txns, txnOf(newApp(t, s, id+1), add("users", 1)))
	}
	for _, node := range c.Primaries(t) {
		if err := node.Client().ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	mustApply(t, s, txns...)
	for _, node := range c.Primaries(t) {
		want := libraries(t, node.Client())
		if len(want) != 1 {
			t.Errorf("libraries %q, want one", want)
		}
		eventually(t, 10*time.Second, "the replica to have it", func() error {
			if diff := cmp.Diff(want, libraries(t, c.ReplicaOf(t, node).Client())); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
		if diff := cmp.Diff(map[string]int{"function|load": 1, "evalsha": 0, "eval": 0}, sent(t, node.Client(), "function|load", "evalsha", "eval")); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	}
}

// TestLibraryWhereKeysAreOnTheirWay: the server that they come to is not the one that
// is given the library, and evaluates the script.
func TestLibraryWhereKeysAreOnTheirWay(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 2, 0)
	s := initialized(t, "redis+cluster://"+c.Nodes[0].Addr)
	app := newAppOn(t, c, s, c.Nodes[0])
	_, slot := c.Owner(t, s.headerKey(app.ID))
	mustApply(t, s, txnOf(app, add("users", 1)))
	move := c.BeginMove(t, slot, c.Nodes[0], c.Nodes[1])
	for move.MoveKeys(100) > 0 {
	}
	mustApply(t, s, txnOf(app, add("users", 1)))
	if got := libraries(t, c.Nodes[1].Client()); len(got) != 0 {
		t.Errorf("libraries %q where the keys came to, want none yet", got)
	}
	move.Finish()
	counted := int64(2)
	eventually(t, 10*time.Second, "the library to be there", func() error { // the client learns where the slot is now
		mustApply(t, s, txnOf(app, add("users", 1)))
		counted++
		if got := libraries(t, c.Nodes[1].Client()); len(got) != 1 {
			return errors.New("it is not")
		}
		return nil
	})
	if got := used(t, s, app, "users"); got != counted {
		t.Errorf("users %d, want %d", got, counted)
	}
}

// TestTimeIsAskedForAtEachCall: of a library the variables outlast a call.
func TestTimeIsAskedForAtEachCall(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	timed := openWith(t, "redis://"+server.Addr, Options{ProbeEvery: time.Hour, Now: time.Now})
	now := func() time.Time {
		t.Helper()
		at, err := server.Client().Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	txn := txnOf(app, add("users", 1))
	txn.Now = now()
	mustApply(t, timed, txn)
	first := now()
	eventually(t, 5*time.Second, "the time to pass", func() error {
		if txn.Now = now(); txn.Now.Sub(first) < 5*time.Millisecond {
			return errors.New("not yet")
		}
		return nil
	})
	txn.Now = txn.Now.Add(defaultSkew - 2*time.Millisecond) // too far ahead of the first call
	mustApply(t, timed, txn)
}
