package boltstore

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// TestDamagedValueIsAFault plants a value that means nothing. Who touches it is
// told so; what stands before and after it in the same call is carried out.
func TestDamagedValueIsAFault(t *testing.T) {
	t.Parallel()
	const damaged = 1 // the app
	day := catalog.WindowAt(catalog.KindDay, noon, time.UTC)
	inBucket := func(b, k, v []byte) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket(b).Put(k, v) }
	}
	count := func(v []byte) func(*bolt.Tx) error {
		return inBucket(countersBucket, counterKey(damaged, "sent", ""), v)
	}
	touchCount := func(txn *quota.Txn) {
		txn.Charges = []quota.Charge{{Counter: quota.Counter{Quota: "sent"}, Delta: 1, Limit: catalog.Unlimited()}}
	}
	member := func(v []byte) func(*bolt.Tx) error {
		return inBucket(usersBucket, idKeyOf(damaged, "alice"), v)
	}
	touchUser := func(txn *quota.Txn) {
		txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"bob", "alice"}, Month: 7}
	}
	group := func(v []byte) func(*bolt.Tx) error {
		return inBucket(groupsBucket, idKeyOf(damaged, "chess"), v)
	}
	touchGroup := func(txn *quota.Txn) { txn.Group = quota.GroupStep{Op: quota.GroupTouch, ID: "chess", Type: 'p'} }
	id, other := request(1), request(2)
	remembered := func(k, v []byte) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b, err := tx.Bucket(requestsBucket).CreateBucket(generationKey(damaged, generationOf(noon)))
			if err != nil {
				return err
			}
			return b.Put(k, v)
		}
	}
	touchRequest := func(txn *quota.Txn) { txn.Request = id }
	varints := func(b []byte, ns ...int64) []byte {
		for _, n := range ns {
			b = binary.AppendVarint(b, n)
		}
		return b
	}
	tests := []struct {
		name  string
		plant func(tx *bolt.Tx) error
		touch func(txn *quota.Txn)
		want  string
	}{
		{"count that is no varint", count([]byte{0x80}), touchCount, `of sent ""`},
		{"count that is empty", count(nil), touchCount, `of sent ""`},
		{"count and more", count([]byte("12")), touchCount, `of sent ""`},
		{"count out of range", count(encodeCount(catalog.MaxLimit + 1)), touchCount, `of sent ""`},
		{"count in a window", func(tx *bolt.Tx) error {
			b, err := tx.Bucket(windowsBucket).CreateBucket(windowKey(damaged, day))
			if err != nil {
				return err
			}
			return b.Put(counterKey(damaged, "sent", "alice"), []byte("many"))
		}, func(txn *quota.Txn) {
			touchCount(txn)
			txn.Charges[0].Window, txn.Charges[0].Subjects = day, []string{"bob", "alice"}
		}, `of sent "alice"`},
		{"user that is no varint", member([]byte("june")), touchUser, `of user "alice"`},
		{"user out of range", member(encodeCount(1 << 40)), touchUser, `of user "alice"`},
		{"group that is text", group([]byte("Chess")), touchGroup, `of group "chess"`},
		{"group that is empty", group(nil), touchGroup, `of group "chess"`},
		{"group without members", group(varints([]byte{'p'}, 20_000)), touchGroup, `of group "chess"`},
		{"group of fewer than no members", group(varints([]byte{'p'}, 20_000, -1)), touchGroup, `of group "chess"`},
		{"group of a day out of range", group(varints([]byte{'p'}, 1<<40, 3)), touchGroup, `of group "chess"`},
		{"group and more", group(varints([]byte{'p'}, 20_000, 3, 4)), touchGroup, `of group "chess"`},
		{"header that is short", inBucket(appsBucket, appKey(damaged), make([]byte, headerSize-1)), func(*quota.Txn) {}, "the record of app 1"},
		{"request id", remembered(make([]byte, requestKeySize), id.Hash[:]), touchRequest, "of request"},
		{"request id cut short", remembered(make([]byte, requestKeySize), id.Hash[1:]), touchRequest, "of request"},
		{"request id of an earlier file", remembered(id.Hash[:], []byte("short")), touchRequest, "of request"},
		{"last number that there is", remembered(bytes.Repeat([]byte{0xff}, requestKeySize), append(other.Hash[:], other.Fingerprint[:]...)), touchRequest, "of request"},
		{"number of a request", remembered([]byte("long"), append(id.Hash[:], id.Fingerprint[:]...)), touchRequest, "of request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path)
			app, sound := found(t, s, damaged), found(t, s, 2)
			shut(t, s)
			plant(t, path, tt.plant)
			s = open(t, path)
			for _, mode := range []quota.TxnMode{quota.ModeJudge, quota.ModeConsume, quota.ModeForce} {
				txn := txnOf(app)
				txn.Mode = mode
				tt.touch(&txn)
				got := s.Apply(t.Context(), []quota.Txn{adding(sound, "sent"), txn, adding(sound, "sent")})
				same(t, "reason", account.UsageUnknown, fault(got[1].Err))
				if got[1].Err == nil || !strings.Contains(got[1].Err.Error(), tt.want) {
					t.Errorf("got %v, want %q", got[1].Err, tt.want)
				}
				same(t, "outcome", quota.Outcome{Err: got[1].Err}, got[1])
				if !got[0].Applied || !got[2].Applied {
					t.Errorf("the others: %v, %v", got[0].Err, got[2].Err)
				}
			}
			same(t, "counter", int64(6), used(t, s, sound, "sent"))
		})
	}
}

// TestDamagedRecordIsAFault: an app whose record cannot be read is not unknown.
func TestDamagedRecordIsAFault(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(stored []byte) []byte{
		"text for JSON":    func(b []byte) []byte { return append(b[:headerSize:headerSize], "{?"...) },
		"JSON cut off":     func(b []byte) []byte { return b[:len(b)-1] },
		"no JSON":          func(b []byte) []byte { return b[:headerSize] },
		"header cut short": func(b []byte) []byte { return b[:headerSize-1] },
		"nothing":          func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path)
			found(t, s, 1)
			sound := found(t, s, 2)
			shut(t, s)
			plant(t, path, func(tx *bolt.Tx) error {
				b := tx.Bucket(appsBucket)
				stored := append([]byte(nil), b.Get(appKey(1))...)
				return b.Put(appKey(1), damage(stored))
			})
			s = open(t, path)
			_, err := s.App(t.Context(), 1)
			same(t, "reason", account.UsageUnknown, fault(err))
			err = s.CreateApp(t.Context(), &account.App{ID: 1, Account: "acme"}, account.Event{}, 10, true)
			if err != account.ErrAppExists { //nolint:errorlint // it is never wrapped
				t.Errorf("created anew: %v", err)
			}
			got, err := s.App(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "the other app", sound, got)
			applyOne(t, s, adding(sound, "sent"))
		})
	}
}

// TestLostRecordIsNotAnUnknownApp: the account still has a place for it.
func TestLostRecordIsNotAnUnknownApp(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	shut(t, s)
	plant(t, path, func(tx *bolt.Tx) error { return tx.Bucket(appsBucket).Delete(appKey(1)) })
	s = open(t, path)
	if _, err := s.App(t.Context(), 1); err != account.ErrUsageUnknown { //nolint:errorlint // it is never wrapped
		t.Errorf("got %v", err)
	}
	if o := s.Apply(t.Context(), []quota.Txn{adding(app, "sent")})[0]; o.Err != quota.ErrStale { //nolint:errorlint // it is never wrapped
		t.Errorf("got %v", o.Err)
	}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 10, false); err != account.ErrUsageUnknown { //nolint:errorlint // it is never wrapped
		t.Errorf("got %v", err)
	}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 10, true); err != nil {
		t.Error(err)
	}
}
