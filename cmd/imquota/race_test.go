//go:build race

package main

// buildFlags build the program with the race detector, as the tests are.
var buildFlags = []string{"-race", "."}
