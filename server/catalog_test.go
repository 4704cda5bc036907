package server_test

import (
	"bytes"
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
)

// edited is the default catalog with pairs of texts replaced, each of which
// must be found.
func edited(t *testing.T, oldNew ...string) *catalog.Snapshot {
	t.Helper()
	data := catalog.DefaultYAML()
	for i := 0; i < len(oldNew); i += 2 {
		if !bytes.Contains(data, []byte(oldNew[i])) {
			t.Fatalf("the default catalog has no %q", oldNew[i])
		}
		data = bytes.ReplaceAll(data, []byte(oldNew[i]), []byte(oldNew[i+1]))
	}
	s, err := catalog.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCatalogAlone adds a fourth edition, a feature with conditions and two
// direct quotas by YAML alone, and holds all of them over gRPC.
func TestCatalogAlone(t *testing.T) {
	t.Parallel()
	cat := edited(t,
		"\n  - key: history_days\n    title:", `
  - key: daily_stickers
    title: Stickers a user sends a day
    scope: user
    kind: day
    direct: true
    upstream_code: 23456
  - key: bots
    title: Bots of the app
    scope: app
    kind: stock
    direct: true
  - key: history_days
    title:`,
		"      history_days: 7\n", "      history_days: 7\n      daily_stickers: 3\n      bots: 1\n",
		"      history_days: 30\n", "      history_days: 30\n      daily_stickers: unlimited\n      bots: {limit: 2, on_exceed: bill}\n",
		"\n  - key: av_call\n    title: Audio and video calls\n", `
  - key: stickers
    title: Stickers
    upstream_code: 12345
    conditions:
      platforms: {allowed: [ios, web]}
      sdk: {min: {native: "7.1"}}
      regions: {excluded: [jp]}
  - key: av_call
    title: Audio and video calls
`,
		"upgrade: [premium]", "upgrade: [premium, ultimate]",
		"\n# Usage billed after the month", `
  - key: ultimate
    title: Ultimate
    monthly_price: "1999"
    limits:
      users: unlimited
      free_mau: {limit: 50000, on_exceed: bill}
      friends: unlimited
      groups: unlimited
      live_groups: unlimited
      joined_groups: 5000
      group_members: {limit: 5000, by_group_type: {community: 100000}}
      daily_net_broadcast_groups: 50
      daily_net_groups: 20000
      history_days: 90
      daily_stickers: 5
      bots: 10
    features: [global_coverage, stickers, community]

# Usage billed after the month`,
	)
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), cat)
		s.app(1, "ultimate")
		s.app(2, "standard")

		stickers := func(app uint32, user string, n int64) *imquotav1.CheckQuotaRequest {
			return check(app, &imquotav1.UseQuota{Quota: "daily_stickers", Subject: user, Amount: &n})
		}
		s.allow(stickers(1, "alice", 4))
		s.allow(check(1, &imquotav1.UseQuota{Quota: "daily_stickers", Subject: "alice"})) // one, when no amount is given
		d := s.check(stickers(1, "alice", 1))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetUpstreamCode() != 23456 || v[0].GetLimit() != 5 || v[0].GetSubject() != "alice" {
			t.Errorf("the sixth sticker: %v", d)
		}
		s.allow(stickers(1, "bob", 5))
		two := int64(2)
		s.release(release(1, &imquotav1.ReturnQuota{Quota: "daily_stickers", Subject: "alice", Amount: &two}))
		s.wantUsed(1, "daily_stickers", "alice", "", 3)
		s.allow(check(1, &imquotav1.UseQuota{Quota: "bots"}))
		d = s.check(stickers(2, "carol", 4))
		if d.GetAllowed() || d.GetUpgrade().GetEdition() != "premium" {
			t.Errorf("four stickers in standard: %v", d)
		}
		s.clock.Advance(24 * 3600 * 1e9)
		s.allow(stickers(1, "alice", 5))

		use := useFeature(1, "stickers")
		s.allow(use)
		use.Client = &imquotav1.Client{Platform: "android"}
		if d := s.check(use); d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_PLATFORM_UNSUPPORTED {
			t.Errorf("stickers on android: %v", d)
		}
		use.Client = &imquotav1.Client{Platform: "ios", SdkVersion: "7.0.9"}
		if d := s.check(use); d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_SDK_TOO_OLD {
			t.Errorf("stickers on an old SDK: %v", d)
		}
		d = s.check(useFeature(2, "stickers"))
		if v := d.GetViolations(); v[0].GetUpstreamCode() != 12345 || d.GetUpgrade().GetEdition() != "ultimate" {
			t.Errorf("stickers in standard: %v", d)
		}

		s.set(1, "group_members", "town", 99_999, "community")
		q := state(t, s.allow(joinGroup(1, "town", "community", "last")), "group_members")
		if q.GetLimit() != 100_000 || q.GetRemaining() != 0 {
			t.Errorf("a community's own limit: %v", q)
		}
		if d := s.check(joinGroup(1, "town", "community", "late")); d.GetAllowed() {
			t.Error("the 100001st member of a community was allowed")
		}
		s.set(1, "group_members", "team", 5000, "work")
		if d := s.check(joinGroup(1, "team", "work", "late")); d.GetAllowed() {
			t.Error("the 5001st member of a work group was allowed")
		}

		_, err := s.CheckQuota(t.Context(), check(1, &imquotav1.UseQuota{Quota: "friends", Subject: "alice"}))
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "use_quota.quota")
		_, err = s.CheckQuota(t.Context(), check(1, &imquotav1.UseQuota{Quota: "bots", Subject: "alice"}))
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "use_quota.subject")
	})
}

// wantFields expects an error to name exactly these fields.
func wantFields(t testing.TB, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("fields %v, want %v", got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("fields %v, want %v", got, want)
			return
		}
	}
}
