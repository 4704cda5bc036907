package backup

import (
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// entryLine is a quota.Entry as it is written.
type entryLine struct {
	Kind string `json:"kind"`
	// ID is of the user or group, or Bytes where those are no text.
	ID    string `json:"id,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`

	Registered bool   `json:"registered,omitempty"`
	Month      string `json:"month,omitempty"` // such as 2024-06

	Type    string `json:"type,omitempty"`
	Day     string `json:"day,omitempty"` // such as 2024-06-15; none: not known
	Members int64  `json:"members,omitempty"`

	Quota  string        `json:"quota,omitempty"`
	Scope  catalog.Scope `json:"scope,omitempty"`
	Window catalog.Kind  `json:"window,omitempty"`
	Start  time.Time     `json:"start,omitzero"` // of the window, or of the month of a peak
	End    time.Time     `json:"end,omitzero"`
	Used   int64         `json:"used,omitempty"`
}

// The kinds of entries.
const (
	kindUser      = "user"
	kindGroup     = "group"
	kindDissolved = "dissolved"
	kindCounter   = "counter"
	kindPeak      = "peak"
)

func encodeEntry(e *quota.Entry) entryLine {
	var l entryLine
	if utf8.ValidString(e.ID) {
		l.ID = e.ID
	} else {
		l.Bytes = []byte(e.ID)
	}
	switch e.Kind {
	case quota.EntryUser:
		l.Kind, l.Registered = kindUser, e.Registered
		if e.Month != quota.NeverActive {
			l.Month = fmt.Sprintf("%04d-%02d", e.Month/12, e.Month%12+1)
		}
	case quota.EntryGroup:
		l.Kind, l.Type, l.Members = kindGroup, string(rune(e.Group.Type)), e.Group.Members
		if e.Group.Day != quota.NoDay {
			l.Day = encodeDay(e.Group.Day)
		}
	case quota.EntryDissolved:
		l.Kind, l.Day = kindDissolved, encodeDay(e.Day)
	case quota.EntryCounter:
		c := &e.Counter
		l.Kind, l.Quota, l.Scope, l.Used = kindCounter, c.Quota, c.Scope, e.Used
		if !c.Window.IsStock() {
			l.Window, l.Start, l.End = c.Window.Kind, c.Window.Start.UTC(), c.Window.End.UTC()
		}
	case quota.EntryPeak:
		l.Kind, l.Start, l.Used = kindPeak, e.Start.UTC(), e.Used
	}
	return l
}

const secondsOfDay = 24 * 60 * 60

func encodeDay(day int32) string {
	return time.Unix(int64(day)*secondsOfDay, 0).UTC().Format(time.DateOnly)
}

func decodeDay(text string) (int32, error) {
	at, err := time.Parse(time.DateOnly, text)
	return int32(at.Unix() / secondsOfDay), err
}

func decodeMonth(text string) (int32, error) {
	at, err := time.Parse("2006-01", text)
	return int32(at.Year()*12 + int(at.Month()) - 1), err
}

// Keys of quotas, as catalogs have them: they are parts of names in a store.
var quotaKey = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

// maxID bounds the ids of users and groups.
const maxID = 1 << 10

// decode returns the entry, if it is one that a store may keep.
func (l *entryLine) decode() (e quota.Entry, err error) {
	if e.ID = l.ID; len(l.Bytes) > 0 {
		e.ID = string(l.Bytes)
	}
	needsID := true
	switch l.Kind {
	case kindUser:
		err = l.decodeUser(&e)
	case kindGroup:
		err = l.decodeGroup(&e)
	case kindDissolved:
		e.Kind = quota.EntryDissolved
		e.Day, err = decodeDay(l.Day)
	case kindCounter:
		needsID = l.Scope != catalog.ScopeApp
		err = l.decodeCounter(&e)
	case kindPeak:
		needsID = false
		e.Kind, e.Start, e.Used = quota.EntryPeak, l.Start, l.Used
		if l.Start.IsZero() {
			err = errors.New("a peak without a month")
		}
	default:
		err = fmt.Errorf("an entry of kind %q", l.Kind)
	}
	switch {
	case err != nil:
	case len(e.ID) > maxID || (e.ID != "") != needsID || l.ID != "" && len(l.Bytes) > 0:
		err = fmt.Errorf("a %s of the id %q", l.Kind, e.ID)
	case l.Used > catalog.MaxLimit || l.Used < -catalog.MaxLimit || l.Members < 0 || l.Members > catalog.MaxLimit:
		err = fmt.Errorf("a %s of a count that is none", l.Kind)
	}
	return e, err
}

func (l *entryLine) decodeUser(e *quota.Entry) (err error) {
	e.Kind, e.Registered, e.Month = quota.EntryUser, l.Registered, quota.NeverActive
	if l.Month != "" {
		e.Month, err = decodeMonth(l.Month)
	} else if !l.Registered {
		err = errors.New("a user who is not registered and was never active")
	}
	return err
}

func (l *entryLine) decodeGroup(e *quota.Entry) (err error) {
	if len(l.Type) != 1 || l.Type[0] < 'a' || l.Type[0] > 'z' {
		return fmt.Errorf("a group of type %q", l.Type)
	}
	e.Kind, e.Group = quota.EntryGroup, quota.GroupRecord{Found: true, Type: l.Type[0], Day: quota.NoDay, Members: l.Members}
	if l.Day != "" {
		e.Group.Day, err = decodeDay(l.Day)
	}
	return err
}

func (l *entryLine) decodeCounter(e *quota.Entry) error {
	isKind := l.Window == "" && l.Start.IsZero() || (l.Window == catalog.KindDay || l.Window == catalog.KindMonth) && l.Start.Before(l.End)
	switch {
	case !quotaKey.MatchString(l.Quota):
		return fmt.Errorf("a counter of quota %q", l.Quota)
	case l.Scope != catalog.ScopeApp && l.Scope != catalog.ScopeUser && l.Scope != catalog.ScopeGroup:
		return fmt.Errorf("a counter of scope %q", l.Scope)
	case !isKind:
		return fmt.Errorf("a counter of window %q from %v to %v", l.Window, l.Start, l.End)
	}
	e.Kind, e.Used, e.Counter = quota.EntryCounter, l.Used, quota.Counter{Quota: l.Quota, Scope: l.Scope}
	if l.Window != "" {
		e.Counter.Window = catalog.Window{Kind: l.Window, Start: l.Start, End: l.End}
	}
	return nil
}
