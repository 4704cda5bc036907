package backup

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// sample is a small backup with something of every kind.
func sample(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{ID: "x", Created: time.Unix(1_800_000_000, 0).UTC(), Zone: "UTC+08:00"})
	zone := time.FixedZone("UTC+08:00", 8*60*60)
	month := catalog.WindowAt(catalog.KindMonth, time.Unix(1_800_000_000, 0), zone)
	lines := &AppLines{}
	err = errors.Join(err,
		w.Account(&account.Account{ID: "acme", Bills: []account.Bill{{ID: "b"}}}), w.Unreadable(Unreadable{App: 9, Why: "damaged"}),
		lines.Begin(&account.App{ID: 1, Account: "acme", FanoutBits: 8, Version: account.Version{Revision: 3}}),
		lines.Events([]account.Event{{Revision: 3, Action: "Rename"}, {Revision: 1, Action: "CreateApp"}}),
		lines.Entries([]quota.Entry{
			{Kind: quota.EntryUser, ID: "ann", Registered: true, Month: 24_300},
			{Kind: quota.EntryUser, ID: "\xff\x00", Registered: true, Month: quota.NeverActive},
			{Kind: quota.EntryUser, ID: "gone", Month: 24_300},
			{Kind: quota.EntryGroup, ID: "g", Group: quota.GroupRecord{Found: true, Type: 'w', Day: 20_000, Members: 3}},
			{Kind: quota.EntryGroup, ID: "h", Group: quota.GroupRecord{Found: true, Type: 'p', Day: quota.NoDay}},
			{Kind: quota.EntryDissolved, ID: "d", Day: -1},
			{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: "users", Scope: catalog.ScopeApp}, Used: 2},
			{Kind: quota.EntryCounter, ID: "ann", Counter: quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}, Used: catalog.MaxLimit},
			{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: "free_mau", Scope: catalog.ScopeApp, Window: month}, Used: -7},
			{Kind: quota.EntryPeak, Start: month.Start, Used: 4},
		}), lines.Done(true), w.App(lines))
	if err == nil {
		_, err = w.End()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzRead: whatever is read, nothing panics, and what is understood is written
// again as the same.
func FuzzRead(f *testing.F) {
	text := sample(f)
	f.Add(text)
	for _, l := range bytes.SplitAfter(text, []byte("\n")) {
		f.Add(append(firstLine(text), l...))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := NewReader(bytes.NewReader(text))
		for err == nil {
			var p *Part
			if p, err = r.Next(); err != nil {
				break
			}
			for i := range p.Entries {
				l := encodeEntry(&p.Entries[i])
				again, err := l.decode()
				if err != nil || !same(&again, &p.Entries[i]) {
					t.Errorf("%+v is written as %+v and read as %+v, %v", p.Entries[i], l, again, err)
				}
			}
		}
		if _, ok := errors.AsType[*LineError](err); !ok && !errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
	})
}

func firstLine(text []byte) []byte { return bytes.Clone(text[:bytes.IndexByte(text, '\n')+1]) }

// same compares entries; instants may be in other zones.
func same(a, b *quota.Entry) bool {
	x, y := *a, *b
	equal := x.Start.Equal(y.Start) && x.Counter.Window.Start.Equal(y.Counter.Window.Start) && x.Counter.Window.End.Equal(y.Counter.Window.End)
	x.Start, x.Counter.Window.Start, x.Counter.Window.End = y.Start, y.Counter.Window.Start, y.Counter.Window.End
	return equal && x == y
}

// TestSample: what is written is read, entry by entry.
func TestSample(t *testing.T) {
	t.Parallel()
	r, err := NewReader(bytes.NewReader(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	var entries []quota.Entry
	var kinds string
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case p.Account != nil:
			kinds += "account "
		case p.App != nil:
			kinds += "app "
		case p.Events != nil:
			kinds += "events "
		case p.Entries != nil:
			kinds += "entries "
		case p.Done != nil:
			kinds += "done "
		case p.Unreadable != nil:
			kinds += "unreadable "
		}
		entries = append(entries, p.Entries...)
	}
	if want := "account unreadable app events entries done "; kinds != want {
		t.Errorf("read %q, want %q", kinds, want)
	}
	if len(entries) != 10 || entries[1].ID != "\xff\x00" || entries[5].Day != -1 || entries[4].Group.Day != quota.NoDay || entries[7].Used != catalog.MaxLimit || entries[8].Used != -7 {
		t.Errorf("%+v", entries)
	}
	if want := (Totals{Accounts: 1, Apps: 1, Events: 2, Users: 2, Entries: 10, Moved: 1, Unreadable: 1}); r.End == nil || r.End.Totals != want {
		t.Errorf("%+v, want %+v", r.End, want)
	}
}

// TestSpool: what was thrown away does not come back, however much it was.
func TestSpool(t *testing.T) {
	t.Parallel()
	var s spool
	defer s.close()
	for _, size := range []int{10, spoolMemory - 1, 3*spoolMemory + 7, 5} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		for _, chunk := range [][]byte{want[:size/3], want[size/3:]} {
			if _, err := s.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		if size > spoolMemory {
			if err := s.reset(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(want); err != nil {
				t.Fatal(err)
			}
		}
		var got bytes.Buffer
		if err := s.copyTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes came back of %d, %v", got.Len(), size, err)
		}
	}
}
