package quota_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// keeping keeps what it is given, as a store may.
type keeping struct {
	*storetest.Model

	given [][]quota.Txn
	said  []string // of each, when it was given
}

func (k *keeping) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	k.given, k.said = append(k.given, txns), append(k.said, fmt.Sprintf("%+v", txns))
	return k.Model.Apply(ctx, txns)
}

// TestStoreMayKeepTransactions: what a store was given is not used again.
func TestStoreMayKeepTransactions(t *testing.T) {
	t.Parallel()
	k := &keeping{Model: storetest.NewModel()}
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: k, Registry: k, Now: func() time.Time { return noon }})
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "developer", Created: noon, FanoutBits: 8}
	if err := k.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SetUsage(t.Context(), quota.UsageSetting{App: 7, Quota: "friends", Subject: "a", Used: 20}); err != nil {
		t.Fatal(err) // so that other editions are asked about
	}
	var requests []*quota.Request
	for name, action := range allActions() {
		requests = append(requests, &quota.Request{App: 7, ID: name, Action: action})
	}
	for range 3 {
		for _, r := range requests {
			if _, err := e.Check(t.Context(), r); err != nil {
				t.Log(err) // a group that exists, say
			}
		}
		e.CheckAll(t.Context(), requests)
	}
	for i, txns := range k.given {
		if now := fmt.Sprintf("%+v", txns); now != k.said[i] {
			t.Errorf("a store was given\n%s\nand has now\n%s", k.said[i], now)
		}
	}
}
