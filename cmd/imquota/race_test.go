//go:build race

package main

// buildFlags build the program with the race detector, as the tests are.
var buildFlags = []string{"-race", "."}

// memoryFactor is how much more memory the race detector takes.
const memoryFactor = 4
