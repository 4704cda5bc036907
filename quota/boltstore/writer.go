package boltstore

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// queueSize is how many calls may wait for the writer.
const queueSize = 1024

// Bounds of one commit. Past a few hundred calls, sharing the sync to disk further
// gains nothing and only adds latency; and whoever comes with one counter is not to
// wait for a crowd of those with a thousand. The last call may exceed the bound.
const (
	batchCalls    = 256
	batchCounters = 8192
)

// batchYields is how often in a row, before a transaction ends, those go first who
// can run: some are about to call. To begin and to end one costs much the same
// however many share it.
const batchYields = 4

// work is a call that waits to be written.
type work struct {
	ctx     context.Context
	do      func(t *transaction) error
	subject account.Subject // whose record changes; zero: none
	weight  int             // about how many counters it touches
	answer  error           // of the registry
	done    chan error
}

// submit has the writer run do in its next transaction and waits until that is
// on disk. do reads before it writes: an answer (see below) means that it has
// written nothing; any other error undoes the whole transaction. It may be run
// again, in another one.
func (s *Store) submit(ctx context.Context, do func(tx *bolt.Tx) error) error {
	return s.enqueue(ctx, &work{do: carriedOut(do)})
}

// carriedOut has a call find everything in its place.
func carriedOut(do func(tx *bolt.Tx) error) func(t *transaction) error {
	return func(t *transaction) error {
		if err := t.carryOut(); err != nil {
			return err
		}
		return do(t.tx)
	}
}

// change is submit for a change of a record, which is announced before it
// returns.
func (s *Store) change(ctx context.Context, subject account.Subject, do func(tx *bolt.Tx) error) error {
	return s.enqueue(ctx, &work{do: carriedOut(do), subject: subject})
}

// enqueue has the writer run a call and waits for its answer.
func (s *Store) enqueue(ctx context.Context, w *work) error {
	w.ctx, w.done = ctx, make(chan error, 1)
	if err := ctx.Err(); err != nil {
		return gone(err)
	}
	// Whether the path still names the file is asked once a transaction.
	if s.isClosing() {
		return errClosed
	}
	if fault := s.broken.Load(); fault != nil {
		return fault
	}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return gone(ctx.Err())
	case <-s.closing:
		return errClosed
	case <-s.stuck:
		return s.broken.Load()
	}
	select {
	case err := <-w.done:
		return err
	case <-s.stopped:
		// The writer answers what it has taken before it stops.
		select {
		case err := <-w.done:
			return err
		default:
			return errClosed
		}
	case <-s.stuck:
		fault := s.broken.Load()
		return &account.Fault{Reason: account.OutcomeUnknown, Detail: fault.Detail, Err: fault.Err}
	}
}

func gone(err error) error {
	return &account.Fault{Reason: account.CallerGone, Detail: "the caller's time was up before the store was asked", Err: err}
}

// write is the one writer: it takes what waits, commits it with one sync, and
// answers. The next calls gather meanwhile; nothing ever waits for a timer.
func (s *Store) write() {
	defer close(s.stopped)
	for {
		select {
		case w := <-s.queue:
			s.commit(w)
		case <-s.closing:
			for {
				select {
				case w := <-s.queue:
					s.commit(w)
				default:
					s.putAway()
					return
				}
			}
		}
	}
}

// putAway carries the journal out before the file is closed. Where that fails
// nothing is lost: whoever opens the file goes on with it.
func (s *Store) putAway() {
	if s.journal.next == 0 || s.broken.Load() != nil {
		return
	}
	var t *transaction
	err := s.update(func(tx *bolt.Tx) error {
		t = s.journal.begin(tx)
		return t.carryOut()
	})
	s.journal.settle(t, err == nil)
}

// batch is the calls of one transaction.
type batch struct {
	calls  []*work // those that are not answered yet
	taken  int
	weight int
}

// take adds a call, unless its caller has left: then it is not carried out.
func (b *batch) take(w *work) {
	if err := w.ctx.Err(); err != nil {
		w.done <- gone(err)
		return
	}
	b.calls = append(b.calls, w)
	b.taken++
	b.weight += w.weight
}

func (b *batch) hasRoom() bool { return b.taken < batchCalls && b.weight < batchCounters }

// gather takes what waits, as far as there is room.
func (b *batch) gather(queue <-chan *work) {
	for b.hasRoom() {
		select {
		case w := <-queue:
			b.take(w)
		default:
			return
		}
	}
}

// join takes what came since there were n calls, and reports whether anything did.
func (b *batch) join(queue <-chan *work, n int) bool {
	b.gather(queue)
	for range batchYields {
		if len(b.calls) > n || !b.hasRoom() {
			break
		}
		runtime.Gosched()
		b.gather(queue)
	}
	return len(b.calls) > n
}

// run carries the calls out in a transaction, and with them those who come
// meanwhile. It reports whether anything was written, and at a failure of the file
// at which call.
//
// A call that writes nothing, and comes before any that does, has read what is on
// the disk: it is answered without waiting for the commit of the others. After the
// first that writes, what is read may be what was written.
func (b *batch) run(t *transaction, queue <-chan *work) (wrote bool, failed int, err error) {
	for i := 0; ; {
		if i == len(b.calls) && !b.join(queue, i) {
			return wrote, -1, nil
		}
		w := b.calls[i]
		w.answer = nil
		err := w.do(t)
		answer, unchanged := err.(answer) //nolint:errorlint // it is never wrapped
		switch {
		case unchanged && !wrote:
			b.calls = b.calls[1:]
			w.done <- answer.error
			continue
		case unchanged:
			w.answer = answer.error
		case err != nil:
			return wrote, i, err
		default:
			wrote = true
		}
		i++
	}
}

// commit runs a call and all that wait beside it in one transaction, and answers.
func (s *Store) commit(first *work) {
	b := &batch{}
	b.take(first)
	b.gather(s.queue)
	for len(b.calls) > 0 {
		if fault := s.broken.Load(); fault != nil {
			reply(b.calls, fault)
			return
		}
		offender := -1
		var t *transaction
		err := s.update(func(tx *bolt.Tx) error {
			t = s.journal.begin(tx)
			wrote, failed, err := b.run(t, s.queue)
			offender = failed
			switch {
			case err != nil:
				return err
			case !wrote && !t.hasCarriedOut():
				return errUnchanged
			}
			return t.finish()
		})
		committed := err == nil
		var fault *account.Fault
		switch {
		case err == errUnchanged: //nolint:errorlint // it is never wrapped
			err = nil
		case err != nil && offender < 0:
			fault = s.faultOf(err) // before any reader goes on
		}
		s.journal.settle(t, committed)
		s.requests.settle(err == nil)
		if offender < 0 {
			s.settle(b.calls, fault)
			return
		}
		// The transaction is undone, so nothing of it is written; the others
		// need not suffer for what one of them asked.
		reply(b.calls[offender:offender+1], &account.Fault{Reason: account.StoreUnavailable, Detail: "the store " + s.path + " refused the write", Err: err})
		b.calls = slices.Delete(b.calls, offender, offender+1)
	}
}

// faultOf says what a commit that failed means. Where the store cannot go on it is
// given up.
func (s *Store) faultOf(err error) *account.Fault {
	if fault, ok := errors.AsType[*account.Fault](err); ok {
		return fault
	}
	return s.failed(err)
}

// settle answers a batch that was committed, or was not.
func (s *Store) settle(batch []*work, fault *account.Fault) {
	s.watchers.announce(batch) // also what may have been committed
	if fault != nil {
		reply(batch, fault)
		return
	}
	for _, w := range batch {
		w.done <- w.answer
	}
}

func reply(batch []*work, fault *account.Fault) {
	for _, w := range batch {
		w.done <- fault
	}
}

// answer marks what the registry answers, or Apply that changed nothing, which
// is not a failure of the file.
type answer struct{ error }

// errUnchanged ends a transaction that wrote nothing: there is nothing to sync,
// nor anything that a full disk could refuse.
var errUnchanged = errors.New("nothing was written")
