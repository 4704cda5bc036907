package catalog_test

import (
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
)

func TestSnapshot_With(t *testing.T) {
	t.Parallel()
	other := func(version, title string) *catalog.Snapshot {
		text := strings.Replace(string(catalog.DefaultYAML()), `version: "2023-09-19"`, `version: "`+version+`"`, 1)
		return parse(t, []byte(strings.Replace(text, "title: Premium", "title: "+title, 1)))
	}
	shipped, old, older := catalog.Default(), other("2022", "Gold"), other("2021", "Silver")
	both, err := shipped.With(old, older, old, catalog.Default())
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]*catalog.Snapshot{"2023-09-19": both, "2022": old, "2021": older, "2020": nil, "": nil} {
		if got, ok := both.Pinned(version); got != want || ok != (want != nil) {
			t.Errorf("%q: %v, %v", version, got, ok)
		}
	}
	if _, ok := shipped.Pinned("2022"); ok {
		t.Error("the catalog itself was changed")
	}
	euros := parse(t, []byte(strings.NewReplacer(`version: "2023-09-19"`, `version: "2020"`, "currency: USD", "currency: EUR").Replace(string(catalog.DefaultYAML()))))
	if _, err := shipped.With(euros); err == nil || !strings.Contains(err.Error(), "EUR") {
		t.Errorf("in another currency: %v", err)
	}
	elsewhere := parse(t, []byte(strings.NewReplacer(`version: "2023-09-19"`, `version: "2020"`, `"+08:00"`, `"+00:00"`).Replace(string(catalog.DefaultYAML()))))
	if _, err := shipped.With(elsewhere); err == nil || !strings.Contains(err.Error(), "UTC+00:00") {
		t.Errorf("in another zone: %v", err)
	}
	for _, twice := range []*catalog.Snapshot{other("2022", "Platinum"), other("2023-09-19", "Platinum")} {
		if _, err := shipped.With(old, twice); err == nil || !strings.Contains(err.Error(), twice.Version()) {
			t.Errorf("another %s: %v", twice.Version(), err)
		}
	}
}
