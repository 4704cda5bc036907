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

// keeping keeps what it is given where it does not answer, or refuses, as a store may.
// Every third transaction it does not answer.
type keeping struct {
	*storetest.Model

	number int
	given  []*quota.Txn
	said   []string // of each, when it was given
}

func (k *keeping) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := k.Model.Apply(ctx, txns)
	for i := range txns {
		if k.number++; k.number%3 == 0 {
			outcomes[i] = quota.Outcome{Err: &account.Fault{Reason: account.OutcomeUnknown}}
		}
		if outcomes[i].Err != nil {
			k.given, k.said = append(k.given, &txns[i]), append(k.said, fmt.Sprintf("%+v", txns[i]))
		}
	}
	return outcomes
}

// TestStoreMayKeepTransactions: what a store was given and has not answered is not
// used again.
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
	if len(k.given) < 10 {
		t.Errorf("%d transactions were kept", len(k.given))
	}
	for i, txn := range k.given {
		if now := fmt.Sprintf("%+v", *txn); now != k.said[i] {
			t.Errorf("a store was given\n%s\nand has now\n%s", k.said[i], now)
		}
	}
}
