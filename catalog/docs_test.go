package catalog_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocsExample puts what docs/catalog.md shows into the shipped catalog, as
// a reader would.
func TestDocsExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/catalog.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML, want the quota and its limit", len(blocks))
	}
	quota, limit := blocks[0][1], blocks[1][1]
	plans := strings.Replace(string(catalog.DefaultYAML()), "quotas:\n", quota, 1)
	const limits = "    limits:\n"
	_, line, _ := strings.Cut(limit, limits)
	plans = strings.ReplaceAll(plans, limits, limits+line)
	cat, err := catalog.Parse([]byte(plans))
	if err != nil {
		t.Fatal(err)
	}
	q, ok := cat.Quota("daily_stickers")
	if !ok || !q.Direct || q.Kind != catalog.KindDay || q.Scope != catalog.ScopeUser {
		t.Fatalf("the quota of the docs: %+v", q)
	}
	for _, e := range cat.Editions() {
		if got := e.Limit(q).Limit; got != catalog.Max(10) {
			t.Errorf("%s: limit %v", e.Key, got)
		}
	}
}
