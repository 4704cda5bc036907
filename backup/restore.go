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

// Restoring restores a backup into a store. It may be run again where it broke off.
//
// An app is there from the moment on at which its record is, which is written last:
// until then nobody is told what it may do, rather than by half its counters.
type Restoring struct {
	Store   Store
	Catalog *catalog.Snapshot
	Now     func() time.Time
	Actor   string          // who is noted in the log of each app
	Only    map[uint32]bool // apps; nil: all
	DryRun  bool            // only look
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
	Missing         []uint32 `json:"missing,omitempty"` // of Only: not in the backup
}

// Check reads a whole backup, and answers what it is and holds. Errors: a *LineError.
func Check(from io.Reader) (Header, *End, error) { return check(from, func(*Part) {}) }

func check(from io.Reader, see func(*Part)) (Header, *End, error) {
	r, err := NewReader(from)
	if err != nil {
		return Header{}, nil, err
	}
	for {
		p, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return r.Header, r.End, nil
		case err != nil:
			return Header{}, nil, err
		}
		see(p)
	}
}

// restoration is one run.
type restoration struct {
	*Restoring

	header   Header
	total    int64           // entries of the file
	read     int64           // of them
	owners   map[string]bool // to restore; nil: all
	restored Restored
	app      *appRestoration
	found    map[uint32]bool // of Only
}

// Run checks a backup and then restores it. Errors: a *LineError, those of a
// Registry and a Store. Beside an error it answers what was restored.
func (s *Restoring) Run(ctx context.Context, from io.ReadSeeker) (*Restored, error) {
	r := &restoration{Restoring: s, found: make(map[uint32]bool)}
	if s.Only != nil {
		r.owners = make(map[string]bool)
	}
	header, end, err := check(from, func(p *Part) {
		if p.App != nil && s.Only[p.App.ID] {
			r.found[p.App.ID], r.owners[p.App.Account] = true, true
		}
	})
	if err != nil {
		return &r.restored, err
	}
	r.header, r.total = header, end.Entries
	if zone := s.Catalog.Zone().String(); zone != header.Zone {
		return &r.restored, fmt.Errorf("days of the backup begin in %s, and those of the catalog in %s: name the catalog that the backup was made with", header.Zone, zone)
	}
	for id := range s.Only {
		if !r.found[id] {
			r.restored.Missing = append(r.restored.Missing, id)
		}
	}
	slices.Sort(r.restored.Missing)
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return &r.restored, err
	}
	again, err := NewReader(from)
	if err != nil {
		return &r.restored, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return &r.restored, err
		}
		p, err := again.Next()
		switch {
		case errors.Is(err, io.EOF):
			if again.End.SHA256 != end.SHA256 {
				return &r.restored, errors.New("the file was replaced while it was restored: run it again")
			}
			r.progress(1)
			return &r.restored, nil
		case err != nil:
			return &r.restored, err
		}
		if err := r.part(ctx, p); err != nil {
			return &r.restored, err
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
		r.progress(float64(r.read) / float64(max(1, r.total)))
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
	if r.owners != nil && !r.owners[owner.ID] {
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
