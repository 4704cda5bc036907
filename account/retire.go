package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

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

// Bounds of App.Disabled: spells are kept for as long as monthly totals are.
const (
	spellsKept   = 32
	spellKeptFor = 400 * 24 * time.Hour
)

// Enable ends what Disable began.
func (s *Apps) Enable(ctx context.Context, id uint32, by Origin) (*App, error) {
	return s.Update(ctx, id, "EnableApp", by, func(app *App, state *State) (bool, error) {
		spell := app.disabledNow()
		if spell == nil {
			return false, nil
		}
		spell.Until = s.Now()
		// What is over matters as long as the suspension that it is a part of
		// goes on: since when, they have in common. And as long as months are
		// billed in which the app was not in service.
		if state.IsOnly(Disabled) {
			app.Disabled = slices.DeleteFunc(app.Disabled, func(past Spell) bool {
				return !past.From.Before(past.Until) || s.Now().Sub(past.Until) > spellKeptFor
			})
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
		// By the rules of another catalog its data might go too early.
		if _, err := app.CatalogIn(s.Catalog()); err != nil && app.Reclaimed.IsZero() {
			return false, err
		}
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
	if err == nil && isDue(state) {
		return app, nil
	}
	// Whoever comes next looks again.
	undone, undoErr := s.change(ctx, id, "ReclaimApp", Origin{}, func(app *App, _ *State) (bool, error) {
		app.Reclaimed = time.Time{}
		return true, nil
	})
	return undone, cmp.Or(err, undoErr)
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
	return fmt.Errorf("%w any more: it was %s, at %s", ErrAppNotFound, state.Fate(), state.Since.UTC().Format(time.RFC3339))
}
