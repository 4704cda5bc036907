package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/imquota/imquota/account"
)

// A record is read by two commands of one key each, which a server answers while
// a slot moves too, where it would put a script off. So that a record never gets
// another one's version, its own lies in front of it in the one value, and counts
// only if the header has the same: both are written by one script, and no version
// is drawn twice. Where they differ there was a change in between, or one of the
// keys is lost or was set back. A script that reads both at one moment tells.
//
// An app without a header is none, or lost, whatever is left of its record.

// reading is what is read of an app at once.
type reading struct {
	app            uint32
	header, record *command
}

func (s *Store) readingOf(id uint32) reading {
	return reading{
		id, &command{args: []any{"hmget", s.headerKey(id), "v", "u", "c"}},
		&command{args: []any{"mget", s.recordKey(id)}},
	}
}

// stored is what was found of an app; what is not there is nil.
type stored struct {
	version, unsettled, clock any // of the header
	record                    any
}

// newStored takes the replies to the commands of a reading.
func newStored(header, record any) (found stored) {
	if fields, _ := header.([]any); len(fields) == 3 {
		found.version, found.unsettled, found.clock = fields[0], fields[1], fields[2]
	}
	if values, _ := record.([]any); len(values) == 1 {
		found.record = values[0]
	}
	return found
}

// hasHeader reports whether there is a header, which has a clock from the first.
func (f *stored) hasHeader() bool { return f.version != nil || f.clock != nil }

// text returns the version and the record, if they belong together.
func (f *stored) text() (version, record string, ok bool) {
	version, _ = f.version.(string)
	whole, _ := f.record.(string)
	of, record, ok := strings.Cut(whole, " ")
	return version, record, ok && of == version
}

// result returns the app that was read, if there is one, and the token of its
// creation while it is unsettled.
func (s *Store) result(ctx context.Context, r *reading) (app *account.App, unsettled string, err error) {
	for _, c := range []*command{r.header, r.record} {
		if c.err != nil {
			return nil, "", c.err
		}
	}
	found := newStored(r.header.cmd.Val(), r.record.cmd.Val())
	if _, _, ok := found.text(); !ok && found.hasHeader() {
		reply, err := s.repeatable(ctx, recordScript, []string{s.headerKey(r.app), s.recordKey(r.app)})
		if err != nil {
			return nil, "", err
		}
		list, _ := reply.([]any)
		if len(list) != 2 {
			return nil, "", s.faultOf(errReply, false)
		}
		found = newStored(list[0], list[1])
	}
	return s.decode(&found, r.app)
}

func (s *Store) decode(f *stored, id uint32) (app *account.App, unsettled string, err error) {
	if !f.hasHeader() {
		return nil, "", nil
	}
	version, record, ok := f.text()
	switch {
	case f.record == nil:
		return nil, "", s.damaged(id, "is missing or of another type")
	case !ok:
		return nil, "", s.damaged(id, "is not of its header's version")
	}
	v, err := parseVersion(version)
	if err != nil {
		return nil, "", s.damaged(id, "has a version that cannot be read")
	}
	unsettled, _ = f.unsettled.(string)
	app, err = account.DecodeApp(id, []byte(record), v)
	if f, ok := errors.AsType[*account.Fault](err); ok && f.Reason == account.UsageUnknown {
		err = s.damaged(id, "cannot be read")
	}
	return app, unsettled, err
}

// damaged says what is the matter with an app's record, and what helps: without its
// header the app is a lost one, which can be restored.
func (s *Store) damaged(id uint32, why string) *account.Fault {
	f := account.DamagedRecord(id)
	f.Detail += fmt.Sprintf(": %s %s; delete %s, then restore the app from a backup or create it anew", s.recordKey(id), why, s.headerKey(id))
	return f
}

// record reads an app's record; there may be none. One that is unsettled it
// settles first: what has been shown is never taken for what never was.
func (s *Store) record(ctx context.Context, id uint32) (*account.App, error) {
	for range createAttempts {
		r := s.readingOf(id)
		if err := s.doAll(ctx, []*command{r.header, r.record}); err != nil {
			return nil, err
		}
		app, token, err := s.result(ctx, &r)
		if token == "" || err != nil {
			return app, err
		}
		isSettled, err := s.settle(ctx, app.Account, id, token)
		if err != nil {
			return nil, err
		}
		if isSettled {
			return app, nil
		}
		// It was undone, but there may be another by now.
	}
	return nil, s.undone(id)
}
