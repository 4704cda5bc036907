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
// catalog, one change at a time, each request once, each in the app's log.
type Apps struct {
	Registry Registry
	Catalog  func() *catalog.Snapshot
	Now      func() time.Time
}

// What Apps answers beside the errors of a Registry.
var (
	ErrRequestReused  = errors.New("the request id was used for another change")
	ErrAddOnActive    = errors.New("the add-on was activated before")
	ErrAppNotDisabled = errors.New("the app is not disabled: disable it first")
	ErrNoOrder        = errors.New("the app has no order: there is nothing to renew")
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

// Create creates an app. With a request that is known it answers the app that
// the request created before.
func (s *Apps) Create(ctx context.Context, n NewApp, by Origin) (*App, error) {
	app, err := s.record(n)
	if err != nil {
		// What makes no sense any more may have been done when it did.
		if before, _ := s.createdBefore(ctx, &App{ID: n.ID, Account: n.Account}, by.Change); before != nil {
			return before, nil
		}
		return nil, err
	}
	if owner := s.Registry.Accounts(ctx, []string{n.Account})[0]; owner.Err != nil {
		return nil, forAccount(n.Account, owner.Err) // nobody could say how the app stands
	}
	app.Creation = by.Change
	for attempt := range uint32(chooseAttempts) {
		if n.ID == 0 {
			app.ID = chooseID(n.Account, by.Change, attempt)
		}
		event, err := by.Event("CreateApp", s.Now(), nil, app)
		if err != nil {
			return nil, err
		}
		err = s.Registry.CreateApp(ctx, app, event, s.Catalog().Account().MaxApps, n.AcceptLoss)
		if err == nil {
			return app, nil
		}
		if !errors.Is(err, ErrAppExists) {
			return nil, ForApp(app.ID, err)
		}
		if before, err := s.createdBefore(ctx, app, by.Change); before != nil || err != nil {
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
	id := app.ID
	if id == 0 {
		id = chooseID(app.Account, change, 0)
	}
	existing, err := s.Registry.App(ctx, id)
	if err != nil {
		return nil, err
	}
	if existing.Account != app.Account {
		return nil, nil
	}
	known, err := existing.Remembered(change)
	if !known || err != nil {
		return nil, err
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
	if _, ok := cat.Edition(app.Edition); !ok {
		return nil, &InvalidError{"import.edition", fmt.Sprintf("unknown edition %q; there are %s", app.Edition, cat.EditionNames())}
	}
	if err := checkOrders(cat, app.Orders, now); err != nil {
		return nil, err
	}
	if len(app.Orders) > 0 {
		// Orders say which edition is in force; before the first it is the
		// default one.
		app.Edition = cat.DefaultEdition().Key
		if derived := app.StateAt(now, nil, cat).Edition; n.Edition != "" && n.Edition != derived {
			return nil, &InvalidError{"import.edition", fmt.Sprintf("is %q, but by the orders it is %q now", n.Edition, derived)}
		}
	}
	for i, g := range n.Approvals {
		if err := s.approve(app, fmt.Sprintf("import.approvals[%d].", i), g); err != nil {
			return nil, err
		}
	}
	for i, g := range n.AddOns {
		if err := s.activate(app, app.StateAt(now, nil, cat).Edition, fmt.Sprintf("import.add_ons[%d].", i), g); err != nil {
			return nil, err
		}
	}
	return app, nil
}

// checkOrders checks what an existing customer brings along, gives orders the
// ends that were left out, and sorts them.
func checkOrders(cat *catalog.Snapshot, orders []Order, now time.Time) error {
	ids := make(map[string]bool, len(orders))
	most := cat.Account().MaxOrderMonths
	places := make(map[string]int, len(orders))
	for i := range orders {
		o := &orders[i]
		field := importedOrder(i)
		bought, ok := cat.Edition(o.Edition)
		switch {
		case !ok:
			return &InvalidError{field + "edition", fmt.Sprintf("unknown edition %q; there are %s", o.Edition, cat.EditionNames())}
		case bought.IsFree():
			return &InvalidError{field + "edition", "the " + o.Edition + " edition is free and cannot be ordered"}
		case ids[o.ID]:
			return &InvalidError{field + "order_id", fmt.Sprintf("order %q is given twice", o.ID)}
		case o.Months < 1 || o.Months > most:
			return &InvalidError{field + "months", fmt.Sprintf("is %d: an order has 1 to %d months", o.Months, most)}
		case o.Cash.IsNegative():
			return &InvalidError{field + "cash", "is negative"}
		case o.Credit.IsNegative():
			return &InvalidError{field + "credit", "is negative"}
		case o.Refunded.After(now):
			return &InvalidError{field + "refund_time", "lies in the future"}
		}
		ids[o.ID] = true
		places[o.ID] = i
	}
	slices.SortStableFunc(orders, func(a, b Order) int { return a.Start.Compare(b.Start) })
	for i := range orders {
		o := &orders[i]
		if o.End.IsZero() {
			o.End = endOf(orders[:i], o, cat.Zone())
		}
		field := importedOrder(places[o.ID])
		switch {
		case !o.Start.Before(o.End):
			return &InvalidError{field + "end_time", "is not after the start"}
		case o.End.UTC().Year() > lastYear:
			return &InvalidError{field + "end_time", fmt.Sprintf("lies beyond the year %d", lastYear)}
		case o.isReturned() && !o.Refunded.Before(o.End):
			return &InvalidError{field + "refund_time", "is not before the end"}
		}
	}
	if err := SortOrders(orders); err != nil {
		return &InvalidError{"import.orders", err.Error()}
	}
	return nil
}

// lastYear is the last one that an instant can be written in (RFC 3339), a grace
// and the days for which data is kept included.
const lastYear = 9000

func importedOrder(i int) string { return fmt.Sprintf("import.orders[%d].", i) }

// endOf returns where an order ends that says only how long it is. It goes on
// with the chain of the orders before that end where it starts.
func endOf(before []Order, o *Order, zone *time.Location) time.Time {
	if c := chainAt(before, o.Start); c.end.Equal(o.Start) {
		return c.after(o.Months, zone)
	}
	return AddMonths(o.Start, o.Months, zone)
}

// App reads an app, deleted or not. Errors: those of Registry.App.
func (s *Apps) App(ctx context.Context, id uint32) (*App, error) {
	app, err := s.Registry.App(ctx, id)
	return app, ForApp(id, err)
}

// State reads how an app stands, for which its account is read.
func (s *Apps) State(ctx context.Context, app *App) (*State, error) {
	owner := s.Registry.Accounts(ctx, []string{app.Account})[0]
	if owner.Err != nil {
		return nil, forAccount(app.Account, owner.Err)
	}
	if err := CheckOwner(app, owner.Account); err != nil {
		return nil, err
	}
	return app.StateAt(Latest(s.Now(), app, owner.Account), owner.Account, s.Catalog()), nil
}

// Approve approves a feature. The first approval holds.
func (s *Apps) Approve(ctx context.Context, id uint32, feature string, at time.Time, by Origin) (*App, error) {
	return s.update(ctx, id, "ApproveFeature", by, func(app *App, _ *State) (bool, error) {
		if _, ok := app.Approvals[feature]; ok {
			return false, nil
		}
		return true, s.approve(app, "", Grant{feature, at})
	})
}

// approve checks an approval and notes it. Its fields are below the path.
func (s *Apps) approve(app *App, path string, g Grant) error {
	if err := s.checkApproved(path, g.Key); err != nil {
		return err
	}
	return set(&app.Approvals, path+"approve_time", g, s.Now())
}

func (s *Apps) checkApproved(path, feature string) error {
	f, ok := s.Catalog().Feature(feature)
	switch {
	case !ok:
		return &InvalidError{path + "feature", fmt.Sprintf("unknown feature %q", feature)}
	case f.Approval == nil:
		return &InvalidError{path + "feature", feature + " needs no approval"}
	}
	return nil
}

// Revoke takes an approval back. One of a feature that the catalog does not name
// any more can be taken back too.
func (s *Apps) Revoke(ctx context.Context, id uint32, feature string, by Origin) (*App, error) {
	return s.update(ctx, id, "RevokeFeature", by, func(app *App, _ *State) (bool, error) {
		if _, ok := app.Approvals[feature]; !ok {
			return false, s.checkApproved("", feature)
		}
		delete(app.Approvals, feature)
		return true, nil
	})
}

// Activate starts the trial of an add-on, once an app.
func (s *Apps) Activate(ctx context.Context, id uint32, addOn string, by Origin) (*App, error) {
	return s.update(ctx, id, "ActivateAddOn", by, func(app *App, state *State) (bool, error) {
		if at, ok := app.AddOns[addOn]; ok {
			return false, fmt.Errorf("%s, at %s: %w", addOn, at.UTC().Format(time.RFC3339), ErrAddOnActive)
		}
		return true, s.activate(app, state.Edition, "", Grant{Key: addOn})
	})
}

// activate is approve for an add-on.
func (s *Apps) activate(app *App, edition, path string, g Grant) error {
	a, ok := s.Catalog().AddOn(g.Key)
	switch {
	case !ok:
		return &InvalidError{path + "add_on", fmt.Sprintf("unknown add-on %q", g.Key)}
	case !a.Editions[edition]:
		return &InvalidError{path + "add_on", g.Key + " is not offered to the " + edition + " edition"}
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

// Override replaces the edition's limit of a quota for one app, until its end if
// it has one; nil takes the override back.
func (s *Apps) Override(ctx context.Context, id uint32, quota string, o *Override, by Origin) (*App, error) {
	return s.update(ctx, id, "SetLimitOverride", by, func(app *App, _ *State) (bool, error) {
		before, isSet := app.Overrides[quota]
		_, isKnown := s.Catalog().Quota(quota)
		switch {
		case !isKnown && (o != nil || !isSet):
			return false, &InvalidError{"quota", fmt.Sprintf("unknown quota %q", quota)}
		case o == nil:
			delete(app.Overrides, quota)
			return isSet, nil
		case !o.InForce(s.Now()):
			return false, &InvalidError{"end_time", "is not in the future"}
		}
		if app.Overrides == nil {
			app.Overrides = make(map[string]Override)
		}
		app.Overrides[quota] = *o
		return !isSet || before.Limit != o.Limit || !before.Until.Equal(o.Until), nil
	})
}

// SetRenewal says what happens when the app's plan ends.
func (s *Apps) SetRenewal(ctx context.Context, id uint32, r Renewal, by Origin) (*App, error) {
	if r.Mode == RenewAutomatically {
		r.Months = max(1, r.Months)
	}
	return s.update(ctx, id, "SetRenewal", by, func(app *App, _ *State) (bool, error) {
		if len(app.Orders) == 0 {
			return false, ErrNoOrder
		}
		before := app.Renewal
		app.Renewal = r
		return before != r, nil
	})
}

// MigrateBilling moves an app from the legacy billing mode to prepaid plans. One
// that is there already stays there.
func (s *Apps) MigrateBilling(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.update(ctx, id, "MigrateBilling", by, func(app *App, _ *State) (bool, error) {
		if !app.IsLegacy(s.Catalog().Account()) {
			return false, nil
		}
		app.Migrated = s.Now()
		return true, nil
	})
}

// Disable suspends an app until it is enabled.
func (s *Apps) Disable(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.change(ctx, id, "DisableApp", by, func(app *App, state *State) (bool, error) {
		switch {
		case state.Stage == Deleted:
			return false, Gone(state)
		case app.disabledNow() != nil:
			return false, nil
		}
		app.Disabled = append(app.Disabled, Spell{From: s.Now()})
		return true, nil
	})
}

// spellsKept bounds App.Disabled.
const spellsKept = 32

// Enable ends what Disable began.
func (s *Apps) Enable(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.update(ctx, id, "EnableApp", by, func(app *App, state *State) (bool, error) {
		spell := app.disabledNow()
		if spell == nil {
			return false, nil
		}
		spell.Until = s.Now()
		// What is over matters as long as the suspension that it is a part of
		// goes on: since when, they have in common.
		if state.IsOnly(Disabled) {
			app.Disabled = nil
		}
		if drop := len(app.Disabled) - spellsKept; drop > 0 {
			app.Disabled = slices.Delete(app.Disabled, 0, drop)
		}
		return true, nil
	})
}

// Delete deletes a disabled app: the record stays as a tombstone, its place in
// the account is free. Its counters are for the caller to remove.
func (s *Apps) Delete(ctx context.Context, id uint32, by Origin) (*App, error) {
	app, err := s.edit(ctx, id, "DeleteApp", by, s.Registry.DeleteApp, func(app *App, _ *State) (bool, error) {
		switch {
		case !app.Deleted.IsZero():
			return false, nil
		case app.disabledNow() == nil:
			return false, ErrAppNotDisabled
		}
		app.Deleted = s.Now()
		return true, nil
	})
	if err == nil && !app.Deleted.IsZero() {
		err = ForApp(id, s.Registry.FreePlace(ctx, app)) // where an earlier call broke off
	}
	return app, err
}

// reclaimMargin is for how long an app must have been reclaimed before its data
// goes: somebody's clock may be behind, and a payment on its way.
const reclaimMargin = time.Minute

// Reclaim notes that an app's data is reclaimed, if that is so: from then on no
// payment brings it back. One that was recorded just before does: the note is
// taken back. Data may go if the answer is Reclaimed.
func (s *Apps) Reclaim(ctx context.Context, id uint32, by Origin) (*App, error) {
	isDue := func(state *State) bool {
		return state.Stage == Reclaimed && !s.Now().Before(state.Since.Add(reclaimMargin))
	}
	isNew := false
	app, err := s.change(ctx, id, "ReclaimApp", by, func(app *App, state *State) (bool, error) {
		if isNew = app.Reclaimed.IsZero() && isDue(state); isNew {
			app.Reclaimed = state.Since
		}
		return isNew, nil
	})
	if err != nil || !isNew {
		return app, err
	}
	// The account is no part of the step that noted it.
	without := app.Clone()
	without.Reclaimed = time.Time{}
	state, err := s.State(ctx, without)
	if err != nil || isDue(state) {
		return app, err
	}
	return s.change(ctx, id, "ReclaimApp", Origin{}, func(app *App, _ *State) (bool, error) {
		app.Reclaimed = time.Time{}
		return true, nil
	})
}

// Sweep notes that no counter of a deleted or reclaimed app is left.
func (s *Apps) Sweep(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.change(ctx, id, "RemoveCounters", by, func(app *App, state *State) (bool, error) {
		if !app.Swept.IsZero() || !state.IsGone() {
			return false, nil
		}
		app.Swept = s.Now()
		return true, nil
	})
}

// Gone says that an app is deleted or reclaimed, and since when. It wraps
// ErrAppNotFound.
func Gone(state *State) error {
	what := "deleted"
	if state.Stage == Reclaimed {
		what = "suspended for so long that its data was reclaimed"
	}
	return fmt.Errorf("%w any more: it was %s, at %s", ErrAppNotFound, what, state.Since.UTC().Format(time.RFC3339))
}

// updateAttempts bounds how often a change is tried against others: each time
// one of them succeeds, so that as many can be made at once.
const updateAttempts = 64

// edit changes a record and reports whether anything is different.
type edit func(*App, *State) (bool, error)

// update is change for an app that is not gone.
func (s *Apps) update(ctx context.Context, id uint32, action string, by Origin, do edit) (*App, error) {
	return s.change(ctx, id, action, by, func(app *App, state *State) (bool, error) {
		if state.IsGone() {
			return false, Gone(state)
		}
		return do(app, state)
	})
}

// change changes an app's record.
func (s *Apps) change(ctx context.Context, id uint32, action string, by Origin, do edit) (*App, error) {
	return s.edit(ctx, id, action, by, s.Registry.UpdateApp, do)
}

// edit changes an app's record and has it written by write.
func (s *Apps) edit(ctx context.Context, id uint32, action string, by Origin, write func(context.Context, *App, Event) error, do edit) (*App, error) {
	for range updateAttempts {
		current, err := s.App(ctx, id)
		if err != nil {
			return nil, err
		}
		if known, err := current.Remembered(by.Change); known || err != nil {
			return current, err
		}
		state, err := s.State(ctx, current)
		if err != nil {
			return nil, err
		}
		app := current.Clone()
		changed, err := do(app, state)
		if err != nil {
			return nil, ForApp(id, err)
		}
		if !changed && by.RequestID == "" {
			return current, nil
		}
		// A request that changes nothing is remembered too: repeated later, it
		// must not undo what was changed since.
		app.Changes = remember(app.Changes, by.Change, s.Now())
		app.Changed = later(app.Changed, s.Now())
		event, err := by.Event(action, s.Now(), current, app)
		if err != nil {
			return nil, err
		}
		err = write(ctx, app, event)
		switch {
		case err == nil:
			return app, nil
		case !errors.Is(err, ErrConflict):
			return nil, ForApp(id, err)
		}
	}
	return nil, ForApp(id, ErrConflict)
}
