package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Export implements quota.Store, all in one part.
func (m *Model) Export(_ context.Context, e quota.Export) (quota.Exported, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.apps[e.App]
	if a == nil || a.record.Version != e.Version {
		return quota.Exported{}, quota.ErrStale
	}
	if e.From != "" {
		return quota.Exported{}, &account.InvalidError{Field: "page_token", Description: "is no place in this export"}
	}
	var out quota.Exported
	for id, isKnown := range a.known {
		if _, ok := a.active[id]; isKnown && !ok {
			out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryUser, ID: id, Registered: true, Month: quota.NeverActive})
		}
	}
	for id, month := range a.active {
		out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryUser, ID: id, Registered: a.known[id], Month: month})
	}
	for id, g := range a.groups {
		out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryGroup, ID: id, Group: g})
	}
	for id, day := range a.gone {
		out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryDissolved, ID: id, Day: day})
	}
	for _, c := range e.Counters {
		for k, used := range a.counters {
			if k.quota == c.Quota && k.start == c.Window.Start.Unix() && (k.subject == "") == (c.Scope == catalog.ScopeApp) && used != 0 {
				out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryCounter, ID: k.subject, Counter: c, Used: used})
			}
		}
	}
	for start, users := range a.online.peaks {
		if users != 0 {
			out.Entries = append(out.Entries, quota.Entry{Kind: quota.EntryPeak, Start: time.UnixMilli(start), Used: users})
		}
	}
	return out, nil
}

// Restore implements quota.Store.
func (m *Model) Restore(_ context.Context, r quota.Restoration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.apps[r.App] != nil {
		return account.ErrAppExists
	}
	a := m.restored[r.App]
	if a == nil {
		a = newModelApp()
		a.online.peaks = make(map[int64]int64)
		m.restored[r.App] = a
	}
	for _, e := range r.Entries {
		switch e.Kind {
		case quota.EntryUser:
			if a.known[e.ID] = e.Registered; !e.Registered {
				delete(a.known, e.ID)
			}
			if e.Month != quota.NeverActive {
				a.active[e.ID] = e.Month
			}
		case quota.EntryGroup:
			a.groups[e.ID] = e.Group
		case quota.EntryDissolved:
			a.gone[e.ID] = e.Day
		case quota.EntryCounter:
			if w := e.Counter.Window; w.IsStock() || w.KeptUntil().After(r.Now) {
				a.counters[counterOf(e.Counter, e.ID)] = e.Used
			}
		case quota.EntryPeak:
			a.online.peaks[e.Start.UnixMilli()] = e.Used
		}
	}
	return nil
}

// allCounters are those that the suite counts on, in the windows of an instant.
func allCounters(at time.Time) []quota.Counter {
	day, month := catalog.WindowAt(catalog.KindDay, at, zone), catalog.WindowAt(catalog.KindMonth, at, zone)
	counters := []quota.Counter{friends, groups, users, dailyNet, stickers, mau}
	for i := range counters {
		switch counters[i].Window.Kind {
		case catalog.KindDay:
			counters[i].Window = day
		case catalog.KindMonth:
			counters[i].Window = month
		case catalog.KindStock, catalog.KindStatic:
		}
	}
	return counters
}

// exportAll reads all entries of an app, some at a time, in an order of their
// own. between is done between the parts.
func exportAll(ctx context.Context, s quota.Store, app *account.App, at time.Time, limit int, between func()) ([]string, []quota.Entry, error) {
	e := quota.Export{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Counters: allCounters(at), Limit: limit}
	var entries []quota.Entry
	for parts := 0; ; parts++ {
		out, err := s.Export(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		if out.Total > 0 && (out.Done > out.Total || out.Done == out.Total && out.Next != "") {
			return nil, nil, fmt.Errorf("%d of %d are done, and next is %q", out.Done, out.Total, out.Next)
		}
		if parts > 10_000 {
			return nil, nil, errors.New("an export without an end")
		}
		entries = append(entries, out.Entries...)
		if e.From = out.Next; e.From == "" {
			break
		}
		between()
	}
	texts := make([]string, len(entries))
	for i := range entries {
		texts[i] = entryText(&entries[i])
	}
	slices.Sort(texts)
	return texts, entries, nil
}

// entryText is an entry as it can be compared.
func entryText(e *quota.Entry) string {
	switch e.Kind {
	case quota.EntryUser:
		return fmt.Sprintf("user %q known %v month %d", e.ID, e.Registered, e.Month)
	case quota.EntryGroup:
		return fmt.Sprintf("group %q %c day %d: %d", e.ID, e.Group.Type, e.Group.Day, e.Group.Members)
	case quota.EntryDissolved:
		return fmt.Sprintf("gone %q %d", e.ID, e.Day)
	case quota.EntryPeak:
		return fmt.Sprintf("peak %d: %d", e.Start.Unix(), e.Used)
	case quota.EntryCounter:
	}
	return fmt.Sprintf("%s %s of %q in %d: %d", e.Counter.Scope, e.Counter.Quota, e.ID, e.Counter.Window.Start.Unix(), e.Used)
}

// relevant are the entries that a store must have: it may have forgotten when a
// user was active before this month, and what was dissolved days ago.
func relevant(entries []quota.Entry, now time.Time) []string {
	month, day := catalog.Month(now, zone), catalog.Day(now, zone)
	var texts []string
	for _, e := range entries {
		if e.Kind == quota.EntryUser && e.Month < month {
			e.Month = quota.NeverActive
		}
		if e.Kind == quota.EntryUser && !e.Registered && e.Month == quota.NeverActive || e.Kind == quota.EntryDissolved && e.Day+1 < day {
			continue
		}
		texts = append(texts, entryText(&e))
	}
	slices.Sort(texts)
	return texts
}

// exported are the fixture's entries.
func (f *fixture) exported(limit int) ([]string, []quota.Entry) {
	f.Helper()
	texts, entries, err := exportAll(f.Context(), f.store, f.app, f.now, limit, func() {})
	if err != nil {
		f.Fatal(err)
	}
	return texts, entries
}

// populate counts something of every kind, and returns the entries.
func (f *fixture) populate() []string {
	f.Helper()
	f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a", "a:b", "\x00\xff", "gone", "went"), 5)
	f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a", "gone"), 0, 2)
	f.wantDeltas(f.userTxn(quota.UsersActive, month, "visitor"), 0, 1)
	f.wantDeltas(f.userTxn(quota.UsersDelete, month, "gone", "went"), -2)
	for i, op := range []quota.GroupOp{quota.GroupCreate, quota.GroupTouch, quota.GroupCreate} {
		t := f.txn(quota.Charge{Counter: members, Members: true, Delta: int64(2 + i), Limit: catalog.Unlimited()})
		t.Group = quota.GroupStep{Op: op, ID: []string{"g", "touched", "dissolved"}[i], Type: 'w', Day: catalog.Day(f.now, zone)}
		f.one(t)
	}
	t := f.txn()
	t.Group = quota.GroupStep{Op: quota.GroupDissolve, ID: "dissolved", Day: catalog.Day(f.now, zone)}
	f.one(t)
	f.count(groups, 2)
	f.count(dailyNet, -3)
	f.count(friends, 4, "a", "\x00\xff")
	f.count(stickers, 5, "a:b")
	report := f.report("gateway", 6, time.Hour)
	report.Mode = quota.ModeForce
	f.one(report)
	day, m := catalog.Day(f.now, zone), mau.Window.Start.Unix()
	want := []string{
		fmt.Sprintf(`user "a" known true month %d`, month), `user "a:b" known true month -1`, `user "\x00\xff" known true month -1`,
		fmt.Sprintf(`user "gone" known false month %d`, month), fmt.Sprintf(`user "visitor" known false month %d`, month),
		fmt.Sprintf(`group "g" w day %d: 2`, day), fmt.Sprintf(`group "touched" w day %d: 3`, quota.NoDay), fmt.Sprintf(`gone "dissolved" %d`, day),
		fmt.Sprintf(`app groups of "" in %d: 2`, time.Time{}.Unix()), fmt.Sprintf(`app users of "" in %d: 3`, time.Time{}.Unix()),
		fmt.Sprintf(`app daily_net_groups of "" in %d: -3`, dailyNet.Window.Start.Unix()), fmt.Sprintf(`app free_mau of "" in %d: 3`, m),
		fmt.Sprintf(`user friends of "a" in %d: 4`, time.Time{}.Unix()), fmt.Sprintf(`user friends of "\x00\xff" in %d: 4`, time.Time{}.Unix()),
		fmt.Sprintf(`user stickers of "a:b" in %d: 5`, stickers.Window.Start.Unix()), fmt.Sprintf("peak %d: 6", m),
	}
	slices.Sort(want)
	return want
}

// absent is an app without a record.
func (f *fixture) absent() *account.App { return newApp(unique("restored")) }

func (f *fixture) restore(app *account.App, entries []quota.Entry) error {
	return f.store.Restore(f.Context(), quota.Restoration{App: app.ID, FanoutBits: app.FanoutBits, Now: f.now, Entries: entries})
}

// restored restores an app and makes it the fixture's.
func (f *fixture) restored(app *account.App, entries []quota.Entry) {
	f.Helper()
	if err := f.restore(app, entries); err != nil {
		f.Fatal(err)
	}
	if err := f.store.CreateApp(f.Context(), app, account.Event{}, roomy, false); err != nil {
		f.Fatal(err)
	}
	f.app = app
}

// entryClauses are about what is exported and restored.
var entryClauses = map[string]func(*fixture){
	"what was counted is exported": func(f *fixture) {
		want := f.populate()
		for _, limit := range []int{1, 3, 1000} {
			got, _ := f.exported(limit)
			f.wantSame(fmt.Sprint("entries, limit ", limit), want, got)
		}
	},
	"an app that counted nothing has no entries": func(f *fixture) {
		got, _ := f.exported(100)
		f.wantSame("entries", []string{}, got)
	},
	"entries are of one app": func(f *fixture) {
		f.populate()
		f.app = f.create("another")
		f.count(groups, 9)
		f.count(friends, 9, "a")
		other, _ := f.exported(3)
		f.wantSame("how many", 2, len(other))
		f.app = f.create("third")
		got, _ := f.exported(3)
		f.wantSame("entries", []string{}, got)
	},
	"what was exported is restored": func(f *fixture) {
		want := f.populate()
		_, entries := f.exported(7)
		f.restored(f.absent(), entries)
		got, _ := f.exported(1000)
		f.wantSame("entries", want, got)
		f.wantUsed(users, 3)
		f.wantUsed(friends, 4, "\x00\xff")
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a", "gone", "visitor", "new"), 3, 1)
		late := f.txn(quota.Charge{Counter: members, Members: true, Delta: 1, Limit: catalog.Unlimited()})
		late.Group = quota.GroupStep{Op: quota.GroupTouch, ID: "dissolved", Type: 'w', Day: catalog.Day(f.now, zone)}
		if o := f.one(late); len(o.Charges[0].Used) != 0 {
			f.Errorf("a group that was dissolved is there again: %+v", o)
		}
	},
	"restoring may be repeated": func(f *fixture) {
		want := f.populate()
		_, entries := f.exported(1000)
		app := f.absent()
		for range 2 {
			if err := f.restore(app, entries[:len(entries)/2]); err != nil {
				f.Fatal(err)
			}
		}
		f.restored(app, entries)
		got, _ := f.exported(1000)
		f.wantSame("entries", want, got)
	},
	"an app that is there is not restored": func(f *fixture) {
		f.count(groups, 3)
		err := f.restore(f.app, []quota.Entry{{Kind: quota.EntryCounter, Counter: groups, Used: 9}})
		f.wantRegistryErr(err, account.ErrAppExists)
		f.wantUsed(groups, 3)
	},
	"what broke off is swept away": func(f *fixture) {
		f.populate()
		_, entries := f.exported(1000)
		app := f.absent()
		if err := f.restore(app, entries); err != nil {
			f.Fatal(err)
		}
		there := f.app
		f.app = app
		f.sweep(1000, allCounters(f.now)...)
		f.app = there
		f.restored(app, nil)
		got, left := f.exported(1000)
		for _, e := range left { // what bills are made from stays
			if e.Kind != quota.EntryPeak && e.Counter.Window.Kind != catalog.KindMonth {
				f.Errorf("left: %q", got)
				break
			}
		}
		_, err := f.store.Sweep(f.Context(), quota.Sweep{App: app.ID, FanoutBits: app.FanoutBits, Counters: allCounters(f.now), Limit: 1000})
		f.wantRegistryErr(err, quota.ErrStale)
	},
	"counters whose time is over are not restored": func(f *fixture) {
		f.now = noon.Add(4 * 24 * time.Hour)
		f.restored(f.absent(), []quota.Entry{
			{Kind: quota.EntryCounter, Counter: dailyNet, Used: 7}, {Kind: quota.EntryCounter, Counter: stickers, ID: "a", Used: 7}, {Kind: quota.EntryCounter, Counter: groups, Used: 7},
		})
		f.now = noon
		f.wantUsed(dailyNet, 0)
		f.wantUsed(stickers, 0, "a")
		f.wantUsed(groups, 7)
	},
	"an export needs the record's version": func(f *fixture) {
		f.count(groups, 3)
		e := quota.Export{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Counters: []quota.Counter{groups}, Limit: 10}
		f.change("Rename")
		_, err := f.store.Export(f.Context(), e)
		f.wantRegistryErr(err, quota.ErrStale)
	},
	"an export begins where one ended": func(f *fixture) {
		e := quota.Export{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Counters: []quota.Counter{groups}, Limit: 10}
		for _, from := range []string{"x", "-1", "0", "99999999999999999999", "0.zz.00", "9..", "17"} {
			e.From = from
			_, err := f.store.Export(f.Context(), e)
			if invalid, ok := errors.AsType[*account.InvalidError](err); !ok || invalid.Field != "page_token" {
				f.Errorf("from %q: %v", from, err)
			}
		}
	},
	"the sequence tells whether anything was written meanwhile": func(f *fixture) {
		read := func() uint64 {
			e := quota.Export{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Limit: 1}
			out, err := f.store.Export(f.Context(), e)
			if err != nil {
				f.Fatal(err)
			}
			return out.Sequence
		}
		f.count(groups, 3)
		before := read()
		f.used(groups)
		f.wantSame("after a reading", before, read())
		f.count(groups, 1)
		if after := read(); after <= before {
			f.Errorf("sequence %d after %d", after, before)
		}
	},
	"an export goes on beside what is counted": func(f *fixture) {
		for i := range 60 {
			f.count(friends, 1, fmt.Sprint("stays ", i))
		}
		n := 0
		texts, _, err := exportAll(f.Context(), f.store, f.app, f.now, 4, func() {
			f.count(friends, 1, fmt.Sprint("comes ", n))
			f.count(friends, 1, "stays 7")
			n++
		})
		if err != nil {
			f.Fatal(err)
		}
		seen := make(map[string]int)
		for _, text := range texts {
			var id string
			if _, err := fmt.Sscanf(text, "user friends of %q", &id); err != nil {
				f.Fatalf("%q: %v", text, err)
			}
			seen[id]++
		}
		for i := range 60 {
			if id := fmt.Sprint("stays ", i); seen[id] != 1 {
				f.Errorf("%s was read %d times", id, seen[id])
			}
		}
		for id, times := range seen {
			if times != 1 {
				f.Errorf("%s was read %d times", id, times)
			}
		}
	},
	"what is damaged is not exported": func(f *fixture) {
		f.populate()
		f.harness.Damage(f.T, f.store, f.app, Value{Counter: friends, Subject: "a"})
		_, _, err := exportAll(f.Context(), f.store, f.app, f.now, 100, func() {})
		if fault, ok := errors.AsType[*account.Fault](err); !ok || fault.Reason != account.UsageUnknown {
			f.Errorf("%v, want a fault of reason %s", err, account.UsageUnknown)
		}
	},
}

// compareEntries exports from both, and restores what the driver has to another
// app.
func (p *pair) compareEntries() {
	p.r.Helper()
	now := p.clock()
	limit := drawn(p.r, "entries at a time", 2, 1000)
	_, want, err := exportAll(p.t.Context(), p.model, p.mapped, now, limit, func() {})
	_, got, errReal := exportAll(p.t.Context(), p.driver, p.real, now, limit, func() {})
	if err := errors.Join(err, errReal); err != nil {
		p.r.Fatal(err)
	}
	if diff := slices.Compare(relevant(want, now), relevant(got, now)); diff != 0 {
		p.r.Fatalf("entries of the model %q, of the driver %q", relevant(want, now), relevant(got, now))
	}
	if !drawn(p.r, "restored", true, false) {
		return
	}
	restored := p.real.Clone()
	restored.ID = newApp("").ID
	err = p.driver.Restore(p.t.Context(), quota.Restoration{App: restored.ID, FanoutBits: restored.FanoutBits, Now: now, Entries: got})
	if err == nil {
		err = p.driver.CreateApp(p.t.Context(), restored, account.Event{}, roomy, false)
	}
	if err != nil {
		p.r.Fatal(err)
	}
	_, again, err := exportAll(p.t.Context(), p.driver, restored, now, 1000, func() {})
	if err != nil {
		p.r.Fatal(err)
	}
	if slices.Compare(relevant(got, now), relevant(again, now)) != 0 {
		p.r.Fatalf("entries before %q, restored %q", relevant(got, now), relevant(again, now))
	}
}
