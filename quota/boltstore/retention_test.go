package boltstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// inside lists the names of the buckets in a bucket.
func inside(t *testing.T, s *Store, name []byte) []string {
	t.Helper()
	var names []string
	if err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(name).ForEachBucket(func(k []byte) error {
			names = append(names, string(k))
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// TestRequestIsRememberedForTheHorizon asks for a request again a horizon
// after it was made, wherever in its generation that was, while others come
// every minute and start new generations.
func TestRequestIsRememberedForTheHorizon(t *testing.T) {
	t.Parallel()
	begin := time.UnixMilli(generationOf(noon) * generation.Milliseconds())
	for name, since := range map[string]time.Duration{
		"first millisecond":  0,
		"second millisecond": time.Millisecond,
		"middle":             generation / 2,
		"last millisecond":   generation - time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			app := found(t, s, 1)
			made := begin.Add(since)
			txn := adding(app, "sent")
			txn.Request, txn.Now = request(0), made
			applyOne(t, s, txn)
			for n := uint64(1); n <= uint64(quota.RequestHorizon/time.Minute); n++ {
				other := adding(app, "others")
				other.Request, other.Now = request(n), made.Add(time.Duration(n)*time.Minute)
				applyOne(t, s, other)
				txn.Now = other.Now
				if o := applyOne(t, s, txn); !o.Replayed {
					t.Fatalf("it is forgotten after %d minutes", n)
				}
			}
		})
	}
}

func TestOldGenerationsAreDropped(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app, idle := found(t, s, 1), found(t, s, 2)
	ask := func(n uint64, now time.Time) {
		txn := adding(app, "sent")
		txn.Request, txn.Now = request(n), now
		applyOne(t, s, txn)
	}
	number := generationOf(noon)
	names := func(ago ...int64) (names []string) {
		for _, n := range ago {
			names = append(names, string(generationKey(app.ID, number-n)))
		}
		return names
	}
	// Another app whose clock lags behind keeps what it has.
	txn := adding(idle, "sent")
	txn.Request = request(0)
	applyOne(t, s, txn)
	other := string(generationKey(idle.ID, number))

	ask(0, noon)
	same(t, "generations", append(names(0), other), inside(t, s, requestsBucket))
	number++
	ask(1, noon.Add(generation))
	same(t, "generations", append(names(1, 0), other), inside(t, s, requestsBucket))
	number++
	ask(2, noon.Add(2*generation))
	same(t, "generations", append(names(1, 0), other), inside(t, s, requestsBucket))
	number += 100
	ask(3, noon.Add(102*generation))
	same(t, "generations", append(names(0), other), inside(t, s, requestsBucket))

	if o := applyOne(t, s, txn); !o.Replayed {
		t.Error("an app that is ahead made another forget")
	}
}

func TestOldWindowsAreDropped(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	count := func(k catalog.Kind, now time.Time) string {
		w := catalog.WindowAt(k, now, time.UTC)
		txn := adding(app, "sent")
		txn.Now, txn.WindowEnd, txn.Charges[0].Window = now, w.End, w
		applyOne(t, s, txn)
		return string(windowKey(app.ID, w))
	}
	first := time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)
	after := func(days int) time.Time { return first.AddDate(0, 0, days) }

	month := count(catalog.KindMonth, first)
	day := []string{count(catalog.KindDay, first)}
	for days := 1; days <= 2; days++ {
		day = append(day, count(catalog.KindDay, after(days)))
	}
	// The first day ended at midnight: 36 hours ago, and then 60 hours.
	same(t, "windows", []string{day[0], day[1], day[2], month}, inside(t, s, windowsBucket))
	day = append(day, count(catalog.KindDay, after(3)))
	same(t, "windows", []string{day[1], day[2], day[3], month}, inside(t, s, windowsBucket))
	last := count(catalog.KindDay, after(29+400))
	same(t, "windows", []string{month, last}, inside(t, s, windowsBucket))
	last = count(catalog.KindDay, after(30+400))
	same(t, "windows", []string{string(windowKey(app.ID, catalog.WindowAt(catalog.KindDay, after(29+400), time.UTC))), last}, inside(t, s, windowsBucket))
}

func TestAppAheadLeavesOthersWindows(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	now := time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)
	count := func(app *account.App, at time.Time) int64 {
		w := catalog.WindowAt(catalog.KindMonth, at, time.UTC)
		txn := adding(app, "sent")
		txn.Now, txn.WindowEnd, txn.Charges[0].Window = at, w.End, w
		return applyOne(t, s, txn).Charges[0].Used[0]
	}
	right, ahead := found(t, s, 1), found(t, s, 2)
	count(right, now)
	count(ahead, now)
	count(ahead, now.AddDate(5, 0, 0))
	if before := count(right, now); before != 1 {
		t.Errorf("an app whose clock is years ahead took another's count: %d, want 1", before)
	}
}

// TestDissolvedGroupsAreForgotten: what a dissolved group leaves behind does not
// outlive the day after, whatever the order of ids.
func TestDissolvedGroupsAreForgotten(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	const firstDay, days, groups = 20_000, 30, 10
	for day := range int32(days) {
		for n := range groups {
			for _, op := range []quota.GroupOp{quota.GroupCreate, quota.GroupDissolve} {
				txn := txnOf(app)
				txn.Now = time.Unix(int64(firstDay+day)*86400, 0)
				txn.Group = quota.GroupStep{Op: op, ID: fmt.Sprintf("g%04d.%d", day, n), Type: 'w', Day: firstDay + day}
				applyOne(t, s, txn)
			}
		}
	}
	if got := len(inside(t, s, windowsBucket)); got > 4 {
		t.Errorf("groups of %d days are remembered", got)
	}
	if err := s.db.View(func(tx *bolt.Tx) error {
		if k, _ := tx.Bucket(groupsBucket).Cursor().First(); k != nil {
			t.Errorf("there is a record of %q", k)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
