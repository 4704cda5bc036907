package backup

import (
	"encoding/json"
	"time"
)

// format is the version of the file's layout.
const format = 1

// Bounds of a file. A line that is longer than maxLine is refused: it would be held
// in memory.
const (
	maxLine       = 8 << 20
	entriesOfLine = 1000
	eventsOfLine  = 100
)

// Header says what a backup is. It is the first line.
type Header struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // drawn for each backup
	Imquota string    `json:"imquota"`
	Created time.Time `json:"created"`
	Store   string    `json:"store"`
	// Catalog is the version of the one in force, and Zone is where its days begin:
	// windows of another zone would be others.
	Catalog string `json:"catalog"`
	Zone    string `json:"zone"`
}

// line is one line of a file; one field is set.
type line struct {
	Header     *Header         `json:"header,omitempty"`
	Account    json.RawMessage `json:"account,omitempty"` // account.EncodeAccount
	AccountID  string          `json:"id,omitempty"`      // beside Account
	App        *appLine        `json:"app,omitempty"`
	Events     []eventLine     `json:"events,omitempty"`
	Entries    []entryLine     `json:"entries,omitempty"`
	Done       *Done           `json:"done,omitempty"`
	Unreadable *Unreadable     `json:"unreadable,omitempty"`
	End        *End            `json:"end,omitempty"`
}

// appLine begins an app: its events and entries follow, and then Done.
type appLine struct {
	ID       uint32          `json:"id"`
	Revision uint64          `json:"revision"`
	Record   json.RawMessage `json:"record"` // account.EncodeApp
}

// eventLine is an event of an app's log.
type eventLine struct {
	Revision uint64          `json:"revision"`
	Event    json.RawMessage `json:"event"`
}

// Done ends an app.
type Done struct {
	App     uint32 `json:"app"`
	Events  int64  `json:"events"`
	Entries int64  `json:"entries"`
	Users   int64  `json:"users"` // registered, of the entries
	// Moved: something was counted while the entries were read, each time it was
	// tried; they are of several moments.
	Moved bool `json:"moved,omitempty"`
}

// Unreadable is what could not be read, and so is not in the backup.
type Unreadable struct {
	App     uint32 `json:"app,omitempty"`
	Account string `json:"account,omitempty"`
	Why     string `json:"why"`
}

// End is the last line: that it is there says that the file is whole.
type End struct {
	Totals

	SHA256 string `json:"sha256"` // of all lines before, as they were before they were compressed
}

// Totals are what a backup holds.
type Totals struct {
	Accounts   int64 `json:"accounts"`
	Apps       int64 `json:"apps"`
	Events     int64 `json:"events"`
	Users      int64 `json:"users"` // registered
	Entries    int64 `json:"entries"`
	Moved      int64 `json:"moved"`      // apps
	Unreadable int64 `json:"unreadable"` // apps and accounts
}

func (t *Totals) add(d *Done) {
	t.Apps++
	t.Events += d.Events
	t.Entries += d.Entries
	t.Users += d.Users
	if d.Moved {
		t.Moved++
	}
}
