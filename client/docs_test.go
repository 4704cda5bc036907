package client_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestDocsShowTheExamples: what the pages show of the client is what the examples
// run, line by line.
func TestDocsShowTheExamples(t *testing.T) {
	t.Parallel()
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	run := make(map[string]bool)
	for line := range strings.Lines(string(examples)) {
		run[strings.TrimSpace(line)] = true
	}
	for _, path := range []string{"../README.md", "../docs/api.md", "../docs/client.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		blocks := goBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows nothing", path)
		}
		for _, block := range blocks {
			for line := range strings.Lines(block[1]) {
				if line = strings.TrimSpace(line); !run[line] {
					t.Errorf("%s shows what no example runs: %s", path, line)
				}
			}
		}
	}
}
