package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imquota/imquota/backup"
)

type storeRestoreCmd struct {
	storeFlag
	catalogsFlag
	outputFlag
	actorFlag
	File   string   `arg:"" help:"The file to read, compressed or not; - for standard input."`
	App    []uint32 `help:"Restore this app and its account alone; may be repeated." placeholder:"ID"`
	DryRun bool     `help:"Check the file and say what would be restored; write nothing."`
}

// Help is printed below the summary.
func (*storeRestoreCmd) Help() string {
	return `Restores a backup into a Redis that is initialised (imquota store init), or into an
embedded store, which is made if there is none.
The file is checked to its end before anything is written. An app or account that is
there already stays as it is; unless it came from this backup it is named, and the
exit code is 1; the rest is restored. An app is answered about once all of it is
there: stopped, the command can be run again and goes on. Redis may be in use
meanwhile; nothing may serve from an embedded store.

An app goes on at the revision it had, with its whole log and an entry more. Its
registered users, and those active in the month of the backup, are counted anew.
Counters of days that are over are left out. Not in a backup are quotes, request ids,
reservations and who is online.`
}

// Run carries the command out.
func (c *storeRestoreCmd) Run(ctx context.Context, s *streams) error {
	cat, err := c.loadAll()
	if err != nil {
		return err
	}
	file, err := openInput(c.File)
	if err != nil {
		return err
	}
	defer file.Close()                           //nolint:errcheck // it was only read
	checked, err := backup.Check(file, c.App...) // before an embedded store is made
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	open := c.openThere
	if !c.DryRun {
		open = func(ctx context.Context) (store, error) {
			s, _, err := c.open(ctx)
			return s, err
		}
	}
	opened, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	if isNew(opened) {
		_, _ = fmt.Fprintf(s.err, "%s, %s\n", newStore, opened)
	}
	if err := opened.Ready(ctx); err != nil {
		return err
	}
	r := &backup.Restoring{
		Store: opened, Catalog: cat, Now: time.Now, Actor: c.actor(), DryRun: c.DryRun,
		Progress: promille(s.err), Tell: s.tell,
	}
	restored, err := r.Run(ctx, checked)
	if err != nil {
		_, _ = fmt.Fprintf(s.err, "%s%s so far; run the command again to go on\n", wipe(s.err), summary(restored, c.DryRun))
		if ctx.Err() != nil {
			return errors.New("stopped")
		}
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := c.print(s.out, fmt.Sprintf("%s: %s", opened, summary(restored, c.DryRun)), struct {
		Store  string `json:"store"`
		DryRun bool   `json:"dryRun,omitempty"`
		*backup.Restored
	}{opened.String(), c.DryRun, restored}); err != nil {
		return err
	}
	switch conflicts := int64(len(restored.ConflictingApps) + len(restored.Conflicting)); {
	case len(restored.Missing) > 0:
		return fmt.Errorf("not in the backup: app %d", restored.Missing[0])
	case conflicts > 0:
		return fmt.Errorf("%s left as found, named above", number(conflicts, "record"))
	}
	return nil
}

// summary says what came of a restoration, or would.
func summary(r *backup.Restored, dryRun bool) string {
	verb := "restored"
	if dryRun {
		verb = "would be restored"
	}
	text := fmt.Sprintf("%s, %s, %s, %s %s", number(r.Accounts, "account")+withBills, number(r.Apps, "app"), number(r.Users, "user"), number(r.Entries, "entry"), verb)
	if r.AccountsThere+r.AppsThere > 0 {
		text += fmt.Sprintf("; %s and %s were there already", number(r.AccountsThere, "account"), number(r.AppsThere, "app"))
	}
	return text
}
