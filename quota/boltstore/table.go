package boltstore

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// table is a bucket of what steps change, as a transaction sees it. Buckets of
// anything else are read and written as they are: by who has carried the journal
// out, or by a step, whose transaction is mixed then.
type table struct {
	of     *transaction
	bucket *bolt.Bucket // nil: there is none, and nothing in it
	// name is how the journal's keys begin: the letter of a bucket, and of one
	// inside of it the name with its length before it.
	name string
}

// letters are those of the buckets that have tables.
var letters = [1 << 8][]byte{
	'h': appsBucket, 'o': onlineBucket, 'c': countersBucket, 'g': groupsBucket, 'u': usersBucket,
	'w': windowsBucket, 'r': requestsBucket,
}

func (t *transaction) table(letter byte) table {
	return table{t, t.tx.Bucket(letters[letter]), string(rune(letter))}
}

func (t *transaction) counters() table { return t.table('c') }
func (t *transaction) groups() table   { return t.table('g') }
func (t *transaction) online() table   { return t.table('o') }
func (t *transaction) users() table    { return t.table('u') }

// headers is the records of apps. What the journal says of one, and so what is read
// there, is its numbers alone: they change with every step, and a record may have a
// thousand times their size. It changes only after the journal was carried out.
func (t *transaction) headers() table { return t.table('h') }

// putHeader changes the numbers of an app's record.
func (t *transaction) putHeader(app uint32, h header) error {
	h.record = nil
	b := t.headers()
	if t.isInPlace {
		return putNumbers(b.bucket, appKey(app), encodeHeader(h))
	}
	return b.put(appKey(app), encodeHeader(h))
}

// putNumbers puts the numbers of a record in their place. Of one that is lost there
// is none, and it stays lost.
func putNumbers(apps *bolt.Bucket, key, numbers []byte) error {
	stored := apps.Get(key)
	switch {
	case len(numbers) != headerSize:
		return errJournal
	case len(stored) < headerSize:
		return nil
	}
	return apps.Put(key, append(slices.Clip(numbers), stored[headerSize:]...))
}

// window is a bucket among the windows.
func (t *transaction) window(name []byte) table {
	return t.inside('w', name)
}

// requests is a bucket of request ids.
func (t *transaction) requests(name []byte) table {
	found := t.inside('r', name)
	if found.bucket != nil {
		found.bucket.FillPercent = requestFill
	}
	return found
}

// inside is a table inside of a bucket.
func (t *transaction) inside(letter byte, name []byte) table {
	return table{t, t.tx.Bucket(letters[letter]).Bucket(name), inner(letter, name)}
}

// inner names a table inside of a bucket.
func inner(letter byte, name []byte) string {
	return string([]byte{letter, byte(len(name))}) + string(name)
}

// splitKey returns the name of the table of a key in the journal, and the key in it.
func splitKey(key string) (name, k string, ok bool) {
	n := 1
	if len(key) > 1 && (key[0] == 'w' || key[0] == 'r') {
		n = 2 + int(key[1])
	}
	if len(key) <= n || letters[key[0]] == nil {
		return "", "", false
	}
	return key[:n], key[n:], true
}

// placeOf returns the bucket of a table, made if need be.
func placeOf(tx *bolt.Tx, name string) (*bolt.Bucket, error) {
	b := tx.Bucket(letters[name[0]])
	if b == nil {
		return nil, errJournal
	}
	if len(name) == 1 {
		return b, nil
	}
	b, err := b.CreateBucketIfNotExists([]byte(name[2:]))
	if err == nil && name[0] == 'r' {
		b.FillPercent = requestFill
	}
	return b, err
}

// exists reports whether there is a bucket.
func (t table) exists() bool { return t.bucket != nil }

// changed looks a key up in the journal.
func (t table) changed(key []byte) (value []byte, ok bool) {
	if len(t.of.fresh)+len(t.of.pending) == 0 {
		return nil, false
	}
	t.of.key = append(append(t.of.key[:0], t.name...), key...)
	if value, ok = t.of.fresh[string(t.of.key)]; ok {
		return value, true
	}
	value, ok = t.of.pending[string(t.of.key)]
	return value, ok
}

// get returns the value of a key, nil if there is none.
func (t table) get(key []byte) []byte {
	if value, ok := t.changed(key); ok {
		return value
	}
	if t.bucket == nil {
		return nil
	}
	return t.bucket.Get(key)
}

// put gives a key of a table that exists a value, which is not nil.
func (t table) put(key, value []byte) error {
	if t.of.isInPlace || len(key) == 0 || len(key) > bolt.MaxKeySize { // which bbolt refuses
		return t.bucket.Put(key, value)
	}
	t.of.fresh[t.name+string(key)] = value
	return nil
}

// remove takes a key out of a table that exists.
func (t table) remove(key []byte) error {
	if t.of.isInPlace {
		return t.bucket.Delete(key)
	}
	t.of.fresh[t.name+string(key)] = nil
	return nil
}

// isPending reports whether the journal says anything of it.
func (t table) isPending() bool {
	for _, c := range []changes{t.of.pending, t.of.fresh} {
		for k := range c {
			if strings.HasPrefix(k, t.name) {
				return true
			}
		}
	}
	return false
}

// from iterates over the keys that are not before this one, in order. Values and
// keys are those of the transaction.
func (t table) from(key []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		var stored, v []byte
		var c *bolt.Cursor
		if t.bucket != nil {
			c = t.bucket.Cursor()
			stored, v = c.Seek(key)
		}
		for _, changed := range t.changedFrom(key) {
			for ; stored != nil && bytes.Compare(stored, changed) < 0; stored, v = c.Next() {
				if !yield(stored, v) {
					return
				}
			}
			if bytes.Equal(stored, changed) {
				stored, v = c.Next()
			}
			if value, _ := t.changed(changed); value != nil && !yield(changed, value) {
				return
			}
		}
		for ; stored != nil; stored, v = c.Next() {
			if !yield(stored, v) {
				return
			}
		}
	}
}

// changedFrom lists the keys that the journal has changed and that are not before
// this one, in order.
func (t table) changedFrom(key []byte) (keys [][]byte) {
	for _, c := range []changes{t.of.pending, t.of.fresh} {
		for k := range maps.Keys(c) {
			if k, ok := strings.CutPrefix(k, t.name); ok && k >= string(key) {
				keys = append(keys, []byte(k))
			}
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}
