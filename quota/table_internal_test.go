package quota

import (
	"sync"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	const n = 3 * tableParts
	all := newTable[uint32, int]()
	if _, ok := all.any(); ok {
		t.Error("an empty table has a key")
	}
	for id := range uint32(n) {
		all.put(id, int(id))
		all.put(id, -int(id))
	}
	if all.size != n {
		t.Errorf("size %d, want %d", all.size, n)
	}
	for id := range uint32(n) {
		if v, ok := all.get(id); !ok || v != -int(id) {
			t.Fatalf("%d: %d, %v", id, v, ok)
		}
	}
	if _, ok := all.get(n); ok {
		t.Error("found what is not there")
	}
	all.delete(n)
	all.delete(5)
	all.delete(5)
	if _, ok := all.get(5); ok || all.size != n-1 {
		t.Errorf("deleted: there %v, size %d", ok, all.size)
	}
	for all.size > 0 {
		key, ok := all.any()
		if _, there := all.get(key); !ok || !there {
			t.Fatalf("any: %d, %v, there %v", key, ok, there)
		}
		all.delete(key)
	}
}

// TestTableWhileItIsWritten: readers find what was there before the write or after.
func TestTableWhileItIsWritten(t *testing.T) {
	t.Parallel()
	all := newTable[uint32, uint32]()
	for id := range uint32(100) {
		all.put(id, id)
	}
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for round := range uint32(10_000) {
				id := round % 100
				if v, ok := all.get(id); ok && v%100 != id || !ok && id != 50 {
					t.Errorf("%d: %d, %v", id, v, ok)
				}
			}
		})
	}
	for round := range uint32(5_000) {
		all.put(round%100, round)
		all.delete(50)
		all.put(50, 50)
	}
	reading.Wait()
}
