package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/backup"
	"github.com/imquota/imquota/quota"
)

// benchUsers is how many users the app has that is backed up and restored. Each has
// a friend counter too.
const benchUsers = 200_000

// crowded makes an app of many users.
func crowded(b *testing.B, store backup.Store) *world {
	b.Helper()
	w := newWorld(b, store)
	w.create(account.NewApp{ID: 1, Account: "acme", ExpectedUsers: benchUsers, Orders: []account.Order{{
		ID: "o", Edition: "standard", Months: 12, Start: at("2026-01-01T00:00:00+08:00"), End: at("2027-01-01T00:00:00+08:00"),
	}}})
	var requests []*quota.Request
	for i := range benchUsers {
		id := fmt.Sprintf("user-%08d", i)
		requests = append(requests, &quota.Request{App: 1, Action: &quota.Login{UserID: id}, Basic: true},
			&quota.Request{App: 1, Action: &quota.AddFriend{UserID: id, FriendID: "x", OneWay: true}, Basic: true})
		if len(requests) < 2000 && i+1 < benchUsers {
			continue
		}
		for _, r := range w.enforcer.CheckAll(b.Context(), requests) {
			w.ok(r.Err)
		}
		requests = requests[:0]
	}
	return w
}

func BenchmarkBackup(b *testing.B) {
	for kind, open := range stores {
		b.Run(kind, func(b *testing.B) {
			w := crowded(b, open(b))
			d := &backup.Dump{Store: w.store, Catalog: testCatalog(), Now: w.restoring().Now}
			for b.Loop() {
				if _, err := d.Write(b.Context(), io.Discard, d.NewHeader("", "")); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(benchUsers*float64(b.N)/b.Elapsed().Seconds(), "users/s")
		})
	}
}

func BenchmarkRestore(b *testing.B) {
	text := crowded(b, stores["bolt"](b)).dump()
	for kind, open := range stores {
		b.Run(kind, func(b *testing.B) {
			var took time.Duration
			n := 0
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, open(b))
				checked, err := backup.Check(bytes.NewReader(text))
				w.ok(err)
				b.StartTimer()
				begun := time.Now()
				_, err = w.restoring().Run(b.Context(), checked)
				w.ok(err)
				took += time.Since(begun)
				n++
				b.StopTimer()
				if c, ok := w.store.(io.Closer); ok {
					w.ok(errors.Join(c.Close()))
				}
				b.StartTimer()
			}
			b.ReportMetric(benchUsers*float64(n)/took.Seconds(), "users/s")
		})
	}
}
