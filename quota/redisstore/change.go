package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
)

// A change of a record is announced before it is made, in a log that every
// process watches (watch.go). Who hears it keeps nothing that it reads of the
// record for announcedFor, and then may again: by then the change must have been
// made, or an old record would be kept for good. The log and the record lie on
// servers whose clocks differ, and a change may wait anywhere on its way, so it
// goes
//
//  1. this process's watchers are told; this process's clock says when
//  2. the log: an entry; the record's server: who are you, what is your time?
//  3. this process's clock again: if more than announceWithin has passed, from 1
//  4. the record's server: the change, unless it is another server by now, or
//     its own clock is more than changeWithin past its answer of step 2; if it
//     is, from 1
//
// Nobody hears of the entry before step 1. The answer of step 2 was given before
// step 3, so at most announceWithin after step 1, and the change was made at
// most changeWithin after that answer. That is less than announcedFor, and no
// clock was held against another.
const (
	announcedFor   = 2 * time.Second
	announceWithin = 400 * time.Millisecond
	changeWithin   = 1500 * time.Millisecond
)

// changeAttempts bounds how often a change that comes too late is begun anew.
const changeAttempts = 4

// Replies of the scripts that change a record.
const (
	changeMade     int64 = 1
	changeConflict int64 = 0
	changeNoRecord int64 = -1
	changeTooLate  int64 = -2
)

// logKept is how long an entry of the log is kept at least: for longer than
// anybody who watches may be behind without knowing that entries were missed.
const logKept = time.Minute

// change has a script of intime.lua change a record, whose key is the command's
// first, and returns the script's reply.
func (s *Store) change(ctx context.Context, subject account.Subject, c command) (int64, error) {
	for range changeAttempts {
		begun := time.Now()
		at, err := s.announce(ctx, subject, c.keys[0])
		if err != nil {
			return 0, err
		}
		if time.Since(begun) > announceWithin {
			continue
		}
		attempt := c
		attempt.args = append([]any{at.server, at.millis, changeWithin.Milliseconds()}, c.args...)
		attempt.writes = true
		answer, err := s.do(ctx, &attempt)
		if err != nil {
			return 0, err
		}
		reply, isNumber := answer.(int64)
		switch {
		case !isNumber:
			return 0, s.faultOf(errReply, true)
		case reply == changeMade:
			s.watchers.announced(subject)
		case reply == changeTooLate:
			continue
		}
		return reply, nil
	}
	f := s.fault(account.StoreUnavailable, "is too slow: a change must be made within %v of its announcement", announcedFor)
	f.RetryAfter = retryHint
	return 0, f
}

// beginning is when a change was begun, by the clock of the record's server.
type beginning struct {
	server string // its run id
	millis int64
}

// announce says that a record may change, in this process and in the log. An
// announcement that nothing follows does no harm, so none is of an unknown
// outcome.
func (s *Store) announce(ctx context.Context, subject account.Subject, key string) (beginning, error) {
	s.watchers.announced(subject)
	field, value := logOwner, subject.Account
	if subject.App != 0 {
		field, value = logApp, strconv.FormatUint(uint64(subject.App), 10)
	}
	entry := &command{script: announceScript, keys: []string{s.logKey()}, args: []any{field, value, logKept.Milliseconds()}}
	begin := &command{script: beginScript, keys: []string{key}}
	if err := s.doAll(ctx, []*command{entry, begin}); err != nil {
		return beginning{}, err
	}
	for _, c := range []*command{entry, begin} {
		if c.err != nil {
			return beginning{}, c.err
		}
	}
	reply, _ := begin.cmd.Val().([]any)
	if len(reply) != 2 {
		return beginning{}, s.faultOf(errReply, false)
	}
	server, _ := reply[0].(string)
	millis, _ := reply[1].(int64)
	return beginning{server, millis}, nil
}
