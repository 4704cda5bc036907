package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one broken rule of a catalog file.
type Problem struct {
	Line    int    // 1 for the first; 0 when it is not known
	Path    string // such as "editions.standard.limits.friends"
	Message string
}

// String returns "line 42: editions.standard.limits.friends: what is wrong".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// ParseError is everything that is wrong with a catalog file, by line.
type ParseError struct{ Problems []Problem }

// Error returns one problem a line.
func (e *ParseError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (e *ParseError) sort() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}
