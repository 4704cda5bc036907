//go:build !race

package main

var buildFlags = []string{"."}

// memoryFactor is how much more memory the race detector takes.
const memoryFactor = 1
