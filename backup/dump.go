package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Store is what a backup is made of, and restored into.
type Store interface {
	quota.Store
	account.Registry
}

// Dump makes backups of a store. Others may use it meanwhile.
type Dump struct {
	Store   Store
	Catalog *catalog.Snapshot // in force, with those that apps pin
	Now     func() time.Time
	// Progress is told how far the backup is, of ProgressTotal; nil: nobody is.
	Progress func(done int64)
	// Tell is told what the backup lacks, or has of several moments; nil: nobody is.
	Tell func(Notice)
}

// ProgressTotal is what Dump.Progress and Restoring.Progress end with.
const ProgressTotal = 1000

// Notice is something that an operator should know.
type Notice struct {
	App     uint32
	Account string
	Text    string
}

// Work at once.
const (
	appsOfPage     = 100
	accountsOfPage = 100
	entriesOfPart  = 2000
	eventsOfPage   = 500
)

const (
	// readings is how often an app is read that is counted on meanwhile.
	readings = 3
	// rereadings is how often it is begun with anew because its record changes.
	rereadings = 16
)

// errUnsettled ends the reading of an app that is changed all the time.
var errUnsettled = errors.New("its record is changed faster than it can be read")

// NewHeader describes a backup that is made now, of a store of this name, by this
// version of imquota.
func (d *Dump) NewHeader(store, version string) Header {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return Header{
		ID: hex.EncodeToString(id[:]), Imquota: version, Created: d.Now().UTC(), Store: store,
		Catalog: d.Catalog.Version(), Zone: d.Catalog.Zone().String(),
	}
}

// Write writes a backup. What cannot be read of one record alone is noted in it and
// told; any other error ends it.
func (d *Dump) Write(ctx context.Context, w io.Writer, h Header) (*End, error) {
	b, err := NewWriter(w, h)
	if err != nil {
		return nil, err
	}
	if err := d.accounts(ctx, b); err != nil {
		return nil, err
	}
	if err := d.apps(ctx, b); err != nil {
		return nil, err
	}
	end, err := b.End()
	if err == nil {
		d.progress(1)
	}
	return end, err
}

func (d *Dump) progress(part float64) {
	if d.Progress != nil {
		d.Progress(int64(part * ProgressTotal))
	}
}

// lacks notes what is not in the backup.
func (d *Dump) lacks(b *Writer, u Unreadable) error {
	if d.Tell != nil {
		d.Tell(Notice{App: u.App, Account: u.Account, Text: "cannot be read, and is not in the backup: " + u.Why})
	}
	return b.Unreadable(u)
}

// accounts writes the accounts that have a record.
func (d *Dump) accounts(ctx context.Context, b *Writer) error {
	seen := make(map[string]bool)
	for cursor := ""; ; {
		page, err := d.Store.WalkAccounts(ctx, cursor, accountsOfPage)
		if err != nil {
			return err
		}
		names := slices.DeleteFunc(page.Accounts, func(name string) bool { return seen[name] })
		slices.Sort(names)
		names = slices.Compact(names)
		for i, l := range d.Store.Accounts(ctx, names) {
			seen[names[i]] = true
			switch {
			case account.IsOfRecord(l.Err):
				err = d.lacks(b, Unreadable{Account: names[i], Why: l.Err.Error()})
			case l.Err != nil:
				return l.Err
			case l.Account.Version.Revision > 0:
				err = b.Account(l.Account)
			}
			if err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

// apps writes all apps.
func (d *Dump) apps(ctx context.Context, b *Writer) error {
	seen := make(map[uint32]bool)
	lines := &AppLines{}
	defer lines.Close() //nolint:errcheck // it was only for a moment
	var last account.Page
	for {
		page, err := d.Store.Walk(ctx, last.Next, appsOfPage)
		if err != nil {
			return err
		}
		slices.Sort(page.Apps)
		for i, id := range page.Apps {
			if seen[id] {
				continue
			}
			seen[id] = true
			r := &appReading{dump: d, lines: lines, id: id, progress: func(part float64) {
				from, width := float64(last.Done), float64(page.Done-last.Done)/float64(len(page.Apps))
				d.progress((from + width*(float64(i)+part)) / float64(max(1, page.Total)))
			}}
			if err := r.write(ctx, b); err != nil {
				return err
			}
		}
		if last = page; page.Next == "" {
			return nil
		}
	}
}

// appReading reads one app.
type appReading struct {
	dump     *Dump
	lines    *AppLines
	id       uint32
	progress func(part float64)
}

// write reads an app and adds it to the backup.
func (r *appReading) write(ctx context.Context, b *Writer) error {
	moved, err := r.read(ctx)
	var long *tooLongError
	switch {
	case errors.Is(err, account.ErrAppNotFound):
		return nil // its creation was undone
	case account.IsOfRecord(err), errors.Is(err, account.ErrUnknownCatalog), errors.Is(err, errUnsettled), errors.As(err, &long):
		return r.dump.lacks(b, Unreadable{App: r.id, Why: err.Error()})
	case err != nil:
		return account.ForApp(r.id, err)
	}
	if moved && r.dump.Tell != nil {
		r.dump.Tell(Notice{App: r.id, Text: "was counted while it was read: what it counted is of several moments"})
	}
	return b.App(r.lines)
}

// read reads the app until nothing was counted while it did, some times. It reports
// whether something was.
func (r *appReading) read(ctx context.Context) (moved bool, err error) {
	stale, away := 0, 0
	for attempt := 0; attempt < readings; {
		moved, err := r.readOnce(ctx)
		switch {
		case errors.Is(err, quota.ErrStale):
			if stale++; stale > rereadings {
				return false, errUnsettled
			}
		case account.IsAway(err) && away < readings && ctx.Err() == nil:
			away++ // long work is not to end with one answer that did not come
		case err != nil || !moved:
			return false, err
		default:
			attempt++
		}
	}
	return true, nil
}

// readOnce reads the app as one record of it says.
func (r *appReading) readOnce(ctx context.Context) (moved bool, err error) {
	app, err := r.dump.Store.App(ctx, r.id)
	if err != nil {
		return false, err
	}
	counters, err := r.counters(app)
	if err != nil {
		return false, err
	}
	if err := r.lines.Begin(app); err != nil {
		return false, err
	}
	if err := r.events(ctx, app); err != nil {
		return false, err
	}
	e := quota.Export{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Counters: counters, Limit: entriesOfPart}
	var first uint64
	for part := 0; ; part++ {
		out, err := r.dump.Store.Export(ctx, e)
		if err != nil {
			return false, err
		}
		if part == 0 {
			first = out.Sequence
		}
		if err := r.lines.Entries(out.Entries); err != nil {
			return false, err
		}
		r.progress(float64(out.Done) / float64(max(1, out.Total)))
		if e.From = out.Next; e.From == "" {
			moved = out.Sequence != first
			return moved, r.lines.Done(moved)
		}
	}
}

// counters are what the app counts by any catalog that it may have gone by.
func (r *appReading) counters(app *account.App) ([]quota.Counter, error) {
	inForce, now := r.dump.Catalog, r.dump.Now()
	own, err := app.CatalogIn(inForce)
	if err != nil && !app.IsNotedGone() {
		return nil, err
	}
	counters := quota.CountersOf(inForce, now)
	if own != nil && own != inForce {
		for _, c := range quota.CountersOf(own, now) {
			if !slices.Contains(counters, c) {
				counters = append(counters, c)
			}
		}
	}
	return counters, nil
}

// events reads the app's log up to its record's revision.
func (r *appReading) events(ctx context.Context, app *account.App) error {
	for before := app.Version.Revision + 1; ; {
		page, err := r.dump.Store.Events(ctx, app.ID, before, eventsOfPage)
		if err != nil {
			return err
		}
		if err := r.lines.Events(page); err != nil {
			return err
		}
		if len(page) < eventsOfPage {
			return nil
		}
		before = page[len(page)-1].Revision
	}
}
