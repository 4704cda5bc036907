package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/backup"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// breaking is a store whose caller's time is up at one of the calls that matter.
type breaking struct {
	backup.Store

	left   atomic.Int64
	cancel context.CancelFunc
}

func (b *breaking) call() {
	if b.left.Add(-1) == 0 {
		b.cancel()
	}
}

func (b *breaking) Restore(ctx context.Context, r quota.Restoration) error {
	b.call()
	// Half of it is written, as it may be when a process ends.
	half := r
	half.Entries = r.Entries[:len(r.Entries)/2]
	if err := b.Store.Restore(context.WithoutCancel(ctx), half); err != nil {
		return err
	}
	return b.Store.Restore(ctx, r)
}

func (b *breaking) RestoreApp(ctx context.Context, app *account.App, log []account.Event, event account.Event) error {
	b.call()
	return b.Store.RestoreApp(ctx, app, log, event)
}

func (b *breaking) UpdateAccount(ctx context.Context, owner *account.Account) error {
	b.call()
	return b.Store.UpdateAccount(ctx, owner)
}

// TestBrokenOff: wherever a restoration ends, each app is there as a whole or not
// at all, and another run restores the rest.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	for kind, open := range stores {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if kind == "redis" {
				server, prefix := redistest.Standalone(t), 0
				open = func(t testing.TB) backup.Store {
					prefix++
					return openRedis(t, fmt.Sprintf("redis://%s?prefix=p%d", server.Addr, prefix))
				}
			}
			source := newWorld(t, stores["bolt"](t))
			source.populate()
			want, text := source.seen(), source.dump()
			broken := 0
			for n := int64(1); ; n++ {
				target := newWorld(t, open(t))
				target.now = source.now
				ctx, cancel := context.WithCancel(t.Context())
				store := &breaking{Store: target.store, cancel: cancel}
				store.left.Store(n)
				target.store = store
				_, err := target.tryRestore(ctx, text)
				cancel()
				if err == nil {
					break
				}
				broken++
				target.store = store.Store
				for _, id := range allApps {
					app, err := target.store.App(t.Context(), id)
					if errors.Is(err, account.ErrAppNotFound) {
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(len(source.entries(id)), len(target.entries(app.ID))); diff != "" {
						t.Errorf("broken off at call %d: app %d is there, with other entries (-want +got):\n%s", n, id, diff)
					}
				}
				target.restore(text)
				if diff := cmp.Diff(want, target.seen()); diff != "" {
					t.Fatalf("broken off at call %d (-want +got):\n%s", n, diff)
				}
			}
			if broken < 5 {
				t.Errorf("it broke off %d times", broken)
			}
		})
	}
}

// TestKilled: the store goes away in the middle, and comes back as it was left.
func TestKilled(t *testing.T) {
	t.Parallel()
	source := newWorld(t, stores["bolt"](t))
	source.populate()
	want, text := source.seen(), source.dump()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "killed.db")
		killed := openBolt(t, path)
		target := newWorld(t, nil)
		target.now = source.now
		store := &breaking{Store: killed, cancel: func() { _ = killed.Close() }}
		store.left.Store(6)
		target.store = store
		if _, err := target.tryRestore(t.Context(), text); err == nil {
			t.Fatal("it did not break off")
		}
		target = newWorld(t, openBolt(t, path))
		target.now = source.now
		target.restore(text)
		if diff := cmp.Diff(want, target.seen()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		server := redistest.Standalone(t, "--appendonly", "yes", "--appendfsync", "always")
		target := newWorld(t, openRedis(t, "redis://"+server.Addr))
		target.now = source.now
		store := &breaking{Store: target.store, cancel: server.Kill}
		store.left.Store(6)
		target.store = store
		if _, err := target.tryRestore(t.Context(), text); err == nil {
			t.Fatal("it did not break off")
		}
		server.Restart()
		target = newWorld(t, openRedis(t, "redis://"+server.Addr))
		target.now = source.now
		target.restore(text)
		if diff := cmp.Diff(want, target.seen()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// wantRefused checks that a file is refused, and at which line.
func wantRefused(t *testing.T, what string, text []byte) {
	t.Helper()
	_, err := backup.Check(bytes.NewReader(text))
	if line, ok := errors.AsType[*backup.LineError](err); !ok || line.Line < 1 {
		t.Errorf("%s: %v", what, err)
	}
}

// TestDamagedFiles are refused, compressed or not, wherever they are cut off or
// changed.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	source := newWorld(t, stores["bolt"](t))
	source.create(account.NewApp{ID: 1, Account: "acme"})
	source.do(1, &quota.Login{UserID: "ann"}, &quota.CreateGroup{GroupID: "g", GroupType: "work", OwnerID: "ann"})
	plain := source.dump()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(plain)
	source.ok(err, z.Close())
	const gzipHeader = 10 // which nothing is in
	for name, text := range map[string][]byte{"plain": plain, "compressed": b.Bytes()} {
		if _, err := backup.Check(bytes.NewReader(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range text {
			wantRefused(t, fmt.Sprintf("%s, cut off after %d of %d bytes", name, i, len(text)), text[:i])
			if name == "compressed" && i < gzipHeader {
				continue
			}
			flipped := bytes.Clone(text)
			flipped[i] ^= 1 << (i % 8)
			if name == "compressed" && unzipsTo(flipped, plain) {
				continue // a bit that stands for nothing
			}
			wantRefused(t, fmt.Sprintf("%s, with another bit in byte %d", name, i), flipped)
		}
		wantRefused(t, name+", with more behind it", append(bytes.Clone(text), '\n'))
		wantRefused(t, name+", twice", append(bytes.Clone(text), text...))
	}
	for _, more := range []string{"x", "x\n"} {
		if _, err := backup.Check(strings.NewReader(string(plain) + more)); err == nil || !strings.Contains(err.Error(), "there is something behind the last line") {
			t.Errorf("with %q behind it: %v", more, err)
		}
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(plain, []byte("\n")), []byte("\n"))
	for i := range lines {
		wantRefused(t, fmt.Sprint("without line ", i+1), bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil))
	}
}

func unzipsTo(zipped, want []byte) bool {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return false
	}
	got, err := io.ReadAll(z)
	return err == nil && bytes.Equal(got, want)
}

// TestOtherFiles say what is wrong with them.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	header := `{"header":{"format":1,"id":"x","imquota":"","created":"2026-11-15T00:00:00Z","store":"","catalog":"","zone":""}}` + "\n"
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "line 1: it is no backup"},
		{"another file", "hello\n", "line 1: it is no backup"},
		{"other JSON", "{}\n", "line 1: it is no backup"},
		{"a newer format", strings.Replace(header, `"format":1`, `"format":2,"what":[]`, 1), "line 1: it has format 2; this version of imquota knows format 1"},
		{"a line without an end", header + `{"unreadable":{"app":1,"why":""}}`, "line 2: it is cut off"},
		{"a long line", header + `{"unreadable":{"app":1,"why":"` + strings.Repeat("x", 9<<20) + `"}}` + "\n", "line 2: it is longer than"},
		{"an entry of nobody", header + `{"entries":[{"kind":"user","id":"a","registered":true}]}` + "\n", "line 2: it does not belong here"},
		{"an unknown field", header + `{"what":1}` + "\n", `line 2: json: unknown field "what"`},
		{"a line of nothing", header + "{}\n", "line 2: it says nothing"},
		{"two values", header + `{"unreadable":{"app":1,"why":""}} {}` + "\n", "line 2: there is something behind it"},
		{"an app of no fan-out", header + `{"app":{"id":1,"revision":1,"record":{"format":3,"id":1}}}` + "\n", "line 2: app 1 is spread over 2^0"},
		{"a newer record", header + `{"app":{"id":1,"revision":1,"record":{"format":99,"id":1}}}` + "\n", "RECORD_NEWER"},
	} {
		_, err := backup.Check(strings.NewReader(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestAnotherZone: its days and months would be others.
func TestAnotherZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stores["bolt"](t))
	w.create(account.NewApp{ID: 1, Account: "acme"})
	text := bytes.Replace(w.dump(), []byte("UTC+08:00"), []byte("UTC+09:00"), 1)
	_, err := backup.Check(bytes.NewReader(text))
	if err == nil {
		t.Fatal("the header is not in the checksum")
	}
	r := w.restoring()
	r.Catalog, err = catalog.Parse(bytes.Replace(catalog.DefaultYAML(), []byte(`"+08:00"`), []byte(`"+09:00"`), 1))
	w.ok(err)
	checked, err := backup.Check(bytes.NewReader(w.dump()))
	w.ok(err)
	if _, err := r.Run(t.Context(), checked); err == nil || !strings.Contains(err.Error(), "begin in UTC+08:00") {
		t.Errorf("got %v", err)
	}
}

// TestDryRun says what would be restored, and writes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	source, target := newWorld(t, stores["bolt"](t)), newWorld(t, stores["bolt"](t))
	source.populate()
	text := source.dump()
	target.now = source.now
	target.create(account.NewApp{ID: 2, Account: "acme"})
	before := target.dump()
	checked, err := backup.Check(bytes.NewReader(text))
	target.ok(err)
	r := target.restoring()
	r.DryRun = true
	would, err := r.Run(t.Context(), checked)
	target.ok(err)
	after := target.dump()
	if a, b := withoutHeader(before), withoutHeader(after); a != b {
		t.Errorf("it wrote something: %s", cmp.Diff(a, b))
	}
	if diff := cmp.Diff(target.restore(text), would); diff != "" || would.Apps != 5 {
		t.Errorf("(-did +would):\n%s", diff)
	}
}

func withoutHeader(text []byte) string {
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[1:len(lines)-2], "")
}

// TestLostApp is restored; of what it counted since the backup nothing is left.
func TestLostApp(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	w := newWorld(t, openRedis(t, "redis://"+server.Addr))
	w.populate()
	text := w.dump()
	w.now = at("2026-12-05T12:00:00+08:00")
	w.do(1, &quota.Login{UserID: "user 1"}, &quota.Login{UserID: "of december"}, &quota.AddFriend{UserID: "user 8", FriendID: "user 9"})
	for _, id := range []uint32{1, 5} {
		w.ok(server.Client().Del(t.Context(), fmt.Sprintf("imq:{%d}:app", id)).Err())
	}
	if _, notices := w.dumpNoting(); len(notices) != 2 || notices[0].App != 1 && notices[1].App != 1 || !strings.Contains(notices[0].Text, "lost") {
		t.Errorf("a backup of it: %+v", notices)
	}
	restored := w.restore(text)
	if restored.Apps != 2 || len(restored.ConflictingApps) != 4 {
		t.Errorf("%+v", restored)
	}
	w.agree(1, "2026-12-01T00:00:00+08:00")
	w.agree(1, november)
	w.do(1, &quota.Login{UserID: "user 1"})
	w.agree(1, "2026-12-01T00:00:00+08:00")
}

// TestPlaceOfADeletedApp: where a restoration broke off before it was given back,
// the next one does that.
func TestPlaceOfADeletedApp(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	source, target := newWorld(t, stores["bolt"](t)), newWorld(t, openRedis(t, "redis://"+server.Addr))
	source.populate()
	target.now = source.now
	text := source.dump()
	whole := target.store
	target.ok(server.Client().Do(t.Context(), "ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-hsetnx").Err())
	target.store = openRedis(t, "redis://narrow:pw@"+server.Addr)
	if _, err := target.tryRestore(t.Context(), text, 4); err == nil {
		t.Fatal("it did not break off")
	}
	target.store = whole
	if r := target.restore(text, 4); r.AppsThere != 1 {
		t.Errorf("%+v", r)
	}
	if owner := whole.Accounts(t.Context(), []string{"umbrella.corp"})[0].Account; owner.Apps != 0 || owner.Deleted != 1 {
		t.Errorf("%d apps, %d deleted", owner.Apps, owner.Deleted)
	}
}

// TestLostAppOfAnother stays lost: the backup is of another account's.
func TestLostAppOfAnother(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	source, target := newWorld(t, stores["bolt"](t)), newWorld(t, openRedis(t, "redis://"+server.Addr))
	source.create(account.NewApp{ID: 1, Account: "acme"})
	target.create(account.NewApp{ID: 1, Account: "theirs"})
	target.do(1, &quota.Login{UserID: "u"})
	target.ok(server.Client().Del(t.Context(), "imq:{1}:app").Err())
	keys := server.Client().DBSize(t.Context()).Val()
	if r := target.restore(source.dump()); r.Apps != 0 || len(r.ConflictingApps) != 1 {
		t.Errorf("%+v", r)
	}
	if got := server.Client().DBSize(t.Context()).Val(); got != keys {
		t.Errorf("%d keys, were %d", got, keys)
	}
}

// TestUnreadable: what is damaged is named, and the rest is backed up.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	w := newWorld(t, openRedis(t, "redis://"+server.Addr))
	w.populate()
	c := server.Client()
	w.ok(c.HSet(t.Context(), "imq:{1}:c", "users", "many").Err(), c.Set(t.Context(), "imq:{2}:rec", "{", 0).Err(),
		c.HSet(t.Context(), "imq:{acct:no.apps.left}:rec", "r", "{").Err())
	text, notices := w.dumpNoting()
	if len(notices) != 3 {
		t.Errorf("%+v", notices)
	}
	target := newWorld(t, stores["bolt"](t))
	target.now = w.now
	checked, err := backup.Check(bytes.NewReader(text))
	w.ok(err)
	if e := checked.End; e.Unreadable != 3 || e.Apps != 4 || e.Accounts != 1 {
		t.Errorf("%+v", e)
	}
	var told []backup.Notice
	r := target.restoring()
	r.Tell = func(n backup.Notice) { told = append(told, n) }
	if restored, err := r.Run(t.Context(), checked); err != nil || restored.Apps != 4 || len(told) != 3 {
		t.Errorf("%+v, %v, told %+v", restored, err, told)
	}
}

// TestBesideLoad: while an app is counted on, a backup of it may be of several
// moments, and says so; what is restored agrees with itself all the same.
func TestBesideLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stores["redis"](t))
	w.now = at("2026-11-15T12:00:00+08:00")
	w.create(account.NewApp{ID: 1, Account: "acme", ExpectedUsers: 120_000, Orders: []account.Order{{
		ID: "o", Edition: "standard", Months: 12, Start: at("2026-01-01T00:00:00+08:00"), End: at("2027-01-01T00:00:00+08:00"),
	}}})
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var counted atomic.Int64
	for g := range 4 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				for _, action := range []quota.Action{
					&quota.Login{UserID: fmt.Sprintf("%d/%d", g, i)}, &quota.RegisterUsers{UserIDs: ids(5, fmt.Sprintf("%d/%d/%%d", g, i))},
					&quota.AddFriend{UserID: fmt.Sprintf("%d/%d", g, i), FriendID: fmt.Sprintf("%d/%d", g, i/2)},
				} {
					if _, err := w.enforcer.Check(ctx, &quota.Request{App: 1, Action: action}); err != nil && ctx.Err() == nil && !account.IsAway(err) {
						t.Error(err)
						return
					}
					counted.Add(1)
				}
			}
		})
	}
	for counted.Load() < 2000 && !t.Failed() {
		_, err := w.enforcer.Usage(ctx, quota.UsageQuery{App: 1})
		w.ok(err)
	}
	text, notices := w.dumpNoting()
	stop()
	load.Wait()
	if len(notices) != 1 || notices[0].App != 1 || !strings.Contains(notices[0].Text, "was counted while it was read") {
		t.Errorf("notices %+v", notices)
	}
	for kind, open := range stores {
		target := newWorld(t, open(t))
		target.now = w.now
		if r := target.restore(text); len(r.Moved) != 1 || r.Users < 1000 {
			t.Errorf("%s: %+v", kind, r)
		}
		target.agree(1, november)
	}
}

// TestRereads: an app that is quiet again is read again, and whole.
func TestRereads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stores["bolt"](t))
	w.create(account.NewApp{ID: 1, Account: "acme"})
	w.do(1, &quota.Login{UserID: "a"})
	store := &restless{Store: w.store}
	store.disturb = func(n int) {
		switch n {
		case 1:
			w.do(1, &quota.Login{UserID: "b"})
		case 2: // the record is another
			_, err := w.apps.Approve(t.Context(), 1, "push_all", w.now, account.Origin{})
			w.ok(err)
		}
	}
	d := &backup.Dump{Store: store, Catalog: testCatalog(), Now: w.restoring().Now}
	var b bytes.Buffer
	end, err := d.Write(t.Context(), &b, d.NewHeader("", ""))
	if err != nil || end.Moved != 0 || end.Users != 2 || end.Events != 2 {
		t.Errorf("%+v, %v", end, err)
	}
	target := newWorld(t, stores["bolt"](t))
	target.restore(b.Bytes())
	target.agree(1, "2026-10-01T00:00:00+08:00")
}

// restless has something happen after the first part of each reading.
type restless struct {
	backup.Store

	readings int
	disturb  func(n int)
}

func (r *restless) Export(ctx context.Context, e quota.Export) (quota.Exported, error) {
	e.Limit = 1
	out, err := r.Store.Export(ctx, e)
	if e.From == "" && err == nil {
		r.readings++
		r.disturb(r.readings)
	}
	return out, err
}

// TestAway: an answer that did not come does not end a backup, unless none comes.
func TestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stores["bolt"](t))
	w.create(account.NewApp{ID: 1, Account: "acme"})
	for silences, want := range map[int]bool{1: true, 3: true, 4: false} {
		store := &silent{Store: w.store, left: silences}
		d := &backup.Dump{Store: store, Catalog: testCatalog(), Now: w.restoring().Now}
		_, err := d.Write(t.Context(), io.Discard, d.NewHeader("", ""))
		if (err == nil) != want || err != nil && !account.IsAway(err) {
			t.Errorf("after %d answers that did not come: %v", silences, err)
		}
	}
}

// silent does not answer some times.
type silent struct {
	backup.Store

	left int
}

func (s *silent) Export(ctx context.Context, e quota.Export) (quota.Exported, error) {
	if s.left--; s.left >= 0 {
		return quota.Exported{}, &account.Fault{Reason: account.StoreUnavailable}
	}
	return s.Store.Export(ctx, e)
}

// TestNoRoomForIt: a backup that cannot be written to its end is an error.
func TestNoRoomForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stores["bolt"](t))
	w.create(account.NewApp{ID: 1, Account: "acme"})
	for room := range len(w.dump()) {
		d := &backup.Dump{Store: w.store, Catalog: testCatalog(), Now: w.restoring().Now}
		if _, err := d.Write(t.Context(), &narrow{left: room}, d.NewHeader("test", "1.2.3")); !errors.Is(err, io.ErrShortWrite) {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
	}
}

type narrow struct{ left int }

func (n *narrow) Write(b []byte) (int, error) {
	if n.left -= len(b); n.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}
