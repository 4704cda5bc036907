package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
)

// directoryMark is a field of every directory of an initialised store. One
// without it was lost with a node of the Cluster: of the apps that it does not
// name, nobody knows whether they were there.
const directoryMark = "mark"

// Init marks the database as imquota's, once: the store's key, pending; the
// directories; the store's id. One that breaks off goes on when it is repeated.
// Init answers the store's id and whether it was drawn now.
//
// A store that lost its mark, or a directory, stays as it is: marked anew, it
// would take lost apps for unknown ones. With acceptLoss it is marked all the
// same, which an operator decides.
func (s *Store) Init(ctx context.Context, acceptLoss bool) (id string, created bool, err error) {
	s.probing.Lock() // a probe that began before would report what is over
	defer s.probing.Unlock()
	if f := s.probeServers(ctx, &atomic.Int64{}); f != nil {
		return "", false, f
	}
	// Directories first: where another Init has marked one, the store's key is
	// there to be seen.
	found, err := s.surveyDirectories(ctx)
	if err != nil {
		return "", false, err
	}
	mark, err := s.client.HMGet(ctx, s.storeKey(), "id", "format").Result()
	if err != nil {
		return "", false, s.faultOf(err, false)
	}
	isMissing := mark[0] == nil && mark[1] == nil
	if isMissing && found.there > 0 && !acceptLoss {
		return "", false, s.markLost(found)
	}
	if id, err = s.mark(ctx, ""); err != nil {
		return "", false, err
	}
	if id == "" || acceptLoss {
		if err := s.markDirectories(ctx, found.unmarked); err != nil {
			return "", false, err
		}
	}
	if id == "" {
		mine := drawID()
		if id, err = s.mark(ctx, mine); err != nil {
			return "", false, err
		}
		created = id == mine
	}
	s.note(&health{})
	return id, created, nil
}

// drawID draws what nothing else is called by.
func drawID() string {
	var draw [16]byte
	_, _ = rand.Read(draw[:]) // never fails
	return hex.EncodeToString(draw[:])
}

// mark marks the store: as pending, unless an id is given. It answers the id
// that the store has.
func (s *Store) mark(ctx context.Context, id string) (string, error) {
	c := &command{script: initScript, form: byText, keys: []string{s.storeKey()}, args: []any{format, id}, writes: true}
	if err := s.deliverAll(ctx, []*command{c}); err != nil {
		return "", err
	}
	reply, _ := c.cmd.Slice()
	if len(reply) != 2 {
		return "", s.faultOf(errReply, true)
	}
	if f := s.checkFormat(reply[1]); f != nil {
		return "", f
	}
	id, _ = reply[0].(string)
	return id, nil
}

func (s *Store) markLost(found survey) *account.Fault {
	return s.fault(account.StoreNotInitialized, "has no store id, but %d of %d directories, with %d apps: it lost its mark, "+
		"and may have lost apps with it. Restore a backup, or mark it anew (imquota store init --accept-loss): "+
		"apps whose counters are gone as well are unknown from then on", found.there, directories, found.apps)
}

// survey is what the directories hold.
type survey struct {
	there    int // directories that hold something
	apps     int // that they name
	unmarked []int
}

func (s *Store) surveyDirectories(ctx context.Context) (survey, error) {
	marks, sizes := make([]*command, directories), make([]*command, directories)
	for i := range directories {
		key := s.directoryKey(uint32(i))
		marks[i], sizes[i] = &command{args: []any{"hexists", key, directoryMark}}, &command{args: []any{"hlen", key}}
	}
	if err := s.deliverAll(ctx, slices.Concat(marks, sizes)); err != nil {
		return survey{}, err
	}
	var found survey
	for i := range directories {
		marked, _ := marks[i].cmd.Val().(int64)
		size, _ := sizes[i].cmd.Val().(int64)
		if marked == 0 {
			found.unmarked = append(found.unmarked, i)
		}
		if size > 0 {
			found.there++
		}
		found.apps += int(max(0, size-marked))
	}
	return found, nil
}

func (s *Store) markDirectories(ctx context.Context, which []int) error {
	commands := make([]*command, len(which))
	for i, directory := range which {
		commands[i] = &command{args: []any{"hset", s.directoryKey(uint32(directory)), directoryMark, format}, writes: true}
	}
	return s.deliverAll(ctx, commands)
}

// deliverAll runs commands and answers the first error.
func (s *Store) deliverAll(ctx context.Context, commands []*command) error {
	if len(commands) == 0 {
		return nil
	}
	s.deliver(ctx, time.Now().Add(retryFor), commands)
	for _, c := range commands {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}
