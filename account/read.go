package account

import (
	"context"
	"slices"
)

// Readable reads those apps of a walk that can be read, in the sequence of their
// ids; what is wrong with one keeps no other from being read.
func Readable(ctx context.Context, r AppRegistry, ids []uint32) (apps []*App, err error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for i, l := range r.Load(ctx, ids) {
		switch {
		case IsOfRecord(l.Err):
		case l.Err != nil:
			return nil, ForApp(ids[i], l.Err)
		default:
			apps = append(apps, l.App)
		}
	}
	return apps, nil
}

// Owners reads those accounts of apps that can be read, by their ids.
func Owners(ctx context.Context, r OwnerRegistry, apps []*App) (map[string]*Account, error) {
	names := make([]string, len(apps))
	for i, app := range apps {
		names[i] = app.Account
	}
	slices.Sort(names)
	names = slices.Compact(names)
	owners := make(map[string]*Account, len(names))
	for i, l := range r.Accounts(ctx, names) {
		switch {
		case IsOfRecord(l.Err):
		case l.Err != nil:
			return nil, forAccount(names[i], l.Err)
		default:
			owners[names[i]] = l.Account
		}
	}
	return owners, nil
}

// OwnerOf reads the account of an app.
func OwnerOf(ctx context.Context, r OwnerRegistry, app *App) (*Account, error) {
	loaded := r.Accounts(ctx, []string{app.Account})[0]
	if loaded.Err != nil {
		return nil, forAccount(app.Account, loaded.Err)
	}
	return loaded.Account, CheckOwner(app, loaded.Account)
}
