package account_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

func TestStateAt(t *testing.T) {
	t.Parallel()
	const grace = 24 * time.Hour
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	created := at("2024-05-01T00:00:00+08:00")
	start, end := at("2024-06-01T00:00:00+08:00"), at("2024-07-01T00:00:00+08:00")
	order := account.Order{ID: "o1", Edition: "standard", Start: start, End: end}
	later := account.Order{ID: "o2", Edition: "standard", Start: end.Add(48 * time.Hour), End: end.Add(96 * time.Hour)}

	tests := []struct {
		name   string
		orders []account.Order
		now    time.Time
		want   account.State
	}{
		{"no orders never expire", nil, end.AddDate(9, 0, 0), account.State{Stage: account.Active}},
		{"before the first order", []account.Order{order}, start.Add(-time.Second), account.State{Stage: account.Suspended, Since: created, Until: start}},
		{"first second", []account.Order{order}, start, account.State{Stage: account.Active, Until: end}},
		{"last second", []account.Order{order}, end.Add(-time.Second), account.State{Stage: account.Active, Until: end}},
		{"expiry", []account.Order{order}, end, account.State{Stage: account.Grace, GraceUntil: end.Add(grace), Until: end.Add(grace)}},
		{"last second of grace", []account.Order{order}, end.Add(grace - time.Second), account.State{Stage: account.Grace, GraceUntil: end.Add(grace), Until: end.Add(grace)}},
		{"after grace", []account.Order{order}, end.Add(grace), account.State{Stage: account.Suspended, Since: end.Add(grace)}},
		{"suspended until the next order", []account.Order{order, later}, end.Add(grace), account.State{Stage: account.Suspended, Since: end.Add(grace), Until: later.Start}},
		{"cured by the next order", []account.Order{order, later}, later.Start, account.State{Stage: account.Active, Until: later.End}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := account.App{Created: created, Orders: tt.orders}
			if diff := cmp.Diff(tt.want, app.StateAt(tt.now, grace)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSortOrders(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2024, 6, d, 0, 0, 0, 0, time.UTC) }
	orders := []account.Order{{ID: "b", Start: day(10), End: day(20)}, {ID: "a", Start: day(1), End: day(10)}}
	if err := account.SortOrders(orders); err != nil {
		t.Fatalf("orders that touch: %v", err)
	}
	if orders[0].ID != "a" {
		t.Errorf("first order is %q, want a", orders[0].ID)
	}
	orders[0].End = day(10).Add(time.Second)
	if err := account.SortOrders(orders); err == nil {
		t.Error("orders that share a second were accepted")
	}
}

func TestFanoutBitsFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		users int64
		want  uint8
	}{
		{0, 14}, {-1, 14}, {1, 8}, {256 * 64, 8}, {256*64 + 1, 9}, {1 << 20, 14}, {1<<20 + 1, 15}, {1 << 40, 20},
	} {
		if got := account.FanoutBitsFor(tt.users); got != tt.want {
			t.Errorf("FanoutBitsFor(%d) = %d, want %d", tt.users, got, tt.want)
		}
	}
}

func TestRememberKeepsTheNewest(t *testing.T) {
	t.Parallel()
	app := account.App{Creation: account.Change{RequestID: "creation", Fingerprint: 7}}
	app.Remember(account.Change{})
	if len(app.Changes) != 0 {
		t.Error("a change without a request id was remembered")
	}
	for i := range 20 {
		app.Remember(account.Change{RequestID: string(rune('a' + i)), Fingerprint: uint64(i)})
	}
	if _, ok := app.Remembered("a"); ok {
		t.Error("the oldest of 20 changes is still remembered")
	}
	if c, ok := app.Remembered("t"); !ok || c.Fingerprint != 19 {
		t.Errorf("newest change: %+v, %v", c, ok)
	}
	if c, ok := app.Remembered("creation"); !ok || c.Fingerprint != 7 {
		t.Errorf("the creation is forgotten: %+v, %v", c, ok)
	}
	if _, ok := app.Remembered(""); ok {
		t.Error("the empty request id was found")
	}
}
