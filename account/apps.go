package account

import (
	"context"
	"errors"
	"fmt"
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
	// ErrUnknownEdition says that the catalog does not define the edition that an
	// app has.
	ErrUnknownEdition = errors.New("the catalog does not define the app's edition")
)

// App reads an app, deleted or not. Errors: those of Registry.App.
func (s *Apps) App(ctx context.Context, id uint32) (*App, error) {
	app, err := s.Registry.App(ctx, id)
	return app, ForApp(id, err)
}

// State reads how an app stands, for which its account is read.
func (s *Apps) State(ctx context.Context, app *App) (*State, error) {
	owner, err := OwnerOf(ctx, s.Registry, app)
	if err != nil {
		return nil, err
	}
	return app.StateNow(s.Now(), owner, s.Catalog()), nil
}

// Approve approves a feature. The first approval holds.
func (s *Apps) Approve(ctx context.Context, id uint32, feature string, at time.Time, by Origin) (*App, error) {
	return s.Update(ctx, id, "ApproveFeature", by, func(app *App, _ *State) (bool, error) {
		if _, ok := app.Approvals[feature]; ok {
			return false, nil
		}
		return true, s.approve(app, "", Grant{feature, at})
	})
}

// approve checks an approval and notes it. Its fields are below the path.
func (s *Apps) approve(app *App, path string, g Grant) error {
	if err := s.checkApproved(app, path, g.Key); err != nil {
		return err
	}
	return set(&app.Approvals, path+"approve_time", g, s.Now())
}

func (s *Apps) checkApproved(app *App, path, feature string) error {
	cat, err := app.CatalogIn(s.Catalog())
	if err != nil {
		return err
	}
	f, ok := cat.Feature(feature)
	switch {
	case !ok:
		return unknown(path+"feature", "feature", feature, cat.FeatureNames())
	case f.Approval == nil:
		return &InvalidError{path + "feature", feature + " needs no approval"}
	}
	return nil
}

// Revoke takes an approval back. One of a feature that the catalog does not name
// any more can be taken back too.
func (s *Apps) Revoke(ctx context.Context, id uint32, feature string, by Origin) (*App, error) {
	return s.Update(ctx, id, "RevokeFeature", by, func(app *App, _ *State) (bool, error) {
		if _, ok := app.Approvals[feature]; !ok {
			return false, s.checkApproved(app, "", feature)
		}
		delete(app.Approvals, feature)
		return true, nil
	})
}

// Activate starts the trial of an add-on, once an app.
func (s *Apps) Activate(ctx context.Context, id uint32, addOn string, by Origin) (*App, error) {
	return s.Update(ctx, id, "ActivateAddOn", by, func(app *App, state *State) (bool, error) {
		if at, ok := app.AddOns[addOn]; ok {
			return false, fmt.Errorf("%s, at %s: %w", addOn, at.UTC().Format(time.RFC3339), ErrAddOnActive)
		}
		return true, s.activate(app, state.Edition, "", Grant{Key: addOn})
	})
}

// activate is approve for an add-on.
func (s *Apps) activate(app *App, edition, path string, g Grant) error {
	cat, err := app.CatalogIn(s.Catalog())
	if err != nil {
		return err
	}
	a, ok := cat.AddOn(g.Key)
	switch {
	case !ok:
		return unknown(path+"add_on", "add-on", g.Key, cat.AddOnNames())
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
	return s.Update(ctx, id, "SetLimitOverride", by, func(app *App, _ *State) (bool, error) {
		before, isSet := app.Overrides[quota]
		cat, err := app.CatalogIn(s.Catalog())
		if err != nil {
			return false, err
		}
		_, isKnown := cat.Quota(quota)
		switch {
		case !isKnown && (o != nil || !isSet):
			return false, unknown("quota", "quota", quota, cat.QuotaNames())
		case o == nil:
			delete(app.Overrides, quota)
			return isSet, nil
		case !o.InForce(s.Now()):
			return false, &InvalidError{"end_time", "is not in the future"}
		}
		if app.Overrides == nil {
			app.Overrides = make(map[string]Override)
		}
		if isSet && before.Limit == o.Limit && before.Until.Equal(o.Until) {
			return false, nil
		}
		app.Overrides[quota] = Override{Limit: o.Limit, From: s.Now(), Until: o.Until}
		return true, nil
	})
}

// SetRenewal says what happens when the app's plan ends.
func (s *Apps) SetRenewal(ctx context.Context, id uint32, r Renewal, by Origin) (*App, error) {
	r = r.WithDefaults(s.Catalog().Account())
	return s.Update(ctx, id, "SetRenewal", by, func(app *App, _ *State) (bool, error) {
		if len(app.Orders) == 0 {
			return false, ErrNoOrder
		}
		before := app.Renewal
		app.Renewal = r
		return before != r, nil
	})
}

// MigrateBilling moves an app from the legacy billing mode to prepaid plans. One
// that is there already stays there. Errors: ErrUnknownEdition when the catalog in
// force does not define what the app has.
func (s *Apps) MigrateBilling(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.Update(ctx, id, "MigrateBilling", by, func(app *App, state *State) (bool, error) {
		if !app.IsLegacy(s.Catalog().Account()) {
			return false, nil
		}
		// There is no way back: what it has must be there.
		editions := []string{state.Edition}
		for i := range app.Orders {
			if o := &app.Orders[i]; o.IsLeft(s.Now()) {
				editions = append(editions, o.LastEdition())
			}
		}
		for _, edition := range editions {
			if _, ok := s.Catalog().Edition(edition); !ok {
				return false, fmt.Errorf("edition %q, catalog %q: %w", edition, s.Catalog().Version(), ErrUnknownEdition)
			}
		}
		app.Migrated, app.Catalog = s.Now(), ""
		return true, nil
	})
}

// updateAttempts bounds how often a change is tried against others: each time
// one of them succeeds, so that as many can be made at once.
const updateAttempts = 64

// Edit changes a record and reports whether anything is different.
type Edit func(*App, *State) (bool, error)

// Update changes the record of an app that is not gone, in one step with the
// entry of the app's log. do may be called again, with the record as it is then.
// A request that is known changes nothing. Errors: those of do, of
// Registry.UpdateApp, ErrRequestReused, and ErrAppNotFound for an app that is
// gone.
func (s *Apps) Update(ctx context.Context, id uint32, action string, by Origin, do Edit) (*App, error) {
	return s.change(ctx, id, action, by, func(app *App, state *State) (bool, error) {
		if state.IsGone() {
			return false, Gone(state)
		}
		return do(app, state)
	})
}

// change changes an app's record.
func (s *Apps) change(ctx context.Context, id uint32, action string, by Origin, do Edit) (*App, error) {
	return s.edit(ctx, id, action, by, s.Registry.UpdateApp, do)
}

// edit changes an app's record and has it written by write.
func (s *Apps) edit(ctx context.Context, id uint32, action string, by Origin, write func(context.Context, *App, Event) error, do Edit) (*App, error) {
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
