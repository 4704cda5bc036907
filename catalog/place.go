package catalog

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where a path leads in a catalog file.
type place struct {
	keyLine int // of the key, or of the entry of a list
	line    int // of the value, which may begin below its key
	empty   bool
}

// find follows a path as far as it leads: by keys of mappings, and by keys or
// indexes of the entries of lists.
func find(n *yaml.Node, path string) place {
	at := place{keyLine: n.Line, line: n.Line}
	for path != "" {
		next, keyLine, rest := step(resolve(n), path)
		if next == nil {
			break
		}
		n, path = next, rest
		at = place{keyLine: keyLine, line: n.Line}
	}
	at.empty = isNull(resolve(n))
	return at
}

// step follows the first part of a path. Keys may themselves hold dots, so the
// longest that fits is meant: av_call.status, not av_call.
func step(n *yaml.Node, path string) (next *yaml.Node, keyLine int, rest string) {
	longest := -1
	try := func(key string, value *yaml.Node, line int) {
		after, ok := strings.CutPrefix(path, key)
		if ok && len(key) > longest && (after == "" || after[0] == '.') {
			longest, next, keyLine, rest = len(key), value, line, strings.TrimPrefix(after, ".")
		}
	}
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			try(entryName(c, i), c, c.Line)
			try(strconv.Itoa(i), c, c.Line)
		case i%2 == 1:
			try(n.Content[i-1].Value, c, n.Content[i-1].Line)
		}
	}
	return next, keyLine, rest
}

// entryName is what an entry of a list is called in a path: its key if it has
// one.
func entryName(entry *yaml.Node, i int) string {
	entry = resolve(entry)
	if entry.Kind == yaml.MappingNode {
		for k := 0; k+1 < len(entry.Content); k += 2 {
			if key := entry.Content[k+1]; entry.Content[k].Value == "key" && key.Value != "" && !isNull(key) {
				return key.Value
			}
		}
	}
	return strconv.Itoa(i)
}

// resolve returns what an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// nulls reports keys without a value. Most are slips, and the YAML decoder
// takes them for zero: a limit that allows nothing, a condition that always
// holds. Aliases are not followed: what they stand for is visited itself.
func (b *builder) nulls(n *yaml.Node, path string) {
	for i, c := range n.Content {
		name, line := entryName(c, i), c.Line
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue // a key: its value is next
			}
			name, line = n.Content[i-1].Value, n.Content[i-1].Line
		}
		if path != "" {
			name = path + "." + name
		}
		if isNull(c) {
			b.problems = append(b.problems, Problem{Line: line, Path: name, Message: "has no value"})
		}
		b.nulls(c, name)
	}
}
