package quota

import (
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"sync/atomic"
)

// table is a map that is read without a lock, while others write. Whoever writes
// holds the lock of the table's owner: a write copies the part that it is in, so
// that readers have the one before or the one after.
type table[K comparable, V any] struct {
	seed  maphash.Seed
	parts [tableParts]atomic.Pointer[map[K]V]
	size  int // of all parts; for who has the lock
}

// tableParts is enough for a write among maxKept to copy a few dozen entries.
const tableParts = 1 << 12

func newTable[K comparable, V any]() *table[K, V] { return &table[K, V]{seed: maphash.MakeSeed()} }

func (t *table[K, V]) part(key K) *atomic.Pointer[map[K]V] {
	return &t.parts[maphash.Comparable(t.seed, key)%tableParts]
}

// get needs no lock.
func (t *table[K, V]) get(key K) (v V, ok bool) {
	if part := t.part(key).Load(); part != nil {
		v, ok = (*part)[key]
	}
	return v, ok
}

func (t *table[K, V]) put(key K, v V) {
	part, with := t.part(key), make(map[K]V, 1)
	if before := part.Load(); before != nil {
		with = maps.Clone(*before)
	}
	t.size -= len(with)
	with[key] = v
	t.size += len(with)
	part.Store(&with)
}

func (t *table[K, V]) delete(key K) {
	part := t.part(key)
	before := part.Load()
	if before == nil {
		return
	}
	without := maps.Clone(*before)
	delete(without, key)
	t.size += len(without) - len(*before)
	part.Store(&without)
}

// any returns whichever key; false: there is none. For who has the lock.
func (t *table[K, V]) any() (key K, ok bool) {
	if t.size == 0 {
		return key, false
	}
	for i := rand.IntN(tableParts); ; i = (i + 1) % tableParts {
		if part := t.parts[i].Load(); part != nil {
			for key = range *part {
				return key, true
			}
		}
	}
}
