package catalog_test

import (
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
)

// Each version is older than the next.
func TestSDKVersion_Less(t *testing.T) {
	t.Parallel()
	ordered := []string{
		"0", "0.0.0.1", "1", "1.0.1", "2.9", "2.17.0", "5.8", "5.8.1667", "5.8.1668", "5.8.1668.1", "5.10", "6.1.2155", "6.2",
		"10.0", "4294967295.4294967295.4294967295.4294967295",
	}
	for i, older := range ordered {
		for k, newer := range ordered {
			if got, want := sdk(t, older).Less(sdk(t, newer)), i < k; got != want {
				t.Errorf("%s < %s is %v", older, newer, got)
			}
		}
	}
}

func TestParseSDKVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		text string
		want string
	}{
		{"three numbers", "5.8.1668", "5.8.1668"},
		{"four numbers", "5.8.1668.3", "5.8.1668.3"},
		{"one number", "5", "5.0"},
		{"trailing zeros", "5.8.0.0", "5.8"},
		{"zeros in front", "05.008", "5.8"},
		{"all zero", "0.0.0.0", "0.0"},
		{"flavour after a space", "5.8.1668 enhanced", "5.8.1668"},
		{"flavour after an underscore", "5.8.1668_enhanced", "5.8.1668"},
		{"flavour after a hyphen", "5.8.1668-enhanced.2", "5.8.1668"},
		{"flavour after a plus", "5.8.1668+build.7", "5.8.1668"},
		{"empty flavour", "5.8-", "5.8"},
		{"largest number", "4294967295", "4294967295.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := catalog.ParseSDKVersion(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.String(); got != tc.want {
				t.Errorf("%q is read as %s, want %s", tc.text, got, tc.want)
			}
			if again := sdk(t, v.String()); again != v {
				t.Errorf("%s is read back as %s", v, again)
			}
		})
	}
}

func TestParseSDKVersion_Refused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", ".", "5.", ".5", "5..8", "+5", "-5", "5.+8", " 5.8", "_5", "v5.8", "5.x", "5.8.1.2.3", "5,8", "０５",
		"4294967296", "5.99999999999999999999", "0x5", "1e3", "5.8\n", strings.Repeat("1.", 1000) + "1",
	} {
		if v, err := catalog.ParseSDKVersion(text); err == nil {
			t.Errorf("%q is read as %s", text, v)
		} else if v != (catalog.SDKVersion{}) {
			t.Errorf("%q gives an error and %s", text, v)
		}
	}
}

func sdk(tb testing.TB, text string) catalog.SDKVersion {
	tb.Helper()
	v, err := catalog.ParseSDKVersion(text)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
