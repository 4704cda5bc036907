package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/imquota/imquota/catalog"
)

// Each file breaks one rule, but for busted_many.yaml. Its first lines say
// every problem that is to be reported, in order.
func TestParseFile_Busted(t *testing.T) {
	t.Parallel()
	files := bustedFiles(t)
	if len(files) < 100 {
		t.Fatalf("%d busted files; where are the others?", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data := read(t, file)
			var want []string
			for line := range strings.Lines(string(data)) {
				problem, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "# want: ")
				if !ok {
					break
				}
				want = append(want, problem)
			}
			s, err := catalog.ParseFile(file)
			if s != nil {
				t.Error("a busted file gives a catalog")
			}
			if diff := cmp.Diff(want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func bustedFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/busted_*.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// parse returns a catalog that must be right.
func parse(tb testing.TB, data []byte) *catalog.Snapshot {
	tb.Helper()
	s, err := catalog.Parse(data)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// problems returns what is wrong, one text a problem.
func problems(tb testing.TB, err error) []string {
	tb.Helper()
	var broken *catalog.ParseError
	if !errors.As(err, &broken) {
		tb.Fatalf("error is %T (%v), want *catalog.ParseError", err, err)
	}
	texts := make([]string, len(broken.Problems))
	for i, p := range broken.Problems {
		texts[i] = p.String()
	}
	return texts
}
