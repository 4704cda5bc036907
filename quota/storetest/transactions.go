package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"pgregory.net/rapid"
)

// testTransactions draws sequences of transactions and compares the driver
// with the model, outcome by outcome.
func testTransactions(t *testing.T, d Driver) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) { newPair(t, r, d).run() })
}

// FuzzTransactions is the same for the fuzzer, with ids and numbers that the
// suite does not think of: whatever steps it makes of its bytes, the driver
// comes to what the model comes to; and so all drivers come to the same.
func FuzzTransactions(f *testing.F, d Driver) {
	f.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		steps := make([]byte, 16<<10)
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		f.Add(steps)
	}
	apps := uint32(0)
	f.Fuzz(func(t *testing.T, steps []byte) {
		rapid.MakeFuzz(func(r *rapid.T) {
			apps++ // so many that two might draw the same
			p := newPair(t, r, d)
			p.wild, p.app = true, apps
			p.run()
		})(t, steps)
	})
}

// pair is an app on a driver and on the model.
type pair struct {
	t            *testing.T
	r            *rapid.T
	driver       Driver
	model        *Model
	real, mapped *account.App
	now          time.Time
	wild         bool   // any id, any number
	app          uint32 // its id; zero: any
}

func newPair(t *testing.T, r *rapid.T, d Driver) *pair {
	t.Helper()
	return &pair{t: t, r: r, driver: d, model: NewModel(), now: noon}
}

func (p *pair) run() {
	p.create()
	for range rapid.IntRange(5, 30).Draw(p.r, "calls") {
		p.step()
	}
	p.compareEntries()
}

func (p *pair) create() {
	if p.app == 0 {
		p.app = anyApp()
	}
	p.real = createAppOf(p.t, p.driver, "random", p.app)
	p.mapped = p.real.Clone()
	if err := p.model.CreateApp(p.t.Context(), p.mapped, account.Event{}, roomy, false); err != nil {
		p.t.Fatal(err)
	}
}

// step draws one call: transactions, or a change of the record.
func (p *pair) step() {
	switch rapid.IntRange(0, 19).Draw(p.r, "step") {
	case 0:
		if err := errors.Join(p.driver.UpdateApp(p.t.Context(), p.real, account.Event{}), p.model.UpdateApp(p.t.Context(), p.mapped, account.Event{})); err != nil {
			p.r.Fatal(err)
		}
		return
	case 1:
		p.now = p.now.Add(time.Duration(rapid.IntRange(-90, 2000).Draw(p.r, "minutes")) * time.Minute)
	default:
		p.now = p.now.Add(time.Duration(rapid.IntRange(-3, 200).Draw(p.r, "seconds")) * time.Second)
	}
	var txns []quota.Txn
	for range rapid.IntRange(1, 4).Draw(p.r, "transactions") {
		txns = append(txns, p.draw())
	}
	p.compare(txns)
}

// compare carries the same transactions out on both.
func (p *pair) compare(txns []quota.Txn) {
	p.r.Helper()
	onModel := slices.Clone(txns)
	for i := range txns {
		txns[i].App, txns[i].FanoutBits, txns[i].Version = p.real.ID, p.real.FanoutBits, p.real.Version
		onModel[i].App, onModel[i].Version = p.mapped.ID, p.mapped.Version
	}
	want, got := p.model.Apply(p.t.Context(), onModel), p.driver.Apply(p.t.Context(), txns)
	for i := range txns {
		if diff := cmp.Diff(plain(&want[i]), plain(&got[i])); diff != "" {
			p.r.Fatalf("transaction %d of %d, %+v (-model +driver):\n%s", i+1, len(txns), txns[i], diff)
		}
	}
}

// outcome is a quota.Outcome whose error can be compared.
type outcome struct {
	Err               string
	Applied, Replayed bool
	Clock             int64
	Group             quota.GroupRecord
	Charges           []quota.ChargeOutcome
	Users, LeaseEnd   int64
	Gateways          int
	Peaks             []int64
	Hold              quota.HoldState
	HoldEnd           int64
	Plan              string
}

func plain(o *quota.Outcome) outcome {
	c := outcome{
		Applied: o.Applied, Replayed: o.Replayed, Group: o.Group, Charges: o.Charges,
		Users: o.Online.Users, Gateways: o.Online.Gateways, Peaks: o.Online.Peaks,
		Hold: o.Hold.State, Plan: string(o.Hold.Plan),
	}
	if !o.Hold.End.IsZero() {
		c.HoldEnd = o.Hold.End.UnixMilli()
	}
	c.Charges = slices.Clone(c.Charges)
	for i := range c.Charges {
		if !slices.ContainsFunc(c.Charges[i].Held, func(n int64) bool { return n != 0 }) {
			c.Charges[i].Held = nil
		}
	}
	if !o.Online.LeaseEnd.IsZero() {
		c.LeaseEnd = o.Online.LeaseEnd.UnixMilli()
	}
	if len(c.Charges) == 0 {
		c.Charges = nil
	}
	if !o.Clock.IsZero() {
		c.Clock = o.Clock.UnixMilli()
	}
	if o.Err != nil {
		c.Err = o.Err.Error()
		if passed, ok := errors.AsType[*quota.WindowPassedError](o.Err); ok {
			c.Err = fmt.Sprint("window passed at ", passed.Clock.UnixMilli())
		}
	}
	return c
}

// draw draws one transaction.
func (p *pair) draw() quota.Txn {
	r := p.r
	t := quota.Txn{Now: p.now, Mode: rapid.SampledFrom([]quota.TxnMode{quota.ModeConsume, quota.ModeConsume, quota.ModeConsume, quota.ModeForce, quota.ModeJudge}).Draw(r, "mode")}
	if rapid.IntRange(0, 2).Draw(r, "with id") == 0 {
		t.Request = p.settled(key(rapid.Byte().Draw(r, "id")%4, rapid.Byte().Draw(r, "what")%2))
	}
	day, thisMonth := catalog.WindowAt(catalog.KindDay, p.now, zone), catalog.WindowAt(catalog.KindMonth, p.now, zone)
	ids := func(label string) []string {
		return rapid.SliceOfNDistinct(p.id("a", "b", "a:b", "{}", "long id with spaces"), 1, 4, rapid.ID[string]).Draw(r, label)
	}
	seen := make(map[string]bool)
	for range rapid.IntRange(0, 4).Draw(r, "charges") {
		c := quota.Charge{Counter: rapid.SampledFrom([]quota.Counter{friends, groups, dailyNet, stickers, mau}).Draw(r, "counter")}
		if seen[c.Quota] {
			continue
		}
		seen[c.Quota] = true
		switch c.Window.Kind {
		case catalog.KindDay:
			c.Window, t.WindowEnd = day, day.End
		case catalog.KindMonth:
			c.Window = thisMonth
			if t.WindowEnd.IsZero() {
				t.WindowEnd = thisMonth.End
			}
		case catalog.KindStock, catalog.KindStatic:
		}
		if c.Scope == catalog.ScopeUser {
			c.Subjects = ids("subjects")
		}
		p.drawCharge(&c)
		t.Charges = append(t.Charges, c)
	}
	if rapid.IntRange(0, 3).Draw(r, "counters alone") == 0 {
		return t
	}
	if op := rapid.SampledFrom([]quota.UserOp{quota.UsersNone, quota.UsersRegister, quota.UsersLogin, quota.UsersDelete, quota.UsersActive}).Draw(r, "users"); op != quota.UsersNone {
		t.Users = quota.UserStep{Op: op, IDs: ids("users"), Month: catalog.Month(p.now, zone)}
		if t.WindowEnd.IsZero() {
			t.WindowEnd = thisMonth.End
		}
		if op == quota.UsersDelete && !seen[friends.Quota] && !seen[stickers.Quota] {
			t.Users.Drop = []quota.Counter{friends, {Quota: stickers.Quota, Scope: stickers.Scope, Window: day}}
			t.WindowEnd = day.End
		}
	}
	p.drawGroup(&t)
	p.drawOnline(&t, thisMonth)
	p.drawHold(&t)
	return t
}

// id draws one of a few ids or, now and then, another: printable ASCII, as the
// edge lets through.
func (p *pair) id(few ...string) *rapid.Generator[string] {
	if !p.wild {
		return rapid.SampledFrom(few)
	}
	return rapid.OneOf(rapid.SampledFrom(few), rapid.Custom(func(r *rapid.T) string {
		return string(rapid.SliceOfN(rapid.ByteRange(' ', '~'), 1, quota.MaxUserID).Draw(r, "bytes"))
	}))
}

// number draws a number of a range or, now and then, any that is exact.
func (p *pair) number(label string, from, to int64) int64 {
	if !p.wild {
		return rapid.Int64Range(from, to).Draw(p.r, label)
	}
	few := rapid.Int64Range(from, to)
	end := rapid.SampledFrom([]int64{catalog.MaxLimit, catalog.MaxLimit - 1, catalog.MaxLimit / 2, -catalog.MaxLimit})
	return rapid.OneOf(few, few, few, end, rapid.Int64Range(-catalog.MaxLimit, catalog.MaxLimit)).Draw(p.r, label)
}

// settled returns the key, or none when a store may remember it but need not.
func (p *pair) settled(k quota.RequestKey) quota.RequestKey {
	known, ok := p.model.apps[p.mapped.ID].requests[k.Hash]
	if !ok {
		return k
	}
	if age := p.clock().Sub(known.at); age > quota.RequestHorizon && age < 4*quota.RequestHorizon {
		return quota.RequestKey{}
	}
	return k
}

// clock is the app's, if a transaction came now.
func (p *pair) clock() time.Time {
	if clock := p.model.apps[p.mapped.ID].clock; clock.After(p.now) {
		return clock
	}
	return p.now
}

func drawn[T any](r *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(r, label)
}

// many is more than anybody reserves, or counts for each of some users: with
// more than that, sums of what is held or counted need not be exact.
const many = 1 << 40

func (p *pair) drawCharge(c *quota.Charge) {
	r := p.r
	c.Delta = p.number("delta", -3, 4)
	c.Limit = rapid.SampledFrom([]catalog.Limit{catalog.Max(0), catalog.Max(3), catalog.Max(6), catalog.Unlimited()}).Draw(r, "limit")
	if p.wild {
		c.Limit = rapid.SampledFrom([]catalog.Limit{c.Limit, c.Limit, catalog.Max(catalog.MaxLimit), catalog.Max(max(0, p.number("limit", 0, 9)))}).Draw(r, "other limit")
	}
	c.Signed = c.Quota == dailyNet.Quota
	c.Basis = rapid.SampledFrom([]quota.Basis{quota.PerTxn, quota.PerTxn, quota.PerNewUser, quota.PerNewActive, quota.PerGoneUser}).Draw(r, "basis")
	if c.Delta < -many || c.Delta > many {
		c.Basis = quota.PerTxn
	}
	if len(c.Subjects) == 1 && rapid.IntRange(0, 5).Draw(r, "absolute") == 0 {
		c.Basis, c.Delta = quota.Absolute, max(0, c.Delta)
	}
	if rapid.IntRange(0, 3).Draw(r, "guarded") == 0 {
		c.Types = rapid.SampledFrom([]string{"", "w", "l", "wl"}).Draw(r, "types")
		c.SameDay = rapid.Bool().Draw(r, "same day")
	}
}

func (p *pair) drawOnline(t *quota.Txn, running catalog.Window) {
	r := p.r
	t.Online.Op = rapid.SampledFrom([]quota.OnlineOp{quota.OnlineNone, quota.OnlineNone, quota.OnlineRead, quota.OnlineReport}).Draw(r, "online")
	if t.Online.Op == quota.OnlineNone {
		return
	}
	t.Online.Months = []catalog.Window{running, monthWindow(running.Start.Add(-1))}
	if t.WindowEnd.IsZero() {
		t.WindowEnd = running.End
	}
	if t.Online.Op == quota.OnlineReport {
		t.Online.Gateway = rapid.SampledFrom([]string{"a", "b", "a:b", "e"}).Draw(r, "gateway")
		t.Online.Users = rapid.Int64Range(0, 5).Draw(r, "users online")
		t.Online.Lease = time.Duration(rapid.IntRange(1, 3600).Draw(r, "lease")) * time.Second
	}
}

func (p *pair) drawGroup(t *quota.Txn) {
	r := p.r
	op := quota.GroupOp(rapid.IntRange(int(quota.GroupNone), int(quota.GroupDissolve)).Draw(r, "group"))
	if op == quota.GroupNone {
		return
	}
	t.Group = quota.GroupStep{Op: op, ID: p.id("g", "h").Draw(r, "id"), Day: catalog.Day(p.now, zone)}
	if op == quota.GroupCreate || op == quota.GroupTouch || rapid.Bool().Draw(r, "typed") {
		t.Group.Type = rapid.SampledFrom([]byte{'w', 'w', 'l'}).Draw(r, "type")
	}
	if rapid.Bool().Draw(r, "members") {
		t.Charges = append(t.Charges, quota.Charge{
			Counter: members, Members: true, Delta: p.number("members", -3, 4), Limit: catalog.Max(6),
		})
	}
}
