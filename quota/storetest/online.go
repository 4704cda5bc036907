package storetest

import (
	"fmt"
	"maps"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// modelOnline is what gateways of an app reported.
type modelOnline struct {
	gateways map[string]modelLease
	peaks    map[int64]int64 // by the first instant of the month
	ends     time.Time       // of the month of the last report
}

type modelLease struct {
	users int64
	end   time.Time
}

// sum adds up what holds at an instant.
func (o *modelOnline) sum(at time.Time) (users int64, gateways int) {
	for _, l := range o.gateways {
		if l.end.After(at) {
			users, gateways = users+l.users, gateways+1
		}
	}
	return users, gateways
}

// online carries out the step and reports whether it may be written; nothing is,
// unless it applies.
func (s *modelStep) online() error {
	t, now := &s.txn.Online, s.out.Clock
	if t.Op == quota.OnlineNone {
		return nil
	}
	after := modelOnline{gateways: make(map[string]modelLease), peaks: make(map[int64]int64), ends: s.app.online.ends}
	maps.Copy(after.gateways, s.app.online.gateways)
	maps.Copy(after.peaks, s.app.online.peaks)
	if !after.ends.IsZero() && !now.Before(after.ends) {
		users, _ := after.sum(after.ends)
		after.peaks[after.ends.UnixMilli()] = max(after.peaks[after.ends.UnixMilli()], users)
	}
	if t.Op == quota.OnlineReport {
		delete(after.gateways, t.Gateway)
		if t.Users > 0 {
			if _, gateways := after.sum(now); gateways >= quota.MaxGateways {
				return quota.ErrGateways
			}
			l := modelLease{t.Users, now.Add(t.Lease)}
			after.gateways[t.Gateway], s.out.Online.LeaseEnd = l, l.end
		}
		users, _ := after.sum(now)
		month := t.Months[0].Start.UnixMilli()
		after.peaks[month], after.ends = max(after.peaks[month], users), t.Months[0].End
		s.onlineAfter = &after
	}
	s.out.Online.Users, s.out.Online.Gateways = after.sum(now)
	s.out.Online.Peaks = make([]int64, len(t.Months))
	for i, month := range t.Months {
		s.out.Online.Peaks[i] = after.peaks[month.Start.UnixMilli()]
	}
	return nil
}

// monthWindow is the local month of an instant.
func monthWindow(at time.Time) catalog.Window { return catalog.WindowAt(catalog.KindMonth, at, zone) }

// report is a gateway's report at the fixture's instant, which tells the peak of
// the running month and of the one before.
func (f *fixture) report(gateway string, users int64, lease time.Duration) quota.Txn {
	t := f.txn()
	running := monthWindow(f.now)
	t.WindowEnd = running.End
	t.Online = quota.OnlineStep{
		Op: quota.OnlineReport, Gateway: gateway, Users: users, Lease: lease,
		Months: []catalog.Window{running, monthWindow(running.Start.Add(-1))},
	}
	return t
}

// wantOnline has a gateway report and expects users, gateways, the peak of the
// running month and of the one before.
func (f *fixture) wantOnline(t quota.Txn, users int64, gateways int, peaks ...int64) {
	f.Helper()
	o := f.one(t)
	want := quota.OnlineOutcome{Users: users, Gateways: gateways, Peaks: peaks}
	if t.Online.Op == quota.OnlineReport && t.Online.Users > 0 {
		want.LeaseEnd = f.now.Add(t.Online.Lease)
	}
	if o.Online.LeaseEnd.Equal(want.LeaseEnd) {
		o.Online.LeaseEnd = want.LeaseEnd
	}
	f.wantSame("online", want, o.Online)
}

// reading is a report's transaction that reports nothing.
func (f *fixture) reading() quota.Txn {
	t := f.report("", 0, 0)
	t.Mode, t.Online.Op = quota.ModeJudge, quota.OnlineRead
	return t
}

// onlineClauses are about users online.
var onlineClauses = map[string]func(*fixture){
	"nobody is online before the first report": func(f *fixture) {
		f.wantOnline(f.reading(), 0, 0, 0, 0)
	},
	"gateways add up, each by its last report": func(f *fixture) {
		f.wantOnline(f.report("a", 5, time.Minute), 5, 1, 5, 0)
		f.wantOnline(f.report("b", 7, time.Minute), 12, 2, 12, 0)
		f.wantOnline(f.report("a", 1, time.Minute), 8, 2, 12, 0)
		f.wantOnline(f.report("a:b {}", 3, time.Minute), 11, 3, 12, 0)
		f.wantOnline(f.report("b", 0, time.Minute), 4, 2, 12, 0)
		f.wantOnline(f.report("nobody", 0, time.Minute), 4, 2, 12, 0)
		f.wantOnline(f.reading(), 4, 2, 12, 0)
	},
	"a report ends with its lease": func(f *fixture) {
		f.one(f.report("a", 5, time.Minute))
		f.one(f.report("b", 7, time.Hour))
		f.now = noon.Add(time.Minute - time.Millisecond)
		f.wantOnline(f.reading(), 12, 2, 12, 0)
		f.now = noon.Add(time.Minute)
		f.wantOnline(f.reading(), 7, 1, 12, 0)
		f.wantOnline(f.report("c", 1, time.Minute), 8, 2, 12, 0)
		f.now = noon.Add(2 * time.Hour)
		f.wantOnline(f.report("a", 20, time.Minute), 20, 1, 20, 0)
	},
	"a clock that is behind does not bring a lease back": func(f *fixture) {
		f.one(f.report("a", 5, time.Minute))
		f.now = noon.Add(time.Hour)
		f.wantOnline(f.report("b", 1, time.Minute), 1, 1, 5, 0)
		behind := f.report("c", 1, time.Minute)
		behind.Now = noon
		f.wantOnline(behind, 2, 2, 5, 0)
	},
	"who is online when a month begins is online in it": func(f *fixture) {
		june := monthWindow(noon)
		f.now = june.End.Add(-time.Minute)
		f.one(f.report("a", 5, time.Hour))
		f.one(f.report("b", 7, time.Minute))             // over when July begins
		f.one(f.report("c", 2, time.Minute+time.Second)) // over a second later
		f.now = june.End.Add(10 * time.Minute)
		f.wantOnline(f.reading(), 5, 1, 7, 14)
		f.wantOnline(f.report("a", 0, time.Minute), 0, 0, 7, 14)
		f.wantOnline(f.report("a", 6, time.Minute), 6, 1, 7, 14)
		f.wantOnline(f.report("a", 8, time.Minute), 8, 1, 8, 14)
	},
	"also when nobody reports in that month": func(f *fixture) {
		june := monthWindow(noon)
		f.now = june.End.Add(-time.Minute)
		f.one(f.report("a", 5, time.Hour))
		f.now = monthWindow(june.End).End.Add(time.Hour) // in August
		f.wantOnline(f.reading(), 0, 0, 0, 5)
		f.wantOnline(f.report("a", 1, time.Minute), 1, 1, 1, 5)
		f.now = f.now.Add(time.Minute)
		f.wantOnline(f.reading(), 0, 0, 1, 5)
	},
	"peaks are kept for thirteen months": func(f *fixture) {
		f.one(f.report("a", 5, time.Minute))
		first := monthWindow(noon)
		read := func(at time.Time) int64 {
			f.now = at
			t := f.reading()
			t.Online.Months = []catalog.Window{first}
			return f.one(t).Online.Peaks[0]
		}
		f.now = first.Start.AddDate(0, 13, 0)
		f.one(f.report("a", 1, time.Minute))
		if got := read(f.now); got != 5 {
			f.Errorf("after thirteen months: %d, want 5", got)
		}
		f.now = first.Start.AddDate(0, 20, 0)
		f.one(f.report("a", 1, time.Minute))
		if got := read(f.now); got != 0 {
			f.Errorf("after twenty months: %d are kept", got)
		}
	},
	"gateways are bounded": func(f *fixture) {
		for first := 0; first < quota.MaxGateways; first += 100 {
			txns := make([]quota.Txn, 100)
			for i := range txns {
				txns[i] = f.report(fmt.Sprint("gateway", first+i), 1, time.Minute)
			}
			f.apply(txns...)
		}
		f.wantErr(f.report("one more", 1, time.Minute), quota.ErrGateways)
		f.wantOnline(f.report("gateway7", 2, time.Hour), quota.MaxGateways+1, quota.MaxGateways, quota.MaxGateways+1, 0)
		f.now = noon.Add(time.Minute)
		f.wantOnline(f.report("one more", 1, time.Minute), 3, 2, quota.MaxGateways+1, 0)
	},
	"judging and another version leave reports alone": func(f *fixture) {
		f.one(f.report("a", 5, time.Minute))
		judged := f.report("a", 9, time.Minute)
		judged.Mode = quota.ModeJudge
		f.one(judged)
		stale := f.report("a", 9, time.Minute)
		stale.Version.Revision++
		f.wantErr(stale, quota.ErrStale)
		f.wantOnline(f.reading(), 5, 1, 5, 0)
	},
	"sweeping leaves peaks": func(f *fixture) {
		f.one(f.report("a", 5, time.Hour))
		for next := int64(0); ; {
			swept, err := f.store.Sweep(f.Context(), quota.Sweep{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, From: next, Limit: 10_000})
			if err != nil {
				f.Fatal(err)
			}
			if next = swept.Next; next == 0 {
				break
			}
		}
		f.wantOnline(f.reading(), 0, 0, 5, 0)
	},
	"of reports that come together none is lost": func(f *fixture) {
		const gateways = 20
		done := make(chan error, gateways)
		for i := range gateways {
			go func() {
				done <- f.store.Apply(f.Context(), []quota.Txn{f.report(fmt.Sprint(i), int64(i), time.Minute)})[0].Err
			}()
		}
		for range gateways {
			if err := <-done; err != nil {
				f.Error(err)
			}
		}
		f.wantOnline(f.reading(), gateways*(gateways-1)/2, gateways-1, gateways*(gateways-1)/2, 0)
	},
	"a damaged report": func(f *fixture) {
		f.one(f.report("a", 5, time.Minute))
		f.harness.Damage(f.T, f.store, f.app, Value{Gateway: "a"})
		f.wantDamaged(f.report("b", 1, time.Minute))
	},
}
