package main

import (
	"fmt"
	"runtime/debug"
)

// versionCmd prints what was built.
type versionCmd struct{}

// Run carries the command out.
func (versionCmd) Run(s *streams) error {
	_, err := fmt.Fprintln(s.out, "imquota", version())
	return err
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
