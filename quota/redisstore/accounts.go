package redisstore

import (
	"context"

	"github.com/imquota/imquota/account"
)

// Accounts implements account.Registry, in one step. That a store which lost
// everything has no records is no answer: its mark is read last.
func (s *Store) Accounts(ctx context.Context, names []string) []account.LoadedAccount {
	loaded := make([]account.LoadedAccount, len(names))
	if len(names) == 0 {
		return loaded
	}
	commands := make([]*command, 0, ownerCommands*len(names)+1)
	for _, name := range names {
		commands = append(commands, &command{args: []any{"hmget", s.ownerKey(name), "v", "r"}},
			&command{args: []any{"hlen", s.accountKey(name)}}, &command{args: []any{"hlen", s.goneKey(name)}})
	}
	mark := &command{args: []any{"hmget", s.storeKey(), "id"}}
	err := s.doAll(ctx, append(commands, mark))
	if err == nil {
		err = s.markOf(mark)
	}
	for i, name := range names {
		l := &loaded[i]
		if l.Err = err; err != nil {
			continue
		}
		l.Account, l.Err = decodeOwner(name, commands[ownerCommands*i:])
	}
	return loaded
}

// ownerCommands are what an account is read by: its record, the number of its
// places that are taken, the number of its deleted apps.
const ownerCommands = 3

func decodeOwner(name string, commands []*command) (*account.Account, error) {
	record, apps, deleted := commands[0], commands[1], commands[2]
	if account.IsOfRecord(record.err) {
		return nil, account.DamagedAccount(name)
	}
	for _, c := range commands[:ownerCommands] {
		if c.err != nil {
			return nil, c.err
		}
	}
	owner := &account.Account{ID: name}
	if found, _ := record.cmd.Val().([]any); len(found) == 2 && (found[0] != nil || found[1] != nil) {
		version, _ := found[0].(string)
		text, _ := found[1].(string)
		v, err := parseVersion(version)
		if err != nil {
			return nil, account.DamagedAccount(name)
		}
		if owner, err = account.DecodeAccount(name, []byte(text), v); err != nil {
			return nil, err
		}
	}
	owner.Apps, owner.Deleted = count(apps), count(deleted)
	return owner, nil
}

func count(c *command) int {
	n, _ := c.cmd.Val().(int64)
	return int(n)
}

// UpdateAccount implements account.Registry.
func (s *Store) UpdateAccount(ctx context.Context, owner *account.Account) error {
	record, err := account.EncodeAccount(owner)
	if err != nil {
		return err
	}
	expected := ""
	if owner.Version != (account.Version{}) {
		expected = versionText(owner.Version)
	}
	next := owner.Version.Next()
	reply, err := s.change(ctx, account.Subject{Account: owner.ID}, command{
		script: ownerScript, keys: []string{s.ownerKey(owner.ID)}, args: []any{expected, versionText(next), string(record)},
	})
	switch {
	case err != nil:
		return err
	case reply != changeMade:
		return account.ErrConflict
	}
	owner.Version = next
	return nil
}
