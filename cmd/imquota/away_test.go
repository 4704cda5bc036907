package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// within polls until done, which it must be in time.
func within(t *testing.T, limit time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Since(begun) > limit {
			t.Fatalf("waited %v for %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(begun)
}

// TestRedisGoesAndComes: features and states are answered meanwhile and say so,
// counters are not; and within a second of its return what counts is counted.
func TestRedisGoesAndComes(t *testing.T) {
	t.Parallel()
	const app = 1400000002
	server := redistest.Standalone(t)
	url := "redis://" + server.Addr
	run(t, "store", "init", "--store", url)
	const staleMax = 6 * time.Second // a busy machine needs seconds to ask twice
	p := serve(t, "--demo", "--store", url, "--http-listen", "127.0.0.1:0", "--stale-max", staleMax.String())
	quotas := p.quotas()
	count := func() error {
		_, err := quotas.CheckQuota(t.Context(), &imquotav1.CheckQuotaRequest{AppId: app, Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: "alice"}}})
		return err
	}
	feature := []string{"check", "use-feature", "--app", "1400000002", "--feature", "user_status"}
	if got := p.ask(feature...); strings.Contains(got.out, "degraded") || got.code == exitFault {
		t.Errorf("%+v", got)
	}
	if err := count(); err != nil {
		t.Fatal(err)
	}
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	seen := len(p.lines())
	server.Kill()
	gone := time.Now()
	within(t, 2*time.Second, "the circuit to open", func() bool {
		_, page := p.fetch("/metrics", "")
		return strings.Contains(page, "\nimquota_store_circuit_open 1")
	})
	seen = p.await(seen, says("the store is away"))
	if err := count(); status.Code(err) != codes.Unavailable {
		t.Errorf("a counter: %v", err)
	}
	// What was confirmed shortly before the store went may be used unread yet.
	within(t, 2*time.Second, "a degraded answer", func() bool {
		got := p.ask(feature...)
		return got.code != exitFault && strings.Contains(got.out, "degraded: the store is away")
	})
	if got := p.ask("app", "entitlements", "--app", "1400000002"); got.code != exitFine || !strings.Contains(got.out, "degraded") {
		t.Errorf("entitlements: %+v", got)
	}
	if _, page := p.fetch("/metrics", ""); !strings.Contains(page, `source="DEGRADED"`) {
		t.Error("no degraded decision is counted")
	}
	took := within(t, staleMax+time.Second, "it to be too old", func() bool {
		got := p.ask(feature...)
		return got.code == exitFault && strings.Contains(got.err, "STORE_UNAVAILABLE")
	})
	t.Logf("degraded until %v after Redis went, %v more", time.Since(gone), took)

	server.Restart()
	t.Logf("counted %v after Redis was back", within(t, time.Second, "a counted check", func() bool { return count() == nil }))
	p.await(seen, says("the store answers again"))
	within(t, 2*time.Second, "it to be ready", func() bool {
		code, _ := p.fetch("/readyz", "")
		return code == http.StatusOK
	})
	if got := p.ask(feature...); got.code == exitFault || strings.Contains(got.out, "degraded") {
		t.Errorf("%+v", got)
	}
	if _, page := p.fetch("/metrics", ""); !strings.Contains(page, "\nimquota_store_circuit_open 0") {
		t.Error("the circuit is open")
	}
}

// TestStartsBeforeRedis: it is not ready and says why, and becomes ready when
// Redis starts.
func TestStartsBeforeRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	url := "redis://" + server.Addr
	run(t, "store", "init", "--store", url)
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	p := serve(t, "--store", url, "--http-listen", "127.0.0.1:0")
	if code, text := p.fetch("/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "STORE_UNAVAILABLE") || !strings.Contains(text, "cannot be reached") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if code, _ := p.fetch("/livez", ""); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	if got := p.ask("health"); got.code != exitFault {
		t.Errorf("health: %+v", got)
	}
	if got := p.ask("check", "use-feature", "--app", "7", "--feature", "user_status"); got.code != exitFault || !strings.Contains(got.err, "STORE_UNAVAILABLE") {
		t.Errorf("an app that nobody has read: %+v", got)
	}
	seen := len(p.lines())
	server.Restart()
	p.await(seen, says("ready"))
	if code, text := p.fetch("/readyz", ""); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if got := p.ask("app", "create", "--account", "a", "--app", "7"); got.code != exitFine {
		t.Errorf("create: %+v", got)
	}
}
