package boltstore

import (
	"context"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// Accounts implements account.Registry.
func (s *Store) Accounts(ctx context.Context, names []string) []account.LoadedAccount {
	loaded := make([]account.LoadedAccount, len(names))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		for i, name := range names {
			loaded[i].Account, loaded[i].Err = readAccount(tx, name)
		}
		return nil
	})
	if err != nil {
		for i := range loaded {
			loaded[i] = account.LoadedAccount{Err: err}
		}
	}
	return loaded
}

// readAccount reads an account, which need not have a record.
func readAccount(tx *bolt.Tx, name string) (*account.Account, error) {
	stored, err := decodeOwner(tx.Bucket(ownersBucket).Get([]byte(name)))
	if err != nil {
		return nil, account.DamagedAccount(name)
	}
	found := &account.Account{ID: name}
	if stored.record != nil {
		if found, err = account.DecodeAccount(name, stored.record, stored.version); err != nil {
			return nil, err
		}
	}
	found.Apps, found.Deleted = places(tx, accountsBucket, name), places(tx, goneBucket, name)
	return found, nil
}

// UpdateAccount implements account.Registry.
func (s *Store) UpdateAccount(ctx context.Context, a *account.Account) error {
	record, err := account.EncodeAccount(a)
	if err != nil {
		return err
	}
	updated := a.Version.Next()
	err = s.change(ctx, account.Subject{Account: a.ID}, func(tx *bolt.Tx) error {
		owners := tx.Bucket(ownersBucket)
		stored, err := decodeOwner(owners.Get([]byte(a.ID)))
		switch {
		case err != nil:
			return answer{account.DamagedAccount(a.ID)}
		case stored.version != a.Version:
			return answer{account.ErrConflict}
		}
		return owners.Put([]byte(a.ID), encodeOwner(owner{updated, record}))
	})
	if err == nil {
		a.Version = updated
	}
	return err
}

// WalkAccounts implements account.Registry. The cursor is the last account that was
// listed.
func (s *Store) WalkAccounts(ctx context.Context, cursor string, limit int) (account.OwnerPage, error) {
	limit = min(max(limit, 1), keysOfView)
	var page account.OwnerPage
	err := s.view(ctx, func(tx *bolt.Tx) error {
		page = account.OwnerPage{}
		c := tx.Bucket(ownersBucket).Cursor()
		k, _ := c.Seek([]byte(cursor))
		if string(k) == cursor && cursor != "" {
			k, _ = c.Next()
		}
		for ; k != nil; k, _ = c.Next() {
			if len(page.Accounts) == limit {
				page.Next = page.Accounts[limit-1]
				break
			}
			page.Accounts = append(page.Accounts, string(k))
		}
		return nil
	})
	return page, err
}
