package redisstore

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

// TestPermissionTakenAway: a step of which the server permits a part is refused as
// a whole, whichever part that is.
func TestPermissionTakenAway(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("less", 1)))
	step := txnOf(app, add("more", 1), add("less", -1))
	step.Request = requestOf("once")
	before := dumpAll(t, server.Client())
	tried := make(map[string]bool)
	for _, match := range commandOf.FindAllStringSubmatch(applyLua, -1) {
		command := strings.ToLower(match[1])
		if isRead := slices.Contains(readers, match[1]); tried[command] || isRead && command != "hmget" { // by which each step begins
			continue
		}
		tried[command] = true
		redisDo(t, server, "ACL", "SETUSER", "default", "-"+command)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // it is tried again until then
		o := applyOne(ctx, s, step)
		cancel()
		redisDo(t, server, "ACL", "SETUSER", "default", "+@all")
		wantReason(t, o.Err, account.StoreUnavailable)
		if diff := cmp.Diff(before, dumpAll(t, server.Client())); diff != "" {
			t.Fatalf("without %s (-before +after):\n%s", command, diff)
		}
		if err := s.Ready(t.Context()); err != nil { // a probe may have met it
			t.Fatal(err)
		}
	}
	if len(tried) < 7 {
		t.Errorf("commands found in the script: %v", tried)
	}
	if o := applyOne(t.Context(), s, step); o.Err != nil || !o.Applied || o.Replayed {
		t.Errorf("permitted again: %+v", o)
	}
}
