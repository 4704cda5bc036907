package redisstore

import (
	"testing"
	"time"

	"github.com/imquota/imquota/account"
)

// TestReplyOfAnother: a call whose connection is out of step, because a reply came
// twice, does not take another one's reply for its own.
func TestReplyOfAnother(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "?pool_size=1")
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 1)))
	for range 2 { // the first one sends the script, the other one is what is repeated
		mustApply(t, s, txnOf(app, add("users", 1)))
	}
	txn := txnOf(app, add("users", 1))
	txn.Request = requestOf("once")
	proxy.RepeatReplyAt("fcall")
	wantReason(t, applyOne(t.Context(), s, txn).Err, account.OutcomeUnknown)
	// Its own reply may come when the next call is waiting for one, and so on: none
	// of them is answered wrong.
	eventually(t, 10*time.Second, "a connection that is in step", func() error {
		o := applyOne(t.Context(), s, txn)
		if o.Err == nil && (!o.Replayed || o.Charges[0].Used[0] != 4) {
			t.Errorf("repeated: %+v", o)
		}
		return o.Err
	})
	if got := used(t, s, app, "users"); got != 4 {
		t.Errorf("users %d, want 4", got)
	}
}
