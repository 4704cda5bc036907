package storetest

import (
	"context"
	"slices"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// CreateApp implements account.Registry.
func (m *Model) CreateApp(_ context.Context, app *account.App, maxApps int, acceptLoss bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.apps[app.ID] != nil:
		return account.ErrAppExists
	case acceptLoss:
		return account.ErrAppNotFound
	case len(m.accounts[app.Account]) >= maxApps:
		return account.ErrAccountFull
	case m.accounts[app.Account] == nil:
		m.accounts[app.Account] = make(map[uint32]bool)
	}
	app.Version = account.FirstVersion()
	m.accounts[app.Account][app.ID] = true
	m.apps[app.ID] = &modelApp{
		record: app.Clone(), known: make(map[string]bool), active: make(map[string]int32),
		groups: make(map[string]quota.GroupRecord), gone: make(map[string]int32), counters: make(map[modelCounter]int64), requests: make(map[[16]byte]remembered),
	}
	return nil
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
func (m *Model) UpdateApp(_ context.Context, app *account.App) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.apps[app.ID]
	switch {
	case a == nil:
		return account.ErrAppNotFound
	case a.record.Version != app.Version:
		return account.ErrConflict
	}
	app.Version = app.Version.Next()
	a.record = app.Clone()
	return nil
}

// Apps implements account.Registry.
func (m *Model) Apps(_ context.Context, name string, after uint32, limit int) ([]*account.App, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []uint32
	for id := range m.accounts[name] {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var apps []*account.App
	for _, id := range ids[:min(limit, len(ids))] {
		apps = append(apps, m.apps[id].record)
	}
	return apps, nil
}
