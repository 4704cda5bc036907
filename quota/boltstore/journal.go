package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// What steps change lies scattered over the file: a commit of fifty of them would
// write a hundred pages, and each of those is synced on its own. So a commit writes
// its changes down in one piece, as a record of the journal, and puts as many older
// ones in their places, next to each other in the order of their keys: of those,
// many lie on one page.
//
// The journal is a bucket of the same file. So a commit is atomic as ever, and a copy
// of the file is whole. It is there only while there is something in it, and so is
// the format that says so: earlier versions refuse a file whose counters they would
// misread, and take one that was closed.
var journalBucket = []byte("journal") // number -> changes

// Bounds of what the journal holds before it is put in its places. The more there
// is, the fewer pages are written for it; but it is held in memory, and a change of
// an app, say, waits until all of it is in its place.
const (
	journalChanges     = 4096
	journalChangeBytes = 256 // of records, on average
)

// journal is what the file's journal says. Only the writer changes it.
type journal struct {
	limit int // of changes; journalChanges, but in tests

	// mu is held to change pending, and by others than the writer to read it.
	mu      sync.RWMutex
	pending changes
	// carriedBy is the number of the transaction that carries all of it out: whoever
	// reads in one of this number or above finds everything in its place.
	carriedBy atomic.Int64

	fresh       changes // of the writer's transaction, to be used again
	first, next uint64  // numbers of the records
	// round is what is to be put in its place, in order, so that the records before
	// one are needed no more.
	round []string
	until uint64 // that one
	size  int    // bytes of the records since
}

func newJournal(limit int) *journal {
	j := &journal{limit: limit, pending: make(changes), fresh: make(changes)}
	j.carriedBy.Store(math.MaxInt64)
	return j
}

// load reads the journal of a process that was killed, if there is one, and carries
// it out in tx. Who opens the file lets that come to nothing, for there may be no
// room for it, and knows that it can be done.
func (j *journal) load(tx *bolt.Tx) error {
	b := tx.Bucket(journalBucket)
	if b == nil {
		return nil
	}
	if err := b.ForEach(func(k, record []byte) error {
		if len(k) != len(recordKey(0)) {
			return errJournal
		}
		number := binary.BigEndian.Uint64(k)
		switch {
		case j.next == 0:
			j.first = number
		case number != j.next:
			return errJournal
		}
		j.next = number + 1
		j.size += len(record)
		return j.pending.decode(bytes.Clone(record))
	}); err != nil {
		return err
	}
	if j.next <= j.first { // none, or no number to follow
		return errJournal
	}
	apps := tx.Bucket(appsBucket)
	maps.DeleteFunc(j.pending, func(key string, _ []byte) bool { // numbers of a record that was lost
		app, isHeader := strings.CutPrefix(key, "h")
		return isHeader && apps.Get([]byte(app)) == nil
	})
	return j.pending.carryOut(tx)
}

// begin returns the writer's transaction.
func (j *journal) begin(tx *bolt.Tx) *transaction {
	j.carriedBy.Store(math.MaxInt64)
	return &transaction{tx: tx, journal: j, pending: j.pending, fresh: j.fresh}
}

// beside returns a reader's transaction. Whoever reads has held mu since before
// it began, and does until it ends: of what is carried out meanwhile it sees either
// the journal or the places.
func (j *journal) beside(tx *bolt.Tx) *transaction {
	t := &transaction{tx: tx}
	if int64(tx.ID()) < j.carriedBy.Load() {
		t.pending = j.pending
	}
	return t
}

// settle ends the writer's transaction, which was committed or came to nothing. Of
// one that failed nobody knows yet which: carriedBy goes on until the next begins.
func (j *journal) settle(t *transaction, committed bool) {
	if t != nil && t.holdsBack {
		defer j.mu.Unlock()
	} else if committed {
		j.mu.Lock()
		defer j.mu.Unlock()
	}
	if committed {
		switch {
		case t.isInPlace:
			clear(j.pending)
			j.first, j.until, j.next, j.round, j.size = 0, 0, 0, nil, 0
		case t.record > 0:
			for _, key := range j.round[:t.placed] {
				delete(j.pending, key)
			}
			j.round = j.round[t.placed:]
			if len(j.round) == 0 {
				j.first = j.until
			}
			maps.Copy(j.pending, j.fresh)
			j.next++
			j.size += t.record
		}
		j.carriedBy.Store(math.MaxInt64)
	}
	if len(j.fresh) > j.limit { // all others would clear, and go through, that much room
		j.fresh = make(changes)
	}
	clear(j.fresh)
}

// turn begins a round, if it is time.
func (j *journal) turn() {
	if len(j.round) == 0 && (len(j.pending) >= j.limit || j.size >= j.limit*journalChangeBytes) {
		j.round, j.until, j.size = slices.Sorted(maps.Keys(j.pending)), j.next, 0
	}
}

// finish writes down what the transaction changed, or puts it in its place if it
// is too much.
func (t *transaction) finish() error {
	j := t.journal
	switch {
	case t.isInPlace || len(t.fresh) == 0:
		return t.failed
	case len(j.pending)+len(t.fresh) > 2*j.limit:
		return t.carryOut()
	}
	j.turn()
	t.placed = min(len(j.round), len(t.fresh))
	if err := t.pending.put(t.tx, j.round[:t.placed]); err != nil {
		return err
	}
	b, err := t.tx.CreateBucketIfNotExists(journalBucket)
	if err == nil && j.next == 0 {
		err = putFormat(t.tx, formatJournal)
	}
	if err != nil {
		return err
	}
	if t.placed > 0 && t.placed == len(j.round) {
		for n := j.first; n < j.until; n++ {
			if err := b.Delete(recordKey(n)); err != nil {
				return err
			}
		}
	}
	b.FillPercent = 1 // it only ever grows at its end
	record := t.fresh.encode()
	t.record = len(record)
	if err := b.Put(recordKey(j.next), record); err != nil || !t.isMixed {
		return err
	}
	j.mu.Lock()
	t.holdsBack = true
	return nil
}

func recordKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// carryOut puts all that the journal says, and what the transaction changed so far,
// in its place. From then on the transaction writes there.
func (t *transaction) carryOut() error {
	if t.isInPlace {
		return t.failed
	}
	all := t.pending
	if len(t.fresh) > 0 {
		all = maps.Clone(t.pending)
		maps.Copy(all, t.fresh)
	}
	t.isInPlace, t.pending, t.fresh = true, nil, nil
	t.journal.carriedBy.Store(int64(t.tx.ID()))
	t.failed = all.carryOut(t.tx)
	if t.failed == nil && t.journal.next > 0 {
		t.failed = dropJournal(t.tx)
	}
	return t.failed
}

// hasCarriedOut reports whether there was a journal that the transaction has
// carried out: to undo that would be to do it again with the next call.
func (t *transaction) hasCarriedOut() bool {
	return t.isInPlace && t.failed == nil && t.journal.next > 0
}

func dropJournal(tx *bolt.Tx) error {
	return errors.Join(tx.DeleteBucket(journalBucket), putFormat(tx, format))
}

// replay carries a file's journal out, if there is one.
func replay(tx *bolt.Tx) error {
	j := newJournal(0)
	if err := j.load(tx); err != nil || j.next == 0 {
		return err
	}
	return dropJournal(tx)
}
