package quota_test

import (
	"testing"

	"github.com/imquota/imquota/quota"
)

// TestBasicAnswersOfTheStore: those that say no more than "allowed" are one answer
// for all, and those that say more are not.
func TestBasicAnswersOfTheStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check := func(r quota.Request) *quota.Decision {
		t.Helper()
		r.App, r.Basic = 7, true
		d, err := f.Check(t.Context(), &r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	add := &quota.AddFriend{UserID: "a", FriendID: "b"}
	first := check(quota.Request{ID: "r", Action: add})
	if !first.Allowed || first.Replayed || first.Clamped || first.Reservation != nil || first.Source != quota.SourceStore {
		t.Errorf("counted: %+v", first)
	}
	if again := check(quota.Request{Action: &quota.Login{UserID: "a"}}); again != first {
		t.Errorf("another answer for another action: %+v", again)
	}
	if d := check(quota.Request{ID: "r", Action: add}); !d.Allowed || !d.Replayed {
		t.Errorf("repeated: %+v", d)
	}
	if d := check(quota.Request{Mode: quota.CheckOnly, Action: add}); !d.Allowed || d == first && d.Durability != quota.DurabilityUnknown {
		t.Errorf("only looked at: %+v", d)
	}
	if d := check(quota.Request{Action: &quota.RemoveFriend{UserID: "x", FriendID: "y"}}); !d.Allowed || !d.Clamped {
		t.Errorf("given back what is not there: %+v", d)
	}
	reserved := check(quota.Request{Mode: quota.Reserve, Action: add})
	if !reserved.Allowed || reserved.Reservation == nil {
		t.Fatalf("reserved: %+v", reserved)
	}
	f.now = f.now.Add(quota.DefaultHold)
	end := quota.ReservationEnd{App: 7, ID: reserved.Reservation.ID, Basic: true}
	if d, err := f.Commit(t.Context(), end); err != nil || !d.Allowed || !d.Late || d.Reservation == nil {
		t.Errorf("committed late: %+v, %v", d, err)
	}
	if d := check(quota.Request{Action: &quota.Login{UserID: "a"}}); d.Late {
		t.Errorf("the answer to one is the answer to all: %+v", d)
	}
}
