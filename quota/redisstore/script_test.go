package redisstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

func TestOneScriptCallPerApply(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	apps := []uint32{1, 2}
	one, two := newApp(t, s, apps[0]), newApp(t, s, apps[1])
	big := txnOf(one, add("live_groups", 1), addEach("friends", 1, names(40, "user%d")...), addEach("joined_groups", 1, names(40, "user%d")...))
	big.Request = requestOf("first")
	big.Users = quota.UserStep{Op: quota.UsersLogin, IDs: names(5, "user%d"), Month: 24314}
	big.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "g", Type: 'p', Day: 3}
	mustApply(t, s, big, txnOf(two, add("users", 1))) // both forms of the script are loaded

	tests := []struct {
		name string
		txns []quota.Txn
		want int
	}{
		{"a transaction with many counters", []quota.Txn{txnOf(one, big.Charges...)}, 1},
		{"many transactions of one app", []quota.Txn{txnOf(one, add("a", 1)), txnOf(one, add("b", 1)), txnOf(one, add("c", 1))}, 1},
		{"two apps, mixed", []quota.Txn{txnOf(one, add("a", 1)), txnOf(two, add("a", 1)), txnOf(one, add("b", 1)), txnOf(two, add("b", 1))}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			mustApply(t, s, tt.txns...)
			if got := calls(t, client, "fcall"); got != tt.want {
				t.Errorf("%d FCALL, want %d", got, tt.want)
			}
			if got := calls(t, client, "eval") + calls(t, client, "evalsha") + calls(t, client, `function|load`); got != 0 {
				t.Errorf("%d scripts sent as text, want none", got)
			}
		})
	}
}

func TestFlushedScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	for way, run := range forms {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t)
			run(s)
			client := server.Client()
			one, two := newApp(t, s, 1), newApp(t, s, 2)
			for i, txns := range [][]quota.Txn{
				{txnOf(one, add("users", 1))},
				{txnOf(one, add("users", 1)), txnOf(two, add("users", 1)), txnOf(two, add("users", 1))},
			} {
				t.Run(fmt.Sprintf("%d transactions", len(txns)), func(t *testing.T) {
					flush(t, client)
					mustApply(t, s, txns...)
					if got, want := used(t, s, one, "users"), int64(i+1); got != want {
						t.Errorf("users of the first app %d, want %d", got, want)
					}
				})
			}
			if got := used(t, s, two, "users"); got != 2 {
				t.Errorf("users of the second app %d, want 2", got)
			}
		})
	}
}

// TestLargeBatchesAreCut shows that the order of an app's transactions survives
// being cut into several scripts: each sees what all before it have counted.
func TestLargeBatchesAreCut(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app, other := newApp(t, s, 1), newApp(t, s, 2)
	used(t, s, app, "warm")
	tests := []struct {
		name    string
		charges func(i int) []quota.Charge
		txns    int
		want    int // scripts
	}{
		{"more than 128 transactions", func(int) []quota.Charge { return []quota.Charge{add("a", 1)} }, 300, 3},
		{"more than 256 charges", func(int) []quota.Charge {
			return []quota.Charge{add("b", 1), addEach("friends", 1, names(99, "user%d")...)}
		}, 5, 3},
		{"one of 1000 users goes alone", func(i int) []quota.Charge {
			if i == 1 {
				return []quota.Charge{add("c", 1), addEach("joined_groups", 1, names(1000, "user%d")...)}
			}
			return []quota.Charge{add("c", 1)}
		}, 3, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var txns []quota.Txn
			var want, got []int64
			for i := range tt.txns {
				txns = append(txns, txnOf(app, tt.charges(i)...))
				want = append(want, int64(i))
			}
			mustApply(t, s, txns[0], txnOf(other, add("warm", 1))) // the script is loaded
			reset := txnOf(app, tt.charges(0)[0])
			reset.Charges[0].Basis, reset.Charges[0].Delta = quota.Absolute, 0
			mustApply(t, s, reset)
			if err := client.ConfigResetStat(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			for _, o := range mustApply(t, s, txns...) {
				got = append(got, o.Charges[0].Used[0])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("counters before each transaction (-want +got):\n%s", diff)
			}
			if got := calls(t, client, "fcall"); got != tt.want {
				t.Errorf("%d scripts, want %d", got, tt.want)
			}
		})
	}
}

// TestOneDenialAmongMany shows that outcomes keep their places across cuts and
// apps, and that a refused transaction writes nothing.
func TestOneDenialAmongMany(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	one, two := newApp(t, s, 1), newApp(t, s, 2)
	limited := add("users", 1)
	limited.Limit = catalog.Max(100)
	var txns []quota.Txn
	for i := range 300 {
		app := one
		if i%2 == 1 {
			app = two
		}
		txns = append(txns, txnOf(app, limited))
	}
	for i, o := range s.Apply(t.Context(), txns) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if want := i/2 < 100; o.Applied != want {
			t.Errorf("transaction %d applied %v, want %v", i, o.Applied, want)
		}
	}
	if got := []int64{used(t, s, one, "users"), used(t, s, two, "users")}; got[0] != 100 || got[1] != 100 {
		t.Errorf("users %v, want 100 each", got)
	}
}

func TestStepThatChangesNothingLeavesTheHeader(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newApp(t, s, 1)
	login := txnOf(app)
	login.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"alice"}, Month: 24314}
	header := func() []any {
		fields, err := client.HMGet(t.Context(), s.headerKey(app.ID), "c", "s").Result()
		if err != nil {
			t.Fatal(err)
		}
		return fields
	}
	mustApply(t, s, login)
	first := header()
	if first[1] != "1" {
		t.Fatalf("sequence %v after the first write, want 1", first[1])
	}
	mustApply(t, s, login)
	if diff := cmp.Diff(first, header()); diff != "" {
		t.Errorf("a login that was known wrote the header (-before +after):\n%s", diff)
	}
	login.Request = requestOf("remembered")
	mustApply(t, s, login)
	if got := header()[1]; got != "2" {
		t.Errorf("sequence %v after a request id was written, want 2", got)
	}
}

// BenchmarkLargestStep reports how long Redis is held by an action on 1000
// users, each of whom joins a group.
func BenchmarkLargestStep(b *testing.B) {
	server := redistest.Standalone(b)
	s := initialized(b, "redis://"+server.Addr)
	client := server.Client()
	app := newApp(b, s, 1)
	users := names(1000, "user-with-a-name-%04d")
	join := txnOf(app, addEach("joined_groups", 1, users...))
	register := txnOf(app, add("users", 1), add("mau", 1))
	register.Users = quota.UserStep{Op: quota.UsersLogin, IDs: users, Month: 24314}
	register.Charges[0].Basis, register.Charges[1].Basis = quota.PerNewUser, quota.PerNewActive
	drop := txnOf(app, add("users", -1))
	drop.Charges[0].Basis = quota.PerGoneUser
	drop.Users = quota.UserStep{Op: quota.UsersDelete, IDs: users, Month: 24314, Drop: []quota.Counter{
		{Quota: "friends", Scope: catalog.ScopeUser}, {Quota: "joined_groups", Scope: catalog.ScopeUser},
	}}
	befriend := txnOf(app, addEach("friends", 1, users...))
	for _, bb := range []struct {
		name  string
		txn   quota.Txn
		after []quota.Txn // what it needs to find
	}{
		{"join", join, nil},
		{"login", register, []quota.Txn{drop}},
		{"login again", register, nil},
		{"delete", drop, []quota.Txn{register}},
		{"delete with counters", drop, []quota.Txn{register, join, befriend}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			mustApply(b, s, bb.txn) // the script is loaded
			held := 0.0
			for b.Loop() {
				mustApply(b, s, bb.after...)
				if err := client.ConfigResetStat(context.Background()).Err(); err != nil {
					b.Fatal(err)
				}
				mustApply(b, s, bb.txn)
				held += microseconds(b, client, "fcall")
			}
			b.ReportMetric(held/float64(b.N), "redis-µs/op")
			b.ReportMetric(0, "ns/op")
		})
	}
}
