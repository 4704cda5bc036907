package main

import (
	"runtime/debug"
	"testing"
)

// TestHeapReserve: what is kept for the collector's sake is less where little
// memory is to be used, and none where the operator says when to collect.
func TestHeapReserve(t *testing.T) { //nolint:paralleltest // the limit is the process's
	if n := len(reserveHeap()); n != heapReserve {
		t.Errorf("%d bytes, want %d", n, heapReserve)
	}
	before := debug.SetMemoryLimit(64 << 20)
	defer debug.SetMemoryLimit(before)
	if n := len(reserveHeap()); n != 8<<20 {
		t.Errorf("of a limit of 64 MiB: %d bytes, want 8 MiB", n)
	}
	t.Setenv("GOGC", "200")
	if n := len(reserveHeap()); n != 0 {
		t.Errorf("with GOGC: %d bytes", n)
	}
}
