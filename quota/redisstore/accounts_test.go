package redisstore

import (
	"testing"

	"github.com/imquota/imquota/account"
)

// TestDamagedAccount is named, and keeps no other from being read.
func TestDamagedAccount(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	for i, tt := range []struct {
		name  string
		plant []any // before and after the key
		want  account.FaultReason
	}{
		{"no hash", []any{"SET", "text"}, account.UsageUnknown},
		{"no version", []any{"HSET", "r", `{"format":1,"id":"sick"}`}, account.UsageUnknown},
		{"no record", []any{"HSET", "v", "a.1"}, account.UsageUnknown},
		{"text", []any{"HSET", "v", "a.1", "r", "text"}, account.UsageUnknown},
		{"another account", []any{"HSET", "v", "a.1", "r", `{"format":1,"id":"other"}`}, account.UsageUnknown},
		{"newer", []any{"HSET", "v", "a.1", "r", `{"format":99,"id":"sick"}`}, account.RecordNewer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			newApp(t, s, uint32(i+1))
			redisDo(t, server, "DEL", s.ownerKey("sick"))
			redisDo(t, server, append([]any{tt.plant[0], s.ownerKey("sick")}, tt.plant[1:]...)...)
			loaded := s.Accounts(t.Context(), []string{"acme", "sick", "never"})
			wantReason(t, loaded[1].Err, tt.want)
			if !account.IsOfRecord(loaded[1].Err) || loaded[1].Account != nil {
				t.Errorf("%+v", loaded[1])
			}
			for _, l := range []account.LoadedAccount{loaded[0], loaded[2]} {
				if l.Err != nil {
					t.Errorf("the others: %v", l.Err)
				}
			}
			if got := loaded[0].Account.Apps; got != i+1 {
				t.Errorf("%d apps, want %d", got, i+1)
			}
		})
	}
}

// TestLostAccounts: that a store which lost everything knows no bills does not
// mean that they are paid.
func TestLostAccounts(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	if err := s.UpdateAccount(t.Context(), &account.Account{ID: "acme"}); err != nil {
		t.Fatal(err)
	}
	redisDo(t, server, "FLUSHALL")
	wantReason(t, s.Accounts(t.Context(), []string{"acme"})[0].Err, account.StoreNotInitialized)
}

// TestAccountsInOneStep however many there are.
func TestAccountsInOneStep(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	count := &trips{}
	s.client.AddHook(count)
	if loaded := s.Accounts(countedContext(t), names(100, "acct%d")); len(loaded) != 100 || loaded[99].Account.ID != "acct99" {
		t.Errorf("loaded %d", len(loaded))
	}
	if got := count.n.Load(); got != 1 {
		t.Errorf("%d round trips, want 1", got)
	}
}
