package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// usedMemory is what Redis has allocated: keys, values and its own tables.
func usedMemory(t testing.TB, c *redis.Client) int64 {
	t.Helper()
	info, err := c.Info(context.Background(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "used_memory:")
	line, _, _ := strings.Cut(after, "\r\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
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
	unit string
	most float64 // goal, bytes of each, with ids of 20 bytes at about 60 a bucket; 0: none
	// txns write those of a range.
	txns func(app *account.App, form idForm, from, to int) []quota.Txn
}

var keptThings = []kept{
	{"user", 35, userTxns},
	{"counter", 35, func(app *account.App, form idForm, from, to int) []quota.Txn {
		return counterTxns(app, "friends", form, from, to)
	}},
	{"group", 0, groupTxns},
	{"request", 45, requestTxns},
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

// BenchmarkMemory reports what one of each takes in Redis, in apps of several
// sizes with the fan-out that such an app is given.
func BenchmarkMemory(b *testing.B) {
	for _, k := range keptThings {
		for _, n := range []int{1_000, 100_000, 1_000_000} {
			for _, form := range idForms {
				if k.unit == "request" && form.name != "20-byte" {
					continue // an id is hashed, however long it is
				}
				name := fmt.Sprintf("%s/ids=%s/n=%d", k.unit, form.name, n)
				b.Run(name, func(b *testing.B) { k.benchmark(b, form, n) })
			}
		}
	}
}

func (k *kept) benchmark(b *testing.B, form idForm, n int) {
	b.Helper()
	server := redistest.Standalone(b)
	s := initialized(b, "redis://"+server.Addr)
	client := server.Client()
	total, id := 0.0, uint32(0)
	for b.Loop() {
		id++
		total += k.fill(b, client, s, newAppOf(b, s, id, account.FanoutBitsFor(int64(n))), form, n)
	}
	b.ReportMetric(total/float64(b.N), "bytes/"+k.unit)
	b.ReportMetric(0, "ns/op")
}
