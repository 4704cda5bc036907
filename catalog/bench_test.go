package catalog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
)

// withEditions is the minimal catalog with n editions, each with a limit of a
// quota of its own and a feature of its own.
func withEditions(tb testing.TB, n int) *catalog.Snapshot {
	tb.Helper()
	minimal := string(read(tb, "testdata/minimal.yaml"))
	head, free, ok := strings.Cut(minimal, "editions:\n")
	if !ok {
		tb.Fatal("minimal.yaml has no editions")
	}
	var b bytes.Buffer
	b.WriteString(head + "features:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {key: feature_%d, title: Feature}\n", i)
	}
	b.WriteString("editions:\n" + free)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "  - key: edition_%d\n    title: Edition\n    monthly_price: \"%d\"\n", i, i)
		fmt.Fprintf(&b, "    limits: {users: %d, free_mau: 1, friends: 1, joined_groups: 1, group_members: 1}\n", i)
		fmt.Fprintf(&b, "    features: [feature_%d]\n", i)
	}
	return parse(tb, b.Bytes())
}

func TestLookups_OfAThousandEditions(t *testing.T) {
	t.Parallel()
	s := withEditions(t, 1000)
	users, _ := s.Quota(catalog.Users)
	for i := 1; i < 1000; i++ {
		e := edition(t, s, fmt.Sprintf("edition_%d", i))
		if got := e.Limit(users).Limit; got != catalog.Max(int64(i)) {
			t.Fatalf("%s: limit = %v", e.Key, got)
		}
		own, _ := s.Feature(fmt.Sprintf("feature_%d", i))
		other, _ := s.Feature(fmt.Sprintf("feature_%d", i-1))
		if !e.Has(own) || e.Has(other) {
			t.Fatalf("%s: features are mixed up", e.Key)
		}
	}
}

// What a decision looks up takes as long with a thousand editions as with
// three, and allocates nothing: compare the two results.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("editions=%d", n), func(b *testing.B) {
			s := withEditions(b, n)
			last := fmt.Sprintf("%d", n-1)
			editionKey, featureKey := "edition_"+last, "feature_"+last
			b.ReportAllocs()
			for b.Loop() {
				e, _ := s.Edition(editionKey)
				q, _ := s.Quota(catalog.GroupMembers)
				g, _ := s.GroupType("work")
				f, _ := s.Feature(featureKey)
				if !e.Has(f) || !e.Limit(q).For(g.Key).Allows(0, 1) {
					b.Fatal("the last edition lacks its feature")
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	data := catalog.DefaultYAML()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := catalog.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
