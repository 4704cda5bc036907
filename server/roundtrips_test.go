package server_test

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestRedisCommands counts what Redis is asked, over gRPC: one script for a
// counted check, nothing for a feature, one script where the group's size is a
// condition.
func TestRedisCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	store, err := redisstore.Open(t.Context(), "redis://"+server.Addr, redisstore.Options{ProbeEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, _, err := store.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	sc := start(t, store, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	sc.app(7, "premium")
	sc.allow(check(7, &imquotav1.CreateGroup{GroupId: "g", GroupType: "work", MemberIds: []string{"a", "b"}}))
	admin := server.Client()
	counted := func(ask *imquotav1.CheckQuotaRequest) map[string]int {
		t.Helper()
		if err := admin.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		sc.check(ask)
		calls := commands(t, admin.Info(t.Context(), "commandstats").Val())
		delete(calls, "info")
		delete(calls, "config|resetstat")
		delete(calls, "xread") // the log of changes, all the time
		return calls
	}
	// The log of changes confirms what is at hand soon after the start.
	patience := time.Now().Add(10 * time.Second)
	for len(counted(check(7, &imquotav1.UseFeature{Feature: "user_status"}))) > 0 {
		if time.Now().After(patience) {
			t.Fatal("what is at hand is never confirmed")
		}
	}
	for name, tt := range map[string]struct {
		request *imquotav1.CheckQuotaRequest
		want    int
	}{
		"feature":                  {check(7, &imquotav1.UseFeature{Feature: "user_status"}), 0},
		"feature, denied":          {check(7, &imquotav1.UseFeature{Feature: "push_all"}), 0},
		"feature in a small group": {check(7, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "work", GroupId: "g"}), 1},
		"login":                    {check(7, &imquotav1.Login{UserId: "a"}), 1},
		"friends of both":          {check(7, &imquotav1.AddFriend{UserId: "a", FriendId: "b"}), 1},
		"five members":             {check(7, &imquotav1.AddGroupMembers{GroupId: "g", GroupType: "work", UserIds: []string{"c", "d", "e", "f", "h"}}), 1},
	} {
		sc.check(tt.request) // the first one of its kind loads the script
		calls := counted(tt.request)
		total := calls["fcall"]
		for command, n := range calls {
			switch command {
			case "fcall", "hget", "hincrby", "hmget", "hset", "hdel", "pexpire": // the script, and what it does inside
			default:
				t.Errorf("%s: %d of %s", name, n, command)
			}
		}
		if total != tt.want || tt.want == 0 && len(calls) != 0 {
			t.Errorf("%s: %v, want %d scripts", name, calls, tt.want)
		}
	}
}

var commandStat = regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`)

func commands(t *testing.T, info string) map[string]int {
	t.Helper()
	calls := make(map[string]int)
	for _, m := range commandStat.FindAllStringSubmatch(info, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		calls[m[1]] = n
	}
	return calls
}
