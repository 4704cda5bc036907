package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/imquota/imquota/catalog"
)

// catalogCmd shows and checks catalogs.
type catalogCmd struct {
	Show   catalogShowCmd   `cmd:"" help:"Compare the plans: prices, limits, features and their conditions."`
	Served catalogServedCmd `cmd:"" help:"Compare the plans that a server goes by."`
	Lint   catalogLintCmd   `cmd:"" help:"Check a catalog file and name every problem with its line."`
	Schema catalogSchemaCmd `cmd:"" help:"Print the JSON Schema of catalog files, for editors."`
	Source catalogSourceCmd `cmd:"" help:"Print the catalog file that imquota ships with, to begin another from."`
}

// catalogFlag names a catalog file.
type catalogFlag struct {
	Catalog string `help:"Catalog file; without one, the catalog that imquota ships with." placeholder:"FILE"`
}

// load reads the catalog and adds the file's name to what is wrong with it.
func (f *catalogFlag) load() (*catalog.Snapshot, error) {
	if f.Catalog == "" {
		return catalog.Default(), nil
	}
	cat, err := catalog.ParseFile(f.Catalog)
	if err != nil {
		return nil, fmt.Errorf("--catalog: %w", inFile(f.Catalog, err))
	}
	return cat, nil
}

// catalogsFlag names all catalogs that apps go by.
type catalogsFlag struct {
	catalogFlag
	PinnedCatalog []string `help:"Catalog file of before, for apps in the legacy billing mode that go by it; may be repeated." placeholder:"FILE"`
}

// loadAll reads the catalog, and those that apps pin.
func (c *catalogsFlag) loadAll() (*catalog.Snapshot, error) {
	cat, err := c.load()
	if err != nil || len(c.PinnedCatalog) == 0 {
		return cat, err
	}
	pinned, broken := make([]*catalog.Snapshot, len(c.PinnedCatalog)), make([]error, len(c.PinnedCatalog))
	for i, path := range c.PinnedCatalog {
		if pinned[i], err = catalog.ParseFile(path); err != nil {
			broken[i] = fmt.Errorf("--pinned-catalog: %w", inFile(path, err))
		}
	}
	if err := errors.Join(broken...); err != nil {
		return nil, err
	}
	return cat.With(pinned...)
}

// inFile names the file in front of each problem, as editors understand it.
func inFile(path string, err error) error {
	var broken *catalog.ParseError
	if !errors.As(err, &broken) {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the catalog %s is broken:", path)
	for _, p := range broken.Problems {
		at := path
		if p.Line > 0 {
			at += fmt.Sprintf(":%d", p.Line)
			p.Line = 0
		}
		b.WriteString("\n  " + at + ": " + p.String())
	}
	return errors.New(b.String())
}

type catalogLintCmd struct {
	File string `arg:"" help:"The catalog file; - for standard input."`
	outputFlag
}

// Run carries the command out.
func (c *catalogLintCmd) Run(s *streams) error {
	cat, err := c.parse()
	report := struct {
		File     string        `json:"file"`
		Version  string        `json:"version,omitempty"`
		Problems []problemJSON `json:"problems"`
	}{File: c.File, Problems: []problemJSON{}}
	if broken, ok := errors.AsType[*catalog.ParseError](err); ok && c.Output == outputJSON {
		for _, p := range broken.Problems {
			report.Problems = append(report.Problems, problemJSON(p))
		}
		return errors.Join(c.print(s.out, "", report), inFile(c.File, err))
	}
	if err != nil {
		return inFile(c.File, err)
	}
	report.Version = cat.Version()
	name := c.File
	if name == standardStream {
		name = "what was read"
	}
	return c.print(s.out, fmt.Sprintf("%s is a catalog: version %s, %d editions, %d quotas, %d features, %d group types",
		name, cat.Version(), len(cat.Editions()), len(cat.Quotas()), len(cat.Features()), len(cat.GroupTypes())), report)
}

func (c *catalogLintCmd) parse() (*catalog.Snapshot, error) {
	if c.File != "-" {
		return catalog.ParseFile(c.File)
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	return catalog.Parse(text)
}

type catalogSchemaCmd struct{}

// Run carries the command out.
func (catalogSchemaCmd) Run(s *streams) error {
	_, err := s.out.Write(catalog.Schema())
	return err
}

type catalogSourceCmd struct{}

// Run carries the command out.
func (catalogSourceCmd) Run(s *streams) error {
	_, err := s.out.Write(catalog.DefaultYAML())
	return err
}

type catalogShowCmd struct {
	catalogFlag
	outputFlag
}

// Run carries the command out.
func (c *catalogShowCmd) Run(s *streams) error {
	cat, err := c.load()
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return printCatalogJSON(s.out, cat)
	}
	printCatalog(s.out, cat, columns(s.out))
	return nil
}
