package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestTailLossIsTold: a store that has lost its tail stays ready, and everybody
// who looks is told.
func TestTailLossIsTold(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	url := "redis://" + server.Addr
	if got := run(t, "store", "init", "--store", url); got.code != exitFine {
		t.Fatalf("%+v", got)
	}
	p := serve(t, "--demo", "--http-listen", "127.0.0.1:0", "--store", url)
	login := func(user string) {
		t.Helper()
		got := p.ask("check", "login", "--app", "1400000001", "--user", user, "-o", "json")
		if got.code != exitFine || !strings.Contains(got.out, "DURABILITY_PRIMARY") {
			t.Fatalf("login: %+v", got)
		}
	}
	const lost = "the store lost counts"
	login("alice")
	login("bob")
	client := server.Client()
	if _, text := p.fetch("/readyz", ""); strings.Contains(text, lost) {
		t.Errorf("/readyz before: %s", text)
	}
	headers := client.Keys(t.Context(), "*1400000001*app").Val()
	if len(headers) != 1 {
		t.Fatalf("headers of the app: %q", headers)
	}
	if err := client.HSet(t.Context(), headers[0], "s", 0).Err(); err != nil {
		t.Fatal(err)
	}
	login("carol")
	if code, text := p.fetch("/readyz", ""); code != http.StatusOK || !strings.Contains(text, lost) {
		t.Errorf("/readyz: %d %s", code, text)
	}
	_, page := p.fetch("/metrics", "")
	for _, want := range []string{"imquota_tail_losses_total 1\n", "imquota_store_tail_lost 1\n", "imquota_store_ready 1\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics do not say %q", want)
		}
	}
	if got := p.ask("usage", "show", "--app", "1400000001"); !strings.Contains(got.out, lost) {
		t.Errorf("usage: %+v", got)
	}
	if got := p.ask("usage", "show", "--app", "1400000002"); strings.Contains(got.out, lost) {
		t.Errorf("usage of an app that lost nothing: %+v", got)
	}
}
