package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Restoring restores backups into a store. A restoration may be run again where it
// broke off.
//
// An app is there from the moment on at which its record is, which is written last:
// until then nobody is told what it may do, rather than by half its counters.
type Restoring struct {
	Store   Store
	Catalog *catalog.Snapshot
	Now     func() time.Time
	Actor   string // who is noted in the log of each app
	DryRun  bool   // only look
	// Progress is told how much was restored, of ProgressTotal; nil: nobody is.
	Progress func(done int64)
	// Tell is told what was not restored; nil: nobody is.
	Tell func(Notice)
}

// Restored is what came of it.
type Restored struct {
	Accounts        int64    `json:"accounts"` // restored, as all that follow unless they say otherwise
	AccountsThere   int64    `json:"accountsThere"`
	Apps            int64    `json:"apps"`
	AppsThere       int64    `json:"appsThere"` // by this backup before
	Users           int64    `json:"users"`
	Entries         int64    `json:"entries"`
	ConflictingApps []uint32 `json:"conflictingApps,omitempty"` // of others: they stay as they are
	Conflicting     []string `json:"conflictingAccounts,omitempty"`
	Moved           []uint32 `json:"moved,omitempty"`   // apps that were counted while they were backed up
	Missing         []uint32 `json:"missing,omitempty"` // apps that were asked for, and are not in the backup
}

// Checked is a backup that is known to be whole.
type Checked struct {
	Header Header
	End    *End

	from   io.ReadSeeker
	apps   map[uint32]bool // to restore, and whether they are there; nil: all
	owners map[string]bool // of them
}

// Check reads a backup to its end. Of several apps it is to restore only these; of
// none, all. Errors: a *LineError.
func Check(from io.ReadSeeker, apps ...uint32) (*Checked, error) {
	c := &Checked{from: from}
	if len(apps) > 0 {
		c.apps, c.owners = make(map[uint32]bool), make(map[string]bool)
	}
	for _, id := range apps {
		c.apps[id] = false
	}
	r, err := NewReader(from)
	if err != nil {
		return nil, err
	}
	c.Header = r.Header
	for {
		p, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.End = r.End
			return c, nil
		case err != nil:
			return nil, err
		}
		if p.App == nil {
			continue
		}
		if _, ok := c.apps[p.App.ID]; ok {
			c.apps[p.App.ID], c.owners[p.App.Account] = true, true
		}
	}
}

// wants reports whether an app is to be restored.
func (c *Checked) wants(app uint32) bool { return c.apps == nil || c.apps[app] }

// missing are the apps that were asked for and are not in the backup.
func (c *Checked) missing() (missing []uint32) {
	for id, isThere := range c.apps {
		if !isThere {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing
}

// restoration is one run.
type restoration struct {
	*Restoring

	file     *Checked
	read     int64 // entries of the file
	restored Restored
	app      *appRestoration
}

// Run restores a backup. Errors: a *LineError, those of a Registry and a Store.
// Beside an error it answers what was restored.
func (s *Restoring) Run(ctx context.Context, file *Checked) (*Restored, error) {
	r := &restoration{Restoring: s, file: file, restored: Restored{Missing: file.missing()}}
	return &r.restored, r.run(ctx)
}

func (r *restoration) run(ctx context.Context) error {
	if zone := r.Catalog.Zone().String(); zone != r.file.Header.Zone {
		return fmt.Errorf("days of the backup begin in %s, and those of the catalog in %s: name the catalog that was served", r.file.Header.Zone, zone)
	}
	if _, err := r.file.from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	again, err := NewReader(r.file.from)
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := again.Next()
		switch {
		case errors.Is(err, io.EOF):
			if again.End.SHA256 != r.file.End.SHA256 {
				return errors.New("the file was replaced while it was restored")
			}
			r.progress(1)
			return nil
		case err != nil:
			return err
		}
		if err := r.part(ctx, p); err != nil {
			return err
		}
	}
}

func (r *restoration) progress(part float64) {
	if r.Progress != nil {
		r.Progress(int64(part * ProgressTotal))
	}
}

func (r *restoration) tell(n Notice) {
	if r.Tell != nil {
		r.Tell(n)
	}
}

func (r *restoration) part(ctx context.Context, p *Part) (err error) {
	switch {
	case p.Account != nil:
		return r.account(ctx, p.Account)
	case p.App != nil:
		r.app, err = r.beginApp(ctx, p.App)
		return err
	case p.Unreadable != nil:
		r.tell(Notice{p.Unreadable.App, p.Unreadable.Account, "is not in the backup: " + p.Unreadable.Why})
		return nil
	}
	if r.read += int64(len(p.Entries)); len(p.Entries) > 0 {
		r.progress(float64(r.read) / float64(max(1, r.file.End.Entries)))
	}
	switch {
	case r.app == nil: // it is left out
		return nil
	case p.Done != nil:
		app := r.app
		r.app = nil
		return app.end(ctx, p.Done)
	}
	r.app.log = append(r.app.log, p.Events...)
	return r.app.entries(ctx, p.Entries)
}

// account restores an account, unless there is one.
func (r *restoration) account(ctx context.Context, owner *account.Account) error {
	if r.file.owners != nil && !r.file.owners[owner.ID] {
		return nil
	}
	there := r.Store.Accounts(ctx, []string{owner.ID})[0]
	switch {
	case account.IsOfRecord(there.Err):
		r.conflictOf(owner.ID, "is there and cannot be read: "+there.Err.Error())
		return nil
	case there.Err != nil:
		return there.Err
	case there.Account.Version.Revision > 0:
		return r.compare(there.Account, owner)
	}
	if !r.DryRun {
		err := r.Store.UpdateAccount(ctx, owner)
		if errors.Is(err, account.ErrConflict) {
			r.conflictOf(owner.ID, "was made meanwhile; it stays as it is")
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.restored.Accounts++
	return nil
}

func (r *restoration) compare(there, owner *account.Account) error {
	have, err := account.EncodeAccount(there)
	if err != nil {
		return err
	}
	want, err := account.EncodeAccount(owner)
	if err != nil {
		return err
	}
	if string(have) == string(want) {
		r.restored.AccountsThere++
		return nil
	}
	r.conflictOf(owner.ID, "is there and differs from the backup; it stays as it is")
	return nil
}

func (r *restoration) conflictOf(name, text string) {
	r.restored.Conflicting = append(r.restored.Conflicting, name)
	r.tell(Notice{Account: name, Text: text})
}

func (r *restoration) conflict(id uint32, text string) {
	r.restored.ConflictingApps = append(r.restored.ConflictingApps, id)
	r.tell(Notice{App: id, Text: text})
}
