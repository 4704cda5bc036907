package quota

import (
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
)

// table is a hash table that is read without a lock, while others write. Whoever
// writes holds the lock of the table's owner. An entry is never moved or changed:
// a reader who stands at one that was taken out finds the way on from there.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	chains [tableChains]atomic.Pointer[entry[K, V]]
	size   int // for who has the lock
}

// entry is in one table, once.
type entry[K comparable, V any] struct {
	key   K
	next  atomic.Pointer[entry[K, V]] // of its chain
	value V
}

// tableChains is enough for chains of one or two among maxKept. Memory is taken for
// those that are used.
const tableChains = 1 << 16

func newTable[K comparable, V any]() *table[K, V] { return &table[K, V]{seed: maphash.MakeSeed()} }

func (t *table[K, V]) chain(key K) *atomic.Pointer[entry[K, V]] {
	return &t.chains[maphash.Comparable(t.seed, key)%tableChains]
}

// get returns the value of a key; nil: there is none. It needs no lock.
func (t *table[K, V]) get(key K) *V {
	for e := t.chain(key).Load(); e != nil; e = e.next.Load() {
		if e.key == key {
			return &e.value
		}
	}
	return nil
}

// place returns what points to the entry of a key, or ends its chain.
func (t *table[K, V]) place(key K) *atomic.Pointer[entry[K, V]] {
	at := t.chain(key)
	for e := at.Load(); e != nil && e.key != key; e = at.Load() {
		at = &e.next
	}
	return at
}

// put puts an entry in, in the place of another of its key.
func (t *table[K, V]) put(e *entry[K, V]) {
	at := t.place(e.key)
	if before := at.Load(); before != nil {
		e.next.Store(before.next.Load())
	} else {
		t.size++
	}
	at.Store(e)
}

func (t *table[K, V]) delete(key K) {
	at := t.place(key)
	if e := at.Load(); e != nil {
		at.Store(e.next.Load())
		t.size--
	}
}

// any returns whichever key; false: there is none. For who has the lock.
func (t *table[K, V]) any() (key K, ok bool) {
	if t.size == 0 {
		return key, false
	}
	for i := rand.IntN(tableChains); ; i = (i + 1) % tableChains {
		if e := t.chains[i].Load(); e != nil {
			return e.key, true
		}
	}
}
