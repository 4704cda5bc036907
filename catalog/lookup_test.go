package catalog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
)

func TestSnapshot_GroupType(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for key, names := range map[string][]string{
		"work":      {"work", "Work", "WORK", "Private", "private", "PRIVATE", "pRiVaTe"},
		"public":    {"public", "Public"},
		"meeting":   {"meeting", "ChatRoom", "chatroom", "CHATROOM"},
		"live":      {"live", "AVChatRoom", "avchatroom", "AvChatRoom"},
		"community": {"community", "Community"},
		"broadcast": {"broadcast", "BChatRoom", "bchatroom"},
	} {
		for _, name := range names {
			if g, ok := s.GroupType(name); !ok || g.Key != key {
				t.Errorf("%s is %v, want %s", name, g, key)
			}
		}
	}
	for _, name := range []string{"", " work", "work ", "w", "Live-Group", "wörk", "chat room"} {
		if g, ok := s.GroupType(name); ok {
			t.Errorf("%q is %s", name, g.Key)
		}
	}
}

func TestSnapshot_Names(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, tt := range []struct{ got, want string }{
		{s.EditionNames(), "developer, standard, premium"},
		{s.GroupTypeNames(), "work, public, meeting, live, community, broadcast"},
		{s.FeatureNames(), "global_coverage, push_all, "},
		{s.QuotaNames(), "users, free_mau, "},
		{s.AddOnNames(), "av_call"},
		{parse(t, read(t, "testdata/minimal.yaml")).AddOnNames(), "none"},
	} {
		if !strings.HasPrefix(tt.got, tt.want) {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	if got, want := s.FeatureNames(), "live_group_ban, av_call and 12 more"; !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q at its end", got, want)
	}
}

func TestSnapshot_GroupTypeByCode(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, want := range s.GroupTypes() {
		if g, ok := s.GroupTypeByCode(want.Code); !ok || g != want {
			t.Errorf("%c is %v, want %s", want.Code, g, want.Key)
		}
	}
	for _, code := range []byte{0, 'z', 'W'} {
		if g, ok := s.GroupTypeByCode(code); ok {
			t.Errorf("%q is %s", code, g.Key)
		}
	}
}

// What is not in the catalog is not found, the empty name least of all.
func TestSnapshot_Unknown(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, key := range []string{"", "Developer", "gold", "users ", "av_call."} {
		_, e := s.Edition(key)
		_, q := s.Quota(key)
		_, f := s.Feature(key)
		_, a := s.AddOn(key)
		_, p := s.Family(key)
		if e || q || f || a || p || s.HasRegion(key) {
			t.Errorf("%q is known", key)
		}
	}
}

func TestSnapshot_Known(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, e := range s.Editions() {
		if got, ok := s.Edition(e.Key); !ok || got != e {
			t.Errorf("edition %s is not found", e.Key)
		}
	}
	for _, q := range s.Quotas() {
		if got, ok := s.Quota(q.Key); !ok || got != q {
			t.Errorf("quota %s is not found", q.Key)
		}
	}
	for _, f := range s.Features() {
		if got, ok := s.Feature(f.Key); !ok || got != f {
			t.Errorf("feature %s is not found", f.Key)
		}
	}
	for _, r := range s.Regions() {
		if !s.HasRegion(r) {
			t.Errorf("region %s is not found", r)
		}
	}
}

func TestLimitRule_For(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"code: w,", "code: w, aliases: [Private],",
		"group_members: 1", "group_members: {limit: 20, by_group_type: {Private: unlimited}}",
	).Replace(string(read(t, "testdata/minimal.yaml")))
	s := parse(t, []byte(text))
	q, _ := s.Quota(catalog.GroupMembers)
	rule := s.DefaultEdition().Limit(q)
	if got := rule.For("work"); got != catalog.Unlimited() {
		t.Errorf("limit of work = %v, want the one that is named by its alias", got)
	}
	if got := rule.For("public"); got != catalog.Max(20) {
		t.Errorf("limit of public = %v, want the rule's own", got)
	}
}

func TestSnapshot_Zone(t *testing.T) {
	t.Parallel()
	minimal := string(read(t, "testdata/minimal.yaml"))
	summer := instant(t, "2024-07-01T00:00:00Z")
	for zone, offset := range map[string]time.Duration{
		"+00:00":           0,
		"+08:00":           8 * time.Hour,
		"-03:30":           -(3*time.Hour + 30*time.Minute),
		"+14:00":           14 * time.Hour,
		"Asia/Shanghai":    8 * time.Hour,
		"America/New_York": -4 * time.Hour,
		"UTC":              0,
	} {
		s := parse(t, []byte(strings.Replace(minimal, `"+00:00"`, `"`+zone+`"`, 1)))
		_, got := summer.In(s.Zone()).Zone()
		if got != int(offset.Seconds()) {
			t.Errorf("%s is %d s east, want %v", zone, got, offset)
		}
	}
}

// Days of the catalog begin when its zone says, midnight or not.
func TestSnapshot_LegacyBefore(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(`"+00:00"`, "America/Sao_Paulo", "2022-12-26", "2018-11-04").Replace(string(read(t, "testdata/minimal.yaml")))
	got := parse(t, []byte(text)).Account().LegacyBefore
	if want := instant(t, "2018-11-04T01:00:00-02:00"); !got.Equal(want) {
		t.Errorf("legacy before %v, want %v", got, want)
	}
}
