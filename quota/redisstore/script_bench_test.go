package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/redis/go-redis/v9"
)

// BenchmarkScript reports how long Redis evaluates the script, for each of its
// transactions: cpu-µs is all that Redis spends on them, script-µs what the script
// does.
func BenchmarkScript(b *testing.B) {
	server, s := standalone(b)
	client := server.Client()
	app := newApp(b, s, 1)
	apps := make([]*account.App, 500)
	for i := range apps {
		apps[i] = newApp(b, s, uint32(i+2))
	}
	users := names(10_000, "user-with-an-id-%05d")
	n := 0
	user := func() string { n++; return users[n*7919%len(users)] }
	kinds := []struct {
		name string
		txn  func() quota.Txn
	}{
		{"friends", func() quota.Txn { return txnOf(app, addEach("friends", 1, user()), addEach("friends", 1, user())) }},
		{"friends with an id", func() quota.Txn {
			t := txnOf(app, addEach("friends", 1, user()), addEach("friends", 1, user()))
			t.Request = requestOf(fmt.Sprintf("%016d", n))
			return t
		}},
		{"friends of many apps", func() quota.Txn {
			return txnOf(apps[n*31%len(apps)], addEach("friends", 1, user()), addEach("friends", 1, user()))
		}},
		{"login", func() quota.Txn { return loginOf(app, user()) }},
		{"direct", func() quota.Txn { return txnOf(app, addEach("robots", 1, user())) }},
	}
	for _, kind := range kinds {
		for _, together := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, together), func(b *testing.B) {
				txns := make([]quota.Txn, together)
				for i := range txns {
					txns[i] = kind.txn()
				}
				mustApply(b, s, txns...)
				if err := client.ConfigResetStat(context.Background()).Err(); err != nil {
					b.Fatal(err)
				}
				cpu := cpuMicros(b, client)
				for b.Loop() {
					b.StopTimer()
					for i := range txns {
						txns[i] = kind.txn()
					}
					b.StartTimer()
					for _, o := range s.Apply(b.Context(), txns) {
						if o.Err != nil || !o.Applied {
							b.Fatal(o)
						}
					}
				}
				done := float64(b.N * together)
				b.ReportMetric((cpuMicros(b, client)-cpu)/done, "cpu-µs/txn")
				b.ReportMetric(microseconds(b, client, "fcall")/float64(together), "script-µs/txn")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// cpuMicros returns the CPU time that a server has used.
func cpuMicros(b *testing.B, c *redis.Client) float64 {
	b.Helper()
	info, err := c.Info(context.Background(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for _, name := range []string{"used_cpu_user:", "used_cpu_sys:"} {
		var seconds float64
		_, text, _ := strings.Cut(info, name)
		if _, err := fmt.Sscanf(text, "%f", &seconds); err != nil {
			b.Fatal(err)
		}
		total += seconds * 1e6
	}
	return total
}
