package catalog

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	_ "time/tzdata" // zones by name, on machines without them too

	"go.yaml.in/yaml/v3"
)

//go:embed default.yaml
var defaultYAML []byte

//go:embed schema.json
var schemaJSON []byte

// DefaultYAML returns the catalog file that ships with imquota.
func DefaultYAML() []byte { return bytes.Clone(defaultYAML) }

// Schema returns the JSON Schema of a catalog file, for editors.
func Schema() []byte { return bytes.Clone(schemaJSON) }

// Default returns the catalog that ships with imquota.
func Default() *Snapshot { return parsedDefault() }

var parsedDefault = sync.OnceValue(func() *Snapshot {
	s, err := Parse(defaultYAML)
	if err != nil {
		panic("the catalog that ships with imquota is broken: " + err.Error()) // a test proves that it is not
	}
	return s
})

// ParseFile reads a catalog file. Errors: as Parse, and those of reading.
func ParseFile(path string) (*Snapshot, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads a catalog. The error is a *ParseError with every problem.
func Parse(data []byte) (*Snapshot, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, &ParseError{[]Problem{yamlProblem(err.Error())}}
	}
	if len(root.Content) == 0 {
		return nil, &ParseError{[]Problem{{Message: "the catalog is empty"}}}
	}
	b := &builder{root: root.Content[0]}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	b.decoded(decoder.Decode(&b.doc))
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		b.add("", "the file holds more than one YAML document")
	}
	s := b.build()
	if len(b.problems) > 0 {
		err := &ParseError{b.problems}
		err.sort()
		return nil, err
	}
	return s, nil
}

// decoded notes what the YAML decoder found wrong.
func (b *builder) decoded(err error) {
	var types *yaml.TypeError
	switch {
	case err == nil:
	case errors.As(err, &types):
		for _, text := range types.Errors {
			b.problems = append(b.problems, yamlProblem(text))
		}
	default:
		b.problems = append(b.problems, yamlProblem(err.Error()))
	}
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	yamlUnknown = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	yamlGoType  = regexp.MustCompile(`into (?:\[\])?catalog\.\w+$`)
)

// yamlProblem makes a problem of an error text of the YAML library.
func yamlProblem(text string) Problem {
	p := Problem{Message: strings.TrimPrefix(text, "yaml: ")}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = text[len(m[0]):]
	}
	if m := yamlUnknown.FindStringSubmatch(p.Message); m != nil {
		p.Message = fmt.Sprintf("unknown field %q", m[1])
	}
	p.Message = yamlGoType.ReplaceAllString(p.Message, "into what belongs here")
	return p
}

// line finds the line of a path: keys of mappings, and of the lists whose
// items have a `key`; as far as the path leads.
func (b *builder) line(path string) int {
	n := b.root
	line := n.Line
	for path != "" {
		var next *yaml.Node
		next, path = step(n, path)
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return line
}

// step follows the first part of a path, which may itself hold dots.
func step(n *yaml.Node, path string) (*yaml.Node, string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	match := func(key string) (string, bool) {
		if rest, ok := strings.CutPrefix(path, key); ok && (rest == "" || rest[0] == '.') {
			return strings.TrimPrefix(rest, "."), true
		}
		return "", false
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if rest, ok := match(n.Content[i].Value); ok {
				value := n.Content[i+1]
				if value.Kind != yaml.ScalarNode {
					located := *value
					located.Line = n.Content[i].Line
					value = &located
				}
				return value, rest
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if key := keyOf(item); key != "" {
				if rest, ok := match(key); ok {
					return item, rest
				}
			}
			if rest, ok := match(strconv.Itoa(i)); ok {
				return item, rest
			}
		}
	default:
	}
	return nil, ""
}

func keyOf(item *yaml.Node) string {
	if item.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(item.Content); i += 2 {
		if item.Content[i].Value == "key" {
			return item.Content[i+1].Value
		}
	}
	return ""
}
