package redisstore

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// usedMemory is what keys and their values take in Redis, and the tables that they
// are found by. What its connections take besides comes and goes.
func usedMemory(t testing.TB, c *redis.Client) int64 {
	t.Helper()
	ctx := context.Background()
	keys := c.Keys(ctx, "*").Val()
	used, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.MemoryUsage(ctx, key, 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	total := int64(8) << bits.Len(uint(len(keys)))
	for _, cmd := range used {
		total += cmd.(*redis.IntCmd).Val()
	}
	stats, _ := c.Do(ctx, "MEMORY", "STATS").Val().(map[any]any)
	tables, _ := stats["db.0"].(map[any]any)
	ends, ok := tables["overhead.hashtable.expires"].(int64)
	if !ok {
		t.Fatalf("MEMORY STATS: %v", stats)
	}
	return total + ends
}

// idForm makes ids of the users and groups that are counted.
type idForm struct {
	name string
	id   func(n int) string
}

// idForms are a short id, as of an app that numbers its users, and one of 20
// bytes. Both begin with a letter: Redis packs what is a number into less.
var idForms = []idForm{
	{"short", func(n int) string { return "u" + strconv.Itoa(n) }},
	{"20-byte", func(n int) string { return fmt.Sprintf("user%016d", n) }},
}

// kept is something that Redis keeps, as Apply writes it.
type kept struct {
	unit     string
	most     float64 // bytes of each
	isHashed bool    // its id is, and so of one length; there are half as many buckets
	// txns write those of a range.
	txns func(app *account.App, form idForm, from, to int) []quota.Txn
}

var keptThings = []kept{
	{"user", 35, false, userTxns},
	{"counter", 35, false, func(app *account.App, form idForm, from, to int) []quota.Txn {
		return counterTxns(app, "friends", form, from, to)
	}},
	{"group", 45, false, groupTxns},
	{"request", 45, true, requestTxns},
}

// userTxns register users and count them as active.
func userTxns(app *account.App, form idForm, from, to int) (txns []quota.Txn) {
	for ; from < to; from += 1000 {
		txn := txnOf(app, add("users", 1), add("free_mau", 1))
		txn.Charges[0].Basis, txn.Charges[1].Basis = quota.PerNewUser, quota.PerNewActive
		txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: idsOf(form, from, min(to, from+1000)), Month: catalog.Month(monday, time.UTC)}
		txns = append(txns, txn)
	}
	return txns
}

// counterTxns count for users.
func counterTxns(app *account.App, quotaKey string, form idForm, from, to int) (txns []quota.Txn) {
	for ; from < to; from += 256 {
		txns = append(txns, txnOf(app, addEach(quotaKey, 150, idsOf(form, from, min(to, from+256))...)))
	}
	return txns
}

// groupTxns create groups of 25 members.
func groupTxns(app *account.App, form idForm, from, to int) (txns []quota.Txn) {
	for ; from < to; from++ {
		txn := txnOf(app, quota.Charge{Members: true, Delta: 25, Limit: catalog.Unlimited()})
		txn.Group = quota.GroupStep{Op: quota.GroupCreate, ID: form.id(from), Type: 'p', Day: catalog.Day(monday, time.UTC)}
		txns = append(txns, txn)
	}
	return txns
}

// requestTxns do nothing but for their ids, which are hashes, however long they
// were.
func requestTxns(app *account.App, _ idForm, from, to int) (txns []quota.Txn) {
	for ; from < to; from++ {
		txn := txnOf(app)
		txn.Request = scatteredRequest(from)
		txns = append(txns, txn)
	}
	return txns
}

func idsOf(form idForm, from, to int) []string {
	ids := make([]string, 0, to-from)
	for ; from < to; from++ {
		ids = append(ids, form.id(from))
	}
	return ids
}

// scatteredRequest has bytes that look drawn, as those of a hash do: Redis must
// not find numbers among them.
func scatteredRequest(n int) (k quota.RequestKey) {
	x := uint64(n)
	for i := range k.Hash {
		x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
		x ^= x >> 29
		k.Hash[i] = byte(x >> 56)
	}
	copy(k.Fingerprint[:], k.Hash[8:])
	k.Fingerprint[0] |= 0x80
	return k
}

// fill writes n of them and returns the bytes that each took.
func (k *kept) fill(t testing.TB, client *redis.Client, s *Store, app *account.App, form idForm, n int) float64 {
	t.Helper()
	const batch = 64_000
	mustApply(t, s, txnOf(app, add("warm", 1)))
	before := usedMemory(t, client)
	for from := 0; from < n; from += batch {
		mustApply(t, s, k.txns(app, form, from, min(n, from+batch))...)
	}
	return float64(usedMemory(t, client)-before) / float64(n)
}

// TestMemory holds what one of each may take, in buckets as full as they are aimed
// to be.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, k := range keptThings {
		for _, form := range idForms {
			t.Run(k.unit+"/ids="+form.name, func(t *testing.T) {
				t.Parallel()
				const fanout, fields = 8, 60
				s, client := storeOfMemory(t)
				n := fields << fanout
				if k.isHashed {
					n /= 2
				}
				if got := k.fill(t, client, s, newAppOf(t, s, 1, fanout), form, n); got > k.most || got < k.most/4 {
					t.Errorf("%.1f bytes a %s, want at most %v, and not next to nothing", got, k.unit, k.most)
				}
			})
		}
	}
}

// storeOfMemory starts a server that holds nothing yet but what every one does.
func storeOfMemory(t testing.TB) (*Store, *redis.Client) {
	t.Helper()
	server := redistest.Standalone(t)
	return initialized(t, "redis://"+server.Addr), server.Client()
}

// BenchmarkMemory reports what one of each takes in Redis, in apps of several
// sizes: with the fan-out that an app of that size is given if it is told, and with
// the one for a million users that it is given if it is not. The last has buckets
// of more fields than Redis packs.
func BenchmarkMemory(b *testing.B) {
	for _, k := range keptThings {
		for _, size := range []struct {
			n      int
			fanout uint8
		}{{100, 8}, {100, 14}, {1_000, 8}, {1_000, 14}, {10_000, 8}, {10_000, 14}, {100_000, 11}, {100_000, 14}, {1_000_000, 14}, {200_000, 8}} {
			for _, form := range idForms {
				if k.isHashed && form.name != "20-byte" {
					continue // however long they are
				}
				b.Run(fmt.Sprintf("%s/ids=%s/n=%d/bits=%d", k.unit, form.name, size.n, size.fanout), func(b *testing.B) {
					k.benchmark(b, form, size.n, size.fanout)
				})
			}
		}
	}
}

// benchmark fills an app, or several small ones, whose buckets differ by chance.
func (k *kept) benchmark(b *testing.B, form idForm, n int, fanout uint8) {
	b.Helper()
	s, client := storeOfMemory(b)
	apps := max(1, 1000/n)
	total, id := 0.0, uint32(0)
	for b.Loop() {
		for range apps {
			id++
			total += k.fill(b, client, s, newAppOf(b, s, id, fanout), form, n)
		}
	}
	b.ReportMetric(total/float64(b.N*apps), "bytes/"+k.unit)
	b.ReportMetric(0, "ns/op")
}
