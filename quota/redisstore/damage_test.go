package redisstore

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// TestDamagedValues plants what is no count in the middle of a batch: the
// transaction that touches it writes nothing at all, the others are applied.
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	const bits = account.DefaultFanoutBits
	group := quota.GroupStep{Op: quota.GroupTouch, ID: "g", Type: 'p'}
	request := requestOf("id")
	login := quota.UserStep{Op: quota.UsersLogin, IDs: []string{"new", "alice"}, Month: 24314}
	deletion := quota.UserStep{Op: quota.UsersDelete, IDs: []string{"bob", "alice"}, Month: 24314, Drop: []quota.Counter{
		{Quota: "friends", Scope: catalog.ScopeUser}, {Quota: "joined", Scope: catalog.ScopeUser},
	}}
	tests := []struct {
		name  string
		key   string // after the app's prefix
		plant []any  // before and after the key
		txn   func(t *quota.Txn)
	}{
		{"a counter that is text", "c", []any{"HSET", "sick", "text"}, func(t *quota.Txn) {
			t.Charges = append(t.Charges, add("sick", 1))
		}},
		{"a counter that is a fraction", "c", []any{"HSET", "sick", "1.5"}, func(t *quota.Txn) {
			t.Charges = append(t.Charges, add("sick", 1))
		}},
		{"a counter that is not exact", "c", []any{"HSET", "sick", "9007199254740993"}, func(t *quota.Txn) {
			t.Charges = append(t.Charges, add("sick", 1))
		}},
		{"a counter that is empty", "c", []any{"HSET", "sick", ""}, func(t *quota.Txn) {
			t.Charges = append(t.Charges, add("sick", 1))
		}},
		{"a bucket of counters that is no hash", "s:friends:" + bucket("alice", bits), []any{"SET", "text"}, func(t *quota.Txn) {
			t.Charges = append(t.Charges, addEach("friends", 1, "bob", "alice"))
		}},
		{"a user's month that is text", "u:" + bucket("alice", bits), []any{"HSET", "alice", "may"}, func(t *quota.Txn) {
			t.Users = login
		}},
		{"a bucket of users that is no hash", "u:" + bucket("alice", bits), []any{"SET", "text"}, func(t *quota.Txn) {
			t.Users = login
		}},
		{"a bucket that a deletion drops from", "s:joined:" + bucket("alice", bits), []any{"SET", "text"}, func(t *quota.Txn) {
			t.Users = deletion
		}},
		{"a group's record that is text", "g:" + bucket("g", bits), []any{"HSET", "g", "text"}, func(t *quota.Txn) {
			t.Group = group
		}},
		{"a group's record without members", "g:" + bucket("g", bits), []any{"HSET", "g", "p3."}, func(t *quota.Txn) {
			t.Group = group
		}},
		{"a bucket of request ids that is no hash", requestsKey(generationOf(monday), &request, bits), []any{"SET", "text"}, func(t *quota.Txn) {
			t.Request = request
		}},
		{"an older bucket of request ids that is no hash", requestsKey(generationOf(monday)-1, &request, bits), []any{"SET", "text"}, func(t *quota.Txn) {
			t.Request = request
		}},
	}
	server, s := standalone(t)
	client := server.Client()
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t, s, uint32(i+1))
			known := txnOf(app, addEach("friends", 3, "bob"))
			known.Users = quota.UserStep{Op: quota.UsersRegister, IDs: []string{"bob"}}
			mustApply(t, s, known)
			redisDo(t, server, append([]any{tt.plant[0], s.appPrefix(app.ID) + tt.key}, tt.plant[1:]...)...)

			sick := txnOf(app, add("users", 10), addEach("friends", 10, "carol"))
			tt.txn(&sick)
			healthy := txnOf(app, add("users", 1))
			healthy.Mode = quota.ModeForce
			before := dumpAll(t, client)
			if o := applyOne(t.Context(), s, sick); reasonOf(o.Err) != account.UsageUnknown {
				t.Errorf("alone it answered %+v, want %s", o, account.UsageUnknown)
			}
			if diff := cmp.Diff(before, dumpAll(t, client)); diff != "" {
				t.Errorf("the damaged transaction wrote (-before +after):\n%s", diff)
			}
			outcomes := s.Apply(t.Context(), []quota.Txn{healthy, sick, healthy})
			wantReason(t, outcomes[1].Err, account.UsageUnknown)
			if !outcomes[0].Applied || !outcomes[2].Applied {
				t.Errorf("the others answered %+v and %+v, want applied", outcomes[0], outcomes[2])
			}
			if got := used(t, s, app, "users"); got != 2 {
				t.Errorf("users %d, want 2", got)
			}
		})
	}
	t.Run("a header that is no hash", func(t *testing.T) {
		app := newApp(t, s, 100)
		redisDo(t, server, "SET", s.headerKey(app.ID), "text")
		for _, o := range s.Apply(t.Context(), []quota.Txn{txnOf(app, add("users", 1)), txnOf(app, add("users", 1))}) {
			wantReason(t, o.Err, account.UsageUnknown)
		}
		_, err := s.App(t.Context(), app.ID)
		wantReason(t, err, account.UsageUnknown)
		wantReason(t, s.UpdateApp(t.Context(), app, account.Event{}), account.UsageUnknown)
	})
	t.Run("a record that is no app", func(t *testing.T) {
		app := newApp(t, s, 101)
		setRecord(t, server, s, app.ID, "{")
		_, err := s.App(t.Context(), app.ID)
		wantReason(t, err, account.UsageUnknown)
	})
	t.Run("a header without its version", func(t *testing.T) {
		app := newApp(t, s, 102)
		redisDo(t, server, "HDEL", s.headerKey(app.ID), "v")
		_, err := s.App(t.Context(), app.ID)
		wantReason(t, err, account.UsageUnknown)
	})
}

// TestScriptThatBreaksOff: what fails after its first write is not taken for
// something that wrote nothing, and the store knows that it was written to.
func TestScriptThatBreaksOff(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	lasting := strings.Replace(applyLua, "call('PEXPIRE', bucket", "call('LPUSH', bucket", 1)
	if lasting == applyLua {
		t.Fatal("the script does not say PEXPIRE where this test breaks it")
	}
	s.scripts = newApplyScripts(lasting)
	healthy := txnOf(app, add("users", 1))
	judged, added := txnOf(app, add("users", 10)), txnOf(app, addEach("friends", 1, "alice"))
	for i, sick := range []quota.Txn{judged, added} {
		sick.Request = requestOf("id" + strconv.Itoa(i))
		outcomes := s.Apply(t.Context(), []quota.Txn{sick, healthy})
		wantReason(t, outcomes[0].Err, account.OutcomeUnknown)
		if !outcomes[1].Applied {
			t.Errorf("the other answered %+v", outcomes[1])
		}
	}
	if got := used(t, s, app, "users"); got != 12 {
		t.Errorf("users %d, want 12", got)
	}
	if got := server.Client().HGet(t.Context(), s.headerKey(app.ID), "s").Val(); got != "4" {
		t.Errorf("sequence %s, want 4", got)
	}
}

// TestWhatIsNotAdded: what only adds to counters does so before it is known that it
// may. If it may not, not a byte is left of that.
func TestWhatIsNotAdded(t *testing.T) {
	t.Parallel()
	const bits = account.DefaultFanoutBits
	server, s := standalone(t)
	request := requestOf("id")
	alice := "s:friends:" + bucket("alice", bits)
	tests := []struct {
		name  string
		key   string // after the app's prefix
		plant []any  // before and after the key
		want  account.FaultReason
	}{
		{"beyond the limit", alice, []any{"HSET", "alice", "20"}, ""},
		{"text", alice, []any{"HSET", "alice", "text"}, account.UsageUnknown},
		{"a fraction", alice, []any{"HSET", "alice", "1.5"}, account.UsageUnknown},
		{"nothing", alice, []any{"HSET", "alice", ""}, account.UsageUnknown},
		{"above what is exact", alice, []any{"HSET", "alice", "9007199254740993"}, account.UsageUnknown},
		{"below what is exact", alice, []any{"HSET", "alice", "-9007199254740993"}, account.UsageUnknown},
		{"the largest there is", alice, []any{"HSET", "alice", "9223372036854775807"}, account.UsageUnknown},
		{"no hash", alice, []any{"SET", "text"}, account.UsageUnknown},
		{"no request ids", requestsKey(generationOf(monday), &request, bits), []any{"SET", "text"}, account.UsageUnknown},
		{"no older request ids", requestsKey(generationOf(monday)-1, &request, bits), []any{"SET", "text"}, account.UsageUnknown},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t, s, uint32(i+1))
			mustApply(t, s, txnOf(app, addEach("friends", 3, "bob")))
			redisDo(t, server, append([]any{tt.plant[0], s.appPrefix(app.ID) + tt.key}, tt.plant[1:]...)...)
			step := txnOf(app, addEach("friends", 1, "carol", "bob", "alice", "dave"))
			step.Request, step.Charges[0].Limit = request, catalog.Max(20)
			before := dumpAll(t, server.Client())
			if o := applyOne(t.Context(), s, step); o.Applied || reasonOf(o.Err) != tt.want {
				t.Errorf("answered %+v, want reason %q", o, tt.want)
			}
			if diff := cmp.Diff(before, dumpAll(t, server.Client())); diff != "" {
				t.Errorf("it is left (-before +after):\n%s", diff)
			}
		})
	}
}

// TestDamagedClock: a header whose numbers are none is not taken for zero,
// which would bring back windows that are over.
func TestDamagedClock(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	for i, field := range []string{"c", "s"} {
		app := newApp(t, s, uint32(i+1))
		redisDo(t, server, "HSET", s.headerKey(app.ID), field, "noon")
		wantReason(t, applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err, account.UsageUnknown)
	}
}
