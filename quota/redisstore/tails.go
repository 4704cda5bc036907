package redisstore

import (
	"sync"
	"time"
)

// TailLoss is that the store answered an app's sequence that is lower than one
// it had answered before: it has lost its tail, and counts that it had
// acknowledged with it.
type TailLoss struct {
	App         uint32
	Known, Seen int64 // sequences
}

// tails remembers the highest sequence that was answered for each app.
//
// Replies come out of order: one is compared with what was known before its call
// was sent, for that much the store had done before it ran the call. What was
// sent before a loss was noticed may have been answered by the store as it was
// or as it is, so it says nothing any more.
//
// An app is created anew under its id only when its record was lost. That is a
// loss too, and its sequence, which begins anew, says so.
type tails struct {
	most   int // apps that are remembered
	notice func(TailLoss)

	mu          sync.Mutex
	apps        map[uint32]*reach
	generations uint64 // drawn so far
	losses      int64
	last        time.Time // of the losses
}

// reach is how far an app is known to be.
type reach struct {
	mark
	lost time.Time // when it was last noticed
	told time.Time // when notice was last given
}

// mark is how far an app's sequence was known to be.
type mark struct {
	sequence   int64
	generation uint64 // another one after each loss
}

// sighting is a mark as it was, and where what is seen next is noted.
type sighting struct {
	mark
	of *reach
}

const (
	maxTails  = 100_000
	tellEvery = time.Minute // of one app
)

func newTails(most int, notice func(TailLoss)) *tails {
	return &tails{most: most, notice: notice, apps: make(map[uint32]*reach)}
}

// before returns what is known of an app, before a call for it is sent.
func (t *tails) before(app uint32) sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.apps[app]
	if known == nil {
		if len(t.apps) >= t.most {
			t.forgetOne()
		}
		known = &reach{mark: mark{generation: t.draw()}}
		t.apps[app] = known
	}
	return sighting{known.mark, known}
}

func (t *tails) draw() uint64 {
	t.generations++
	return t.generations
}

// forgetOne makes room, rather of an app that lost nothing.
func (t *tails) forgetOne() {
	const looks = 8
	var victim uint32
	n := 0
	for app, known := range t.apps {
		victim = app
		if n++; known.lost.IsZero() || n == looks {
			break
		}
	}
	delete(t.apps, victim)
}

// answered compares the sequence that came with a reply with what was known
// before the call was sent, and returns when a loss was last noticed.
func (t *tails) answered(app uint32, before sighting, sequence int64, now time.Time) time.Time {
	known, tell := before.of, false
	t.mu.Lock()
	switch {
	case known.generation != before.generation:
	case sequence < before.sequence:
		known.sequence, known.generation, known.lost = sequence, t.draw(), now
		t.losses++
		t.last = now
		if tell = now.Sub(known.told) >= tellEvery; tell {
			known.told = now
		}
	default:
		known.sequence = max(known.sequence, sequence)
	}
	lost := known.lost
	t.mu.Unlock()
	if tell && t.notice != nil {
		t.notice(TailLoss{App: app, Known: before.sequence, Seen: sequence})
	}
	return lost
}

// TailLosses returns how often the store was found to have lost its tail, an
// app's at a time, and when last.
func (s *Store) TailLosses() (int64, time.Time) {
	s.tails.mu.Lock()
	defer s.tails.mu.Unlock()
	return s.tails.losses, s.tails.last
}
