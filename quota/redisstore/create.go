package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/imquota/imquota/account"
)

// An app lies in three slots of a cluster, which no step can write at once: its
// account, its own and the directory. A creation goes
//
//  1. the account: a pending place, with a token drawn for it, if one is left
//  2. the app: header and record with that token, unsettled
//  3. the account: live, if the place still has the token, and among the deleted
//     apps no more, where one of this id may be that was lost
//  4. the directory: live
//  5. the app: settled
//
// and is decided at step 3, whoever takes it: the creator, or the first who
// reads an app that its creator left unsettled, and who then finishes it. Until
// it is settled an app is shown to nobody, so it has no counters to lose.
//
// A creator may die, or go on minutes later. Its place does not wait for it for
// ever: an account that is full drops pending places that are too old. No more
// apps than places can exist all the same:
//
//   - an app is shown only after its account called it live; only a place that
//     was taken becomes live, and one that was is given back only once the app's
//     record says that it is deleted (delete.go), which no creation undoes;
//   - a token enters the account at step 1 alone, before the header that bears
//     it is made. Once its place is gone, step 3 says no to that header, always
//     and to everybody, so that it can be dropped without asking again. (A live
//     place lets every token pass: another creation of the id had it, and found
//     the header dropped. Step 5 then tells whose header it is.)
//
// The creator whose header is dropped begins anew. Creators of one id in one
// account share the token, or each would undo the others.
//
// An app that is live in the directory and has no header is one whose counters
// are lost; one that the directory does not name was never shown to anybody.
const live = "live"

// createAttempts bounds how often a creation begins anew, because its place was
// dropped or given back meanwhile, and how many of one id a reader sees undone.
const createAttempts = 8

// errUndone says that a creation was undone and may begin anew.
var errUndone = errors.New("the creation was undone")

// CreateApp implements account.Registry.
func (s *Store) CreateApp(ctx context.Context, app *account.App, event account.Event, maxApps int, acceptLoss bool) error {
	return s.createNew(ctx, app, creation{event: event, maxApps: maxApps, mayBeNew: !acceptLoss, mayBeLost: acceptLoss})
}

// creation says how an app is made.
type creation struct {
	before              account.Version // zero, but of an app that is restored
	log                 []any           // of before: revision, event and so on
	event               account.Event
	maxApps             int
	mayBeNew, mayBeLost bool
}

// createNew makes an app with the version after c.before, and sets app.Version.
func (s *Store) createNew(ctx context.Context, app *account.App, c creation) error {
	for range createAttempts {
		fresh := *app
		fresh.Version = c.before.Next()
		err := s.create(ctx, &fresh, &c)
		if err == nil {
			app.Version = fresh.Version
		}
		if !errors.Is(err, errUndone) {
			return err
		}
	}
	return s.undone(app.ID)
}

// undone is the fault of an id whose creations were undone again and again.
func (s *Store) undone(id uint32) *account.Fault {
	f := s.fault(account.StoreUnavailable, "undid every creation of app %d that was begun meanwhile", id)
	f.RetryAfter = retryHint
	return f
}

func (s *Store) create(ctx context.Context, app *account.App, c *creation) error {
	// An id that is taken is refused before it takes a place.
	_, err := s.App(ctx, app.ID)
	switch {
	case err == nil:
		return account.ErrAppExists
	case errors.Is(err, account.ErrUsageUnknown) && c.mayBeLost:
		if err := s.checkOwner(ctx, app); err != nil {
			return err
		}
		// Somebody may have the lost record still. It cannot be read any more:
		// no hurry.
		if _, err := s.announce(ctx, account.Subject{App: app.ID}, s.headerKey(app.ID)); err != nil {
			return err
		}
	case errors.Is(err, account.ErrAppNotFound) && c.mayBeNew:
	default:
		return err
	}
	p, err := s.takePlace(ctx, app.Account, app.ID, c.maxApps)
	if err != nil {
		return err
	}
	made, err := s.makeHeader(ctx, app, c, p.token)
	if err != nil {
		return s.breakOff(ctx, app.Account, p, err)
	}
	if !made {
		return s.lostRace(ctx, app, p)
	}
	isOurs, err := s.settle(ctx, app.Account, app.ID, p.token)
	switch {
	case err != nil:
		return s.begun(app.ID, err)
	case !isOurs:
		return errUndone
	}
	return nil
}

// makeHeader makes an app's header, record and log, unsettled. It reports false
// when there is a header.
func (s *Store) makeHeader(ctx context.Context, app *account.App, c *creation, token string) (bool, error) {
	record, err := account.EncodeApp(app)
	if err != nil {
		return false, err
	}
	entry, err := encodeEvent(app.ID, c.event)
	if err != nil {
		return false, err
	}
	args := append([]any{versionText(app.Version), string(record), token, revisionField(app.Version.Revision), entry}, c.log...)
	made, err := s.run(ctx, createScript, s.recordKeys(app.ID), args...)
	return made == int64(1), err
}

// checkOwner refuses to create a lost app anew in an account that is not its
// own.
func (s *Store) checkOwner(ctx context.Context, app *account.App) error {
	owner, err := s.owner(ctx, app.ID)
	if err == nil && owner != "" && owner != app.Account {
		return account.ErrAppExists
	}
	return err
}

// owner returns the account that the directory says an app is live in, or "".
func (s *Store) owner(ctx context.Context, id uint32) (string, error) {
	entry, err := s.read(ctx, "hmget", s.directoryKey(id), appField(id))
	if err != nil || len(entry) != 1 {
		return "", err
	}
	text, _ := entry[0].(string)
	owner, _ := strings.CutPrefix(text, live+" ")
	return owner, nil
}

// lostRace ends a creation that found a header made by someone else meanwhile.
// Its place is given back unless it is that app's too.
func (s *Store) lostRace(ctx context.Context, app *account.App, p place) error {
	existing, err := s.App(ctx, app.ID)
	switch {
	case errors.Is(err, account.ErrAppNotFound):
		return errUndone // the other was undone
	case err != nil:
		return s.breakOff(ctx, app.Account, p, err)
	case existing.Account != app.Account:
		return s.breakOff(ctx, app.Account, p, account.ErrAppExists)
	}
	return account.ErrAppExists
}

// begun makes a fault of what kept a creation from being settled: it may be
// finished by whoever reads the app next.
func (s *Store) begun(id uint32, err error) error {
	f := s.fault(account.OutcomeUnknown, "did not answer whether app %d was created: it will be finished when it is read next; "+
		"repeat the call", id)
	f.Err, f.RetryAfter = err, retryHint
	return f
}

// settle decides an app's creation by its place and carries the decision out:
// the app is live, or dropped. It reports whether the app is there and of this
// creation. All of it can be done again and by several at once.
func (s *Store) settle(ctx context.Context, name string, id uint32, token string) (bool, error) {
	confirmed, err := s.repeatable(ctx, confirmScript, s.placeKeys(name), appField(id), token)
	if err != nil {
		return false, err
	}
	if confirmed != int64(1) {
		_, err := s.repeatable(ctx, settleScript, s.recordKeys(id), token, 0)
		return false, err
	}
	// The directory comes before the header, so that an app which was shown and
	// is lost is not taken for one that never was.
	if _, err := s.do(ctx, &command{args: []any{"hset", s.directoryKey(id), appField(id), live + " " + name}, kept: true}); err != nil {
		return false, err
	}
	kept, err := s.repeatable(ctx, settleScript, s.recordKeys(id), token, 1)
	return kept == int64(1), err
}
