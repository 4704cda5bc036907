package quota

import (
	"sync"
	"testing"
)

func put[K comparable, V any](t *table[K, V], key K, value V) {
	t.put(&entry[K, V]{key: key, value: value})
}

func TestTable(t *testing.T) {
	t.Parallel()
	const n = 3 * tableChains
	all := newTable[uint32, int]()
	if _, ok := all.any(); ok {
		t.Error("an empty table has a key")
	}
	for id := range uint32(n) {
		put(all, id, int(id))
		put(all, id, -int(id))
	}
	if all.size != n {
		t.Errorf("size %d, want %d", all.size, n)
	}
	for id := range uint32(n) {
		if v := all.get(id); v == nil || *v != -int(id) {
			t.Fatalf("%d: %v", id, v)
		}
	}
	if all.get(n) != nil {
		t.Error("found what is not there")
	}
	all.delete(n)
	all.delete(5)
	all.delete(5)
	if all.get(5) != nil || all.size != n-1 {
		t.Errorf("deleted: %v, size %d", all.get(5), all.size)
	}
	for all.size > 0 {
		key, ok := all.any()
		if !ok || all.get(key) == nil {
			t.Fatalf("any: %d, %v, %v", key, ok, all.get(key))
		}
		all.delete(key)
	}
}

// TestTableWhileItIsWritten: readers find what was there before the write or after.
func TestTableWhileItIsWritten(t *testing.T) {
	t.Parallel()
	all := newTable[uint32, uint32]()
	for id := range uint32(100) {
		put(all, id, id)
	}
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for round := range uint32(10_000) {
				id := round % 100
				if v := all.get(id); v != nil && *v%100 != id || v == nil && id != 50 {
					t.Errorf("%d: %v", id, v)
				}
			}
		})
	}
	for round := range uint32(5_000) {
		put(all, round%100, round)
		all.delete(50)
		put(all, 50, 50)
	}
	reading.Wait()
}
