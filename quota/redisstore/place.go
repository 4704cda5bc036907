package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
)

// placeHeldFor is how long a creation may hold a pending place once its account
// is full. A creation is a handful of round trips, each over after seconds, so
// only one that broke off is older; one that goes on all the same begins anew.
const placeHeldFor = 5 * time.Minute

// place is what an account says of one of its apps.
type place struct {
	app   uint32
	text  string // live, pending TOKEN SECONDS, or leaving TOKEN
	token string // what the app's creation bears
	isOld bool   // pending for longer than a creation takes, or leaving
}

func appField(app uint32) string { return strconv.FormatUint(uint64(app), 10) }

func drawToken() string {
	var draw [8]byte
	_, _ = rand.Read(draw[:]) // never fails
	return strconv.FormatUint(binary.BigEndian.Uint64(draw[:]), 36)
}

// takePlace takes a place for an app that is about to be created. When none is
// left it looks for places that belong to no app, or to none that lives.
func (s *Store) takePlace(ctx context.Context, name string, id uint32, maxApps int) (place, error) {
	p, err := s.askPlace(ctx, name, id, maxApps)
	if !errors.Is(err, account.ErrAccountFull) {
		return p, err
	}
	if err := s.sweepPlaces(ctx, name); err != nil {
		return place{}, err
	}
	return s.askPlace(ctx, name, id, maxApps)
}

func (s *Store) askPlace(ctx context.Context, name string, id uint32, maxApps int) (place, error) {
	token := drawToken()
	reply, err := s.run(ctx, placeScript, []string{s.accountKey(name)}, appField(id), maxApps, token)
	if err != nil {
		return place{}, err
	}
	text, _ := reply.(string)
	if text == "" {
		return place{}, account.ErrAccountFull
	}
	p := newPlace(id, text)
	if p.token == "" { // it is live
		p.token = token
	}
	return p, nil
}

// newPlace reads what an account says of an app.
func newPlace(id uint32, text string) place {
	p := place{app: id, text: text}
	if words := strings.Fields(text); len(words) == 3 {
		p.token = words[1]
	}
	return p
}

// liveLooks are when the live places of full accounts were looked at last.
type liveLooks struct {
	mu sync.Mutex
	at map[string]time.Time // by account
}

const (
	// lookEvery is how often they are: each costs a reading of all apps of the
	// account, and only a node that lost its tail leaves anything to be found. Who
	// goes on creating apps in a full account is not to have them read each time.
	lookEvery = 10 * time.Second
	// mostLooks bounds the memory of them.
	mostLooks = 1000
)

// due reports whether it is time to look at those of an account, and notes it.
func (l *liveLooks) due(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.at[name]; ok && now.Sub(last) < lookEvery {
		return false
	}
	if l.at == nil || len(l.at) >= mostLooks {
		l.at = make(map[string]time.Time)
	}
	l.at[name] = now
	return true
}

// sweepPlaces looks at the places of an account, and reads their apps in one
// step: at those that are not live, and now and then at all, which are as many as
// an account may have apps. It gives back the places of apps that are deleted,
// and of those that are not live it finishes those whose app is there and gives
// back those that belong to none. What cannot be told stays as it is.
func (s *Store) sweepPlaces(ctx context.Context, name string) error {
	places, err := s.places(ctx, name)
	if err != nil {
		return err
	}
	if !s.liveLooks.due(name, time.Now()) {
		places = slices.DeleteFunc(places, func(p place) bool { return p.text == live })
	}
	ids := make([]uint32, len(places))
	for i, p := range places {
		ids[i] = p.app
	}
	for i, l := range s.Load(ctx, ids) {
		p := places[i]
		isFree, err := s.isFree(ctx, name, p, l)
		if err == nil && isFree {
			_, err = s.repeatable(ctx, vacateScript, []string{s.accountKey(name)}, appField(p.app), p.text)
		}
		if err != nil && !account.IsOfRecord(err) {
			return err
		}
	}
	return nil
}

func (s *Store) places(ctx context.Context, name string) ([]place, error) {
	reply, err := s.repeatable(ctx, placesScript, []string{s.accountKey(name)}, int64(placeHeldFor/time.Second))
	if err != nil {
		return nil, err
	}
	list, _ := reply.([]any)
	var places []place
	for fields := range slices.Chunk(list, 3) {
		if len(fields) != 3 {
			break
		}
		field, _ := fields[0].(string)
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			continue
		}
		text, _ := fields[1].(string)
		p := newPlace(uint32(id), text)
		p.isOld = fields[2] == int64(1)
		places = append(places, p)
	}
	return places, nil
}

// isFree reports whether a place belongs to no app. An app that is there and of
// this account has it, and reading it has settled it; one that is deleted has it
// no more, whoever broke off before it was given back: the place is free then,
// and nothing is left to do. A live one is free for no other reason: the account
// may say so still because its node lost its tail.
func (s *Store) isFree(ctx context.Context, name string, p place, l account.Loaded) (bool, error) {
	switch {
	case errors.Is(l.Err, account.ErrAppNotFound), errors.Is(l.Err, account.ErrUsageUnknown) && !p.isOld:
		return p.isOld, nil
	case errors.Is(l.Err, account.ErrUsageUnknown):
		owner, err := s.owner(ctx, p.app)
		return owner != name, err
	case l.Err != nil:
		return false, l.Err
	case l.App.Account != name:
		return p.text != live, nil
	case !l.App.Deleted.IsZero():
		return false, s.free(ctx, l.App)
	case p.text == live:
		return false, nil
	}
	// Settled, and pending still: the account lost its tail. One that is leaving
	// has no such token, and stays so: it may be deleted any moment.
	_, err := s.repeatable(ctx, confirmScript, s.placeKeys(name), appField(p.app), p.token)
	return false, err
}

// breakOff gives a pending place back, because err ended its creation before
// there was an app, and returns err. Where err leaves that open, or the place
// cannot be given back, the place stays until the account is full.
func (s *Store) breakOff(ctx context.Context, name string, p place, err error) error {
	f, isFault := errors.AsType[*account.Fault](err)
	if isFault && f.Reason == account.OutcomeUnknown {
		return err
	}
	broken := s.mend(ctx, &command{script: vacateScript, keys: []string{s.accountKey(name)}, args: []any{appField(p.app), p.text}})
	if broken == nil || !isFault {
		return err
	}
	told := *f
	told.Detail += "; the account counts the app that was not created for up to " + strconv.Itoa(int(placeHeldFor/time.Minute)) + " minutes"
	return &told
}
