package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Apps is how records of apps are made and changed: checked against the
// catalog, one change at a time, each request once.
type Apps struct {
	Registry Registry
	Catalog  func() *catalog.Snapshot
	Now      func() time.Time
	// Changed is told of every app whose record changed. Optional.
	Changed func(app uint32)
}

// What Apps answers beside the errors of a Registry.
var (
	ErrRequestReused = errors.New("the request id was used for another change")
	ErrAddOnActive   = errors.New("the add-on was activated before")
)

// NewApp describes an app to be created.
type NewApp struct {
	ID            uint32 // zero: one is chosen
	Account       string
	Name          string
	Region        string // empty: the catalog's first
	ExpectedUsers int64  // zero: a million
	AcceptLoss    bool   // create it although its counters were lost

	// What an existing customer brings along.
	Edition   string  // empty: the catalog's default
	Orders    []Order // in any sequence
	Approvals []Grant // of features
	AddOns    []Grant
	Created   time.Time // zero: now
}

// Grant is an approval or activation that was made elsewhere.
type Grant struct {
	Key string
	At  time.Time // zero: now
}

// Create creates an app. With a remembered change it answers the app that the
// change created before.
func (s *Apps) Create(ctx context.Context, n NewApp, change Change) (*App, error) {
	app, err := s.record(n)
	if err != nil {
		return nil, err
	}
	app.Creation = change
	for attempt := range uint32(chooseAttempts) {
		if n.ID == 0 {
			app.ID = chooseID(n.Account, change, attempt)
		}
		err := s.Registry.CreateApp(ctx, app, s.Catalog().Account().MaxApps, n.AcceptLoss)
		if err == nil {
			s.changed(app.ID)
			return app, nil
		}
		if !errors.Is(err, ErrAppExists) {
			return nil, ForApp(app.ID, err)
		}
		if before, err := s.createdBefore(ctx, app, change); before != nil || err != nil {
			return before, err
		}
		if n.ID != 0 {
			break
		}
	}
	return nil, ForApp(app.ID, ErrAppExists)
}

// chooseAttempts bounds the search for a free id; with a million apps the
// first one is taken once in a hundred times.
const chooseAttempts = 64

// Chosen ids lie in a range of their own, clear of small hand-made numbers.
const (
	firstChosenID = 1_400_000_000
	chosenIDs     = 100_000_000
)

// chooseID draws an id: the same one for the same request, so that repeating
// it finds the app that it created.
func chooseID(account string, change Change, attempt uint32) uint32 {
	var draw [8]byte
	if change.RequestID == "" {
		_, _ = rand.Read(draw[:]) // never fails
	} else {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", attempt, account, change.RequestID))
		copy(draw[:], sum[:])
	}
	return firstChosenID + uint32(binary.BigEndian.Uint64(draw[:])%chosenIDs)
}

// createdBefore returns the existing app, if this change created it.
func (s *Apps) createdBefore(ctx context.Context, app *App, change Change) (*App, error) {
	if change.RequestID == "" {
		return nil, nil
	}
	existing, err := s.Registry.App(ctx, app.ID)
	if err != nil {
		return nil, err
	}
	known, ok := existing.Remembered(change.RequestID)
	if !ok || existing.Account != app.Account {
		return nil, nil
	}
	if known != change {
		return nil, ErrRequestReused
	}
	return existing, nil
}

// record checks a new app and makes its record.
func (s *Apps) record(n NewApp) (*App, error) {
	cat, now := s.Catalog(), s.Now()
	app := &App{
		ID: n.ID, Account: n.Account, Name: n.Name, Region: n.Region, Edition: n.Edition, Created: n.Created,
		FanoutBits: FanoutBitsFor(n.ExpectedUsers), Orders: slices.Clone(n.Orders),
	}
	if app.Created.IsZero() {
		app.Created = now
	}
	if app.Created.After(now) {
		return nil, &InvalidError{"import.create_time", "lies in the future"}
	}
	if app.Region == "" {
		app.Region = cat.Regions()[0]
	}
	if !cat.HasRegion(app.Region) {
		return nil, &InvalidError{"region", fmt.Sprintf("unknown region %q; there are %s", app.Region, strings.Join(cat.Regions(), ", "))}
	}
	if app.Edition == "" {
		app.Edition = cat.DefaultEdition().Key
	}
	edition, ok := cat.Edition(app.Edition)
	if !ok {
		return nil, &InvalidError{"import.edition", fmt.Sprintf("unknown edition %q; there are %s", app.Edition, cat.EditionNames())}
	}
	if err := checkOrders(cat, edition, app.Orders); err != nil {
		return nil, err
	}
	for i, g := range n.Approvals {
		if err := s.approve(app, fmt.Sprintf("import.approvals[%d].", i), g); err != nil {
			return nil, err
		}
	}
	for i, g := range n.AddOns {
		if err := s.activate(app, fmt.Sprintf("import.add_ons[%d].", i), g); err != nil {
			return nil, err
		}
	}
	return app, nil
}

// maxOrderMonths is the longest an order can be (purchase instructions).
const maxOrderMonths = 24

// checkOrders checks what an existing customer brings along, and sorts it.
func checkOrders(cat *catalog.Snapshot, edition *catalog.Edition, orders []Order) error {
	if len(orders) > 0 && edition.IsFree() {
		return &InvalidError{"import.edition", "an app with orders has a paid edition, not " + edition.Key}
	}
	ids := make(map[string]bool, len(orders))
	for i, o := range orders {
		field := fmt.Sprintf("import.orders[%d].", i)
		bought, ok := cat.Edition(o.Edition)
		switch {
		case !ok:
			return &InvalidError{field + "edition", fmt.Sprintf("unknown edition %q; there are %s", o.Edition, cat.EditionNames())}
		case bought.IsFree():
			return &InvalidError{field + "edition", "the " + o.Edition + " edition is free and cannot be ordered"}
		case ids[o.ID]:
			return &InvalidError{field + "order_id", fmt.Sprintf("order %q is given twice", o.ID)}
		case !o.Start.Before(o.End):
			return &InvalidError{field + "end_time", "is not after the start"}
		case o.Months < 1 || o.Months > maxOrderMonths:
			return &InvalidError{field + "months", fmt.Sprintf("is %d: an order has 1 to %d months", o.Months, maxOrderMonths)}
		case o.Cash.IsNegative():
			return &InvalidError{field + "cash", "is negative"}
		case o.Credit.IsNegative():
			return &InvalidError{field + "credit", "is negative"}
		}
		ids[o.ID] = true
	}
	if err := SortOrders(orders); err != nil {
		return &InvalidError{"import.orders", err.Error()}
	}
	return nil
}

// App reads an app. Errors: those of Registry.App.
func (s *Apps) App(ctx context.Context, id uint32) (*App, error) {
	app, err := s.Registry.App(ctx, id)
	return app, ForApp(id, err)
}

// Approve approves a feature. The first approval holds.
func (s *Apps) Approve(ctx context.Context, id uint32, feature string, at time.Time, change Change) (*App, error) {
	return s.update(ctx, id, change, func(app *App) (bool, error) {
		if _, ok := app.Approvals[feature]; ok {
			return false, nil
		}
		return true, s.approve(app, "", Grant{feature, at})
	})
}

// approve checks an approval and notes it. Its fields are below the path.
func (s *Apps) approve(app *App, path string, g Grant) error {
	f, ok := s.Catalog().Feature(g.Key)
	switch {
	case !ok:
		return &InvalidError{path + "feature", fmt.Sprintf("unknown feature %q", g.Key)}
	case f.Approval == nil:
		return &InvalidError{path + "feature", g.Key + " needs no approval"}
	}
	return set(&app.Approvals, path+"approve_time", g, s.Now())
}

// Activate starts the trial of an add-on, once an app.
func (s *Apps) Activate(ctx context.Context, id uint32, addOn string, change Change) (*App, error) {
	return s.update(ctx, id, change, func(app *App) (bool, error) {
		if at, ok := app.AddOns[addOn]; ok {
			return false, fmt.Errorf("%s, at %s: %w", addOn, at.UTC().Format(time.RFC3339), ErrAddOnActive)
		}
		return true, s.activate(app, "", Grant{Key: addOn})
	})
}

// activate is approve for an add-on.
func (s *Apps) activate(app *App, path string, g Grant) error {
	a, ok := s.Catalog().AddOn(g.Key)
	switch {
	case !ok:
		return &InvalidError{path + "add_on", fmt.Sprintf("unknown add-on %q", g.Key)}
	case !a.Editions[app.Edition]:
		return &InvalidError{path + "add_on", g.Key + " is not offered to the " + app.Edition + " edition"}
	}
	return set(&app.AddOns, path+"activate_time", g, s.Now())
}

// set notes the instant of an approval or activation: now, if none is given.
func set(m *map[string]time.Time, field string, g Grant, now time.Time) error {
	if g.At.IsZero() {
		g.At = now
	}
	if g.At.After(now) {
		return &InvalidError{field, "lies in the future"}
	}
	if *m == nil {
		*m = make(map[string]time.Time)
	}
	(*m)[g.Key] = g.At
	return nil
}

// Override replaces the edition's limit of a quota for one app; nil takes the
// override back.
func (s *Apps) Override(ctx context.Context, id uint32, quota string, limit *catalog.Limit, change Change) (*App, error) {
	if _, ok := s.Catalog().Quota(quota); !ok {
		return nil, &InvalidError{"quota", fmt.Sprintf("unknown quota %q", quota)}
	}
	return s.update(ctx, id, change, func(app *App) (bool, error) {
		before, ok := app.Overrides[quota]
		if limit == nil {
			delete(app.Overrides, quota)
			return ok, nil
		}
		if app.Overrides == nil {
			app.Overrides = make(map[string]catalog.Limit)
		}
		app.Overrides[quota] = *limit
		return !ok || before != *limit, nil
	})
}

// updateAttempts bounds how often a change is tried against others: each time
// one of them succeeds, so that as many can be made at once.
const updateAttempts = 64

// update changes an app's record. edit reports whether it changed anything.
func (s *Apps) update(ctx context.Context, id uint32, change Change, edit func(*App) (bool, error)) (*App, error) {
	for range updateAttempts {
		current, err := s.App(ctx, id)
		if err != nil {
			return nil, err
		}
		if known, ok := current.Remembered(change.RequestID); ok {
			if known != change {
				return nil, ErrRequestReused
			}
			return current, nil
		}
		app := current.Clone()
		changed, err := edit(app)
		if err != nil || !changed && change.RequestID == "" {
			return app, err
		}
		// A request that changes nothing is remembered too: repeated later, it
		// must not undo what was changed since.
		app.Remember(change)
		err = s.Registry.UpdateApp(ctx, app)
		if !errors.Is(err, ErrConflict) {
			s.changed(id)
			if err != nil {
				return nil, ForApp(id, err)
			}
			return app, nil
		}
	}
	return nil, ForApp(id, ErrConflict)
}

func (s *Apps) changed(id uint32) {
	if s.Changed != nil {
		s.Changed(id)
	}
}
