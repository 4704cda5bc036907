package main

import (
	"os"
	"runtime/debug"
)

// heapReserve is so much of the heap that is never written to, so that it takes no
// memory, and counts as in use. What a sidecar keeps is a few MiB, and by those
// alone the garbage of some ten thousand calls would be collected a hundred times
// a second; with the reserve as much as this may gather first. Unlike a higher
// GOGC it stays the same when a flood of requests fills the heap. With more, calls
// write to memory that the processor's caches have long lost.
const heapReserve = 24 << 20

// mostOfLimit is the part of GOMEMLIMIT, which counts the reserve as memory, that
// it may be.
const mostOfLimit = 8

// reserveHeap returns what has to be kept while calls are answered; nothing where
// the operator has said by GOGC when to collect.
func reserveHeap() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	limit := debug.SetMemoryLimit(-1) // asks, and sets nothing
	return make([]byte, min(heapReserve, limit/mostOfLimit))
}
