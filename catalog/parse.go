package catalog

import (
	"bytes"
	"crypto/sha256"
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
	if len(root.Content) == 0 || isNull(root.Content[0]) {
		return nil, &ParseError{[]Problem{{Message: "the catalog is empty"}}}
	}
	if top := root.Content[0]; top.Kind != yaml.MappingNode {
		return nil, &ParseError{[]Problem{{Line: top.Line, Message: "the catalog is not a mapping of sections"}}}
	}
	b := newBuilder(root.Content[0])
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if !b.decoded(decoder.Decode(&b.doc)) {
		return nil, b.err()
	}
	var next yaml.Node
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		b.problems = append(b.problems, Problem{Line: next.Line, Message: "the file holds more than one YAML document"})
	}
	b.nulls(b.root, "")
	s := b.build()
	if len(b.problems) > 0 {
		return nil, b.err()
	}
	s.digest = sha256.Sum256(data)
	return s, nil
}

func (b *builder) err() error {
	err := &ParseError{b.problems}
	err.sort()
	return err
}

// decoded notes what the YAML decoder could not make use of, and reports
// whether the rest can be judged: not when it gave up, and not when a key is
// there twice, because it then skips the whole mapping.
func (b *builder) decoded(err error) bool {
	if err == nil {
		return true
	}
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		b.problems = append(b.problems, yamlProblem(err.Error()))
		return false
	}
	whole := true
	for _, text := range types.Errors {
		p := yamlProblem(text)
		b.problems = append(b.problems, p)
		if strings.HasPrefix(p.Message, "cannot unmarshal ") {
			b.misread[p.Line] = true
		}
		whole = whole && !strings.HasPrefix(p.Message, "mapping key ")
	}
	return whole
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	yamlUnknown = regexp.MustCompile(`(?s)^field (.+) not found in type .+$`)
	yamlGoType  = regexp.MustCompile(`(?s) into (?:\[\]catalog\.|catalog\.|map\[|struct \{|\[\]string).*$`)
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
	p.Message = yamlGoType.ReplaceAllString(p.Message, " into what belongs here")
	return p
}
