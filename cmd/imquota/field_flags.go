package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// fieldFlags knows the flags of a command, by which people give what the contract has
// fields for.
type fieldFlags map[string]bool

// AfterApply has kong tell which command it is.
func (f *clientFlags) AfterApply(command *kong.Context) error {
	f.fields = make(fieldFlags)
	for _, flag := range command.Flags() {
		f.fields[flag.Name] = true
	}
	return nil
}

// flagNames are flags whose name does not follow from the field's.
var flagNames = map[string]string{
	"push_time": "pushed", "pay_time": "at", "end_time": "until", "history_months": "months", "mode": "reserve",
}

// of returns the flag by which a field is given, or the field where the command has
// none of that name.
func (f fieldFlags) of(field string) string {
	name := field[strings.LastIndexByte(field, '.')+1:]
	name, _, _ = strings.Cut(name, "[") // of a list
	one := strings.TrimSuffix(name, "s")
	for _, flag := range []string{flagNames[name], strings.TrimSuffix(one, "_id"), one, name} {
		if flag = strings.ReplaceAll(flag, "_", "-"); f[flag] {
			return "--" + flag
		}
	}
	return field
}
