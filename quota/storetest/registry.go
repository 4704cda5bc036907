package storetest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// modelAccount is an account: its record, and which apps are in it.
type modelAccount struct {
	record        *account.Account
	apps, deleted map[uint32]bool
}

// owner returns an account, made if need be.
func (m *Model) owner(name string) *modelAccount {
	a := m.accounts[name]
	if a == nil {
		a = &modelAccount{record: &account.Account{ID: name}, apps: make(map[uint32]bool), deleted: make(map[uint32]bool)}
		m.accounts[name] = a
	}
	return a
}

// CreateApp implements account.Registry.
func (m *Model) CreateApp(_ context.Context, app *account.App, event account.Event, maxApps int, acceptLoss bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	owner := m.owner(app.Account)
	switch {
	case m.apps[app.ID] != nil:
		return account.ErrAppExists
	case acceptLoss:
		return account.ErrAppNotFound
	case len(owner.apps) >= maxApps:
		return account.ErrAccountFull
	}
	app.Version = account.FirstVersion()
	m.create(app, nil, event)
	return nil
}

// create makes an app, with what was restored of it before.
func (m *Model) create(app *account.App, log []account.Event, event account.Event) {
	event.Revision = app.Version.Revision
	m.owner(app.Account).apps[app.ID] = true
	a := m.restored[app.ID]
	if a == nil {
		a = newModelApp()
	}
	delete(m.restored, app.ID)
	a.record, a.events = app.Clone(), slices.Concat(log, []account.Event{event})
	m.apps[app.ID] = a
}

// RestoreApp implements account.Registry.
func (m *Model) RestoreApp(_ context.Context, app *account.App, log []account.Event, event account.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.apps[app.ID] != nil {
		return account.ErrAppExists
	}
	app.Version = app.Version.Next()
	m.create(app, account.KeptBefore(app.Version.Revision, log), event)
	if !app.Deleted.IsZero() {
		m.free(app)
	}
	return nil
}

func newModelApp() *modelApp {
	return &modelApp{
		known: make(map[string]bool), active: make(map[string]int32), groups: make(map[string]quota.GroupRecord), gone: make(map[string]int32),
		counters: make(map[modelCounter]int64), requests: make(map[[16]byte]remembered), holds: make(map[quota.HoldID]*modelHold),
	}
}

// App implements account.Registry.
func (m *Model) App(_ context.Context, id uint32) (*account.App, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.apps[id]; a != nil {
		return a.record, nil
	}
	return nil, account.ErrAppNotFound
}

// Load implements account.Registry.
func (m *Model) Load(ctx context.Context, ids []uint32) []account.Loaded {
	loaded := make([]account.Loaded, len(ids))
	for i, id := range ids {
		loaded[i].App, loaded[i].Err = m.App(ctx, id)
	}
	return loaded
}

// UpdateApp implements account.Registry.
func (m *Model) UpdateApp(_ context.Context, app *account.App, event account.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.update(app, event)
}

func (m *Model) update(app *account.App, event account.Event) error {
	a := m.apps[app.ID]
	switch {
	case a == nil:
		return account.ErrAppNotFound
	case a.record.Version != app.Version:
		return account.ErrConflict
	}
	app.Version = app.Version.Next()
	event.Revision = app.Version.Revision
	a.record = app.Clone()
	a.events = append(a.events, event)
	m.announce(account.Subject{App: app.ID})
	return nil
}

// DeleteApp implements account.Registry.
func (m *Model) DeleteApp(_ context.Context, app *account.App, event account.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.update(app, event); err != nil {
		return err
	}
	m.free(app)
	return nil
}

// FreePlace implements account.Registry.
func (m *Model) FreePlace(_ context.Context, app *account.App) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free(app)
	return nil
}

func (m *Model) free(app *account.App) {
	owner := m.owner(app.Account)
	delete(owner.apps, app.ID)
	owner.deleted[app.ID] = true
}

// Apps implements account.Registry.
func (m *Model) Apps(_ context.Context, name string, after uint32, limit int, deleted bool) ([]account.Loaded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := m.owner(name).apps
	if deleted {
		listed = m.owner(name).deleted
	}
	var ids []uint32
	for id := range listed {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var apps []account.Loaded
	for _, id := range ids[:min(limit, len(ids))] {
		apps = append(apps, account.Loaded{ID: id, App: m.apps[id].record})
	}
	return apps, nil
}

// Events implements account.Registry.
func (m *Model) Events(_ context.Context, id uint32, before uint64, limit int) ([]account.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.apps[id]
	if a == nil {
		return nil, account.ErrAppNotFound
	}
	var events []account.Event
	for _, e := range slices.Backward(a.events) {
		if len(events) < limit && (before == 0 || e.Revision < before) {
			events = append(events, e)
		}
	}
	return events, nil
}

// Accounts implements account.Registry.
func (m *Model) Accounts(_ context.Context, names []string) []account.LoadedAccount {
	m.mu.Lock()
	defer m.mu.Unlock()
	loaded := make([]account.LoadedAccount, len(names))
	for i, name := range names {
		owner := m.owner(name)
		record := owner.record.Clone()
		record.Apps, record.Deleted = len(owner.apps), len(owner.deleted)
		loaded[i].Account = record
	}
	return loaded
}

// UpdateAccount implements account.Registry.
func (m *Model) UpdateAccount(_ context.Context, owner *account.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.owner(owner.ID)
	if a.record.Version != owner.Version {
		return account.ErrConflict
	}
	owner.Version = owner.Version.Next()
	a.record = owner.Clone()
	m.announce(account.Subject{Account: owner.ID})
	return nil
}

// WalkAccounts implements account.Registry.
func (m *Model) WalkAccounts(_ context.Context, cursor string, limit int) (account.OwnerPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page account.OwnerPage
	for name, a := range m.accounts {
		if name > cursor && a.record.Version.Revision > 0 {
			page.Accounts = append(page.Accounts, name)
		}
	}
	slices.Sort(page.Accounts)
	if limit = max(1, limit); len(page.Accounts) > limit {
		page.Accounts = page.Accounts[:limit]
		page.Next = page.Accounts[limit-1]
	}
	return page, nil
}

// Walk implements account.Registry.
func (m *Model) Walk(_ context.Context, cursor string, limit int) (account.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	after, _ := strconv.ParseUint(cursor, 10, 32)
	page := account.Page{Total: int64(len(m.apps))}
	for id := range m.apps {
		if uint64(id) > after {
			page.Apps = append(page.Apps, id)
		}
	}
	slices.Sort(page.Apps)
	page.Done = page.Total - int64(len(page.Apps))
	if len(page.Apps) > limit {
		page.Apps = page.Apps[:limit]
		page.Next = strconv.FormatUint(uint64(page.Apps[limit-1]), 10)
	}
	page.Done += int64(len(page.Apps))
	return page, nil
}

// Watch implements account.Registry.
func (m *Model) Watch(ctx context.Context, w account.Watcher) {
	m.mu.Lock()
	m.watchers = append(m.watchers, w)
	w.Missed()
	w.Confirmed(time.Now().AddDate(100, 0, 0))
	m.mu.Unlock()
	<-ctx.Done()
}

func (m *Model) announce(s account.Subject) {
	for _, w := range m.watchers {
		w.Announced(s, time.Time{})
	}
}

// Sweep implements quota.Store.
func (m *Model) Sweep(_ context.Context, s quota.Sweep) (quota.Swept, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, version := m.apps[s.App], account.Version{}
	switch {
	case a != nil:
		version = a.record.Version
	case s.Version == version:
		delete(m.restored, s.App)
		return quota.Swept{}, nil
	}
	if version != s.Version {
		return quota.Swept{}, quota.ErrStale
	}
	removed := len(a.known) + len(a.groups)
	clear(a.known)
	clear(a.active)
	clear(a.groups)
	clear(a.gone)
	clear(a.requests)
	clear(a.online.gateways)
	for c := range a.counters {
		if !c.isTotal {
			removed++
			delete(a.counters, c)
		}
	}
	return quota.Swept{Removed: int64(removed)}, nil
}

// Lease implements quota.Store.
func (m *Model) Lease(context.Context, string, time.Duration) (bool, error) { return true, nil }
