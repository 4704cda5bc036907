package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// outputFlag says how a command prints.
type outputFlag struct {
	Output string `short:"o" help:"Print a table for people, or json for programs." enum:"table,json" default:"table"`
}

const outputJSON = "json"

// print prints a line, or the value as JSON.
func (f *outputFlag) print(w io.Writer, line string, value any) error {
	if f.Output == outputJSON {
		return writeJSON(w, value)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// number is a count and what of.
func number(n int64, of string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(of, "y"):
		of = strings.TrimSuffix(of, "y") + "ies"
	default:
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}
