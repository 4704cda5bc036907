package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Export implements quota.Store: bucket by bucket, in the order of keys, some of
// them in a transaction.
func (s *Store) Export(ctx context.Context, e quota.Export) (quota.Exported, error) {
	place, err := parsePlace(e.From)
	if err != nil {
		return quota.Exported{}, err
	}
	x := &exporter{export: &e, place: place, left: min(max(1, e.Limit), keysOfView)}
	err = s.read(ctx, func(t *transaction) error {
		h, err := headerOf(t.headers().get(appKey(e.App)), e.App, e.Version)
		if err != nil {
			return err
		}
		x.out.Sequence = h.sequence
		return x.read(t)
	})
	if err != nil {
		return quota.Exported{}, err
	}
	if !x.isDone {
		x.out.Next = x.place.String()
	}
	return x.out, nil
}

// The buckets that are exported, in turn.
const (
	placeUsers = iota
	placeGroups
	placeCounters
	placeWindows
	placePeaks
	placesEnd
)

// exportPlace is where an export goes on: after a key of a bucket.
type exportPlace struct {
	bucket int
	window []byte // the name of the bucket of a window
	after  []byte // empty: from the beginning
}

// String returns the cursor.
func (p exportPlace) String() string {
	return fmt.Sprintf("%d.%s.%s", p.bucket, hex.EncodeToString(p.window), hex.EncodeToString(p.after))
}

// parsePlace reads a cursor, which callers hold meanwhile.
func parsePlace(cursor string) (p exportPlace, err error) {
	if cursor == "" {
		return p, nil
	}
	parts := strings.Split(cursor, ".")
	if len(parts) == 3 {
		p.bucket, err = strconv.Atoi(parts[0])
		if err == nil {
			p.window, err = hex.DecodeString(parts[1])
		}
		if err == nil {
			p.after, err = hex.DecodeString(parts[2])
		}
	}
	if err != nil || len(parts) != 3 || p.bucket < 0 || p.bucket >= placesEnd || p.String() != cursor {
		return exportPlace{}, &account.InvalidError{Field: "page_token", Description: "is no place in this export"}
	}
	return p, nil
}

// exporter is one part of an export.
type exporter struct {
	export *quota.Export
	place  exportPlace
	left   int // how many keys are looked at yet
	isDone bool
	out    quota.Exported
}

func (x *exporter) read(t *transaction) error {
	app := appKey(x.export.App)
	for ; x.place.bucket < placesEnd; x.place = (exportPlace{bucket: x.place.bucket + 1}) {
		var full bool
		var err error
		switch x.place.bucket {
		case placeUsers:
			full, err = x.keys(t.users(), app, x.user)
		case placeGroups:
			full, err = x.keys(t.groups(), app, x.group)
		case placeCounters:
			full, err = x.keys(t.counters(), app, func(k, v []byte) error { return x.counter(k, v, catalog.Window{}) })
		case placeWindows:
			full, err = x.windows(t, app)
		case placePeaks:
			err = x.peaks(t)
		}
		if err != nil || full {
			return err
		}
	}
	x.isDone = true
	return nil
}

// keys reads what follows in a table, and reports whether there may be more than
// this part has room for.
func (x *exporter) keys(b table, prefix []byte, take func(k, v []byte) error) (full bool, err error) {
	from := prefix
	if len(x.place.after) > 0 {
		from = x.place.after
	}
	for k, v := range b.from(from) {
		if !bytes.HasPrefix(k, prefix) {
			break
		}
		if bytes.Equal(k, x.place.after) {
			continue
		}
		if x.left == 0 {
			return true, nil
		}
		x.left--
		if err := take(k, v); err != nil {
			return false, err
		}
		x.place.after = bytes.Clone(k)
	}
	return false, nil
}

// windows reads the windows that are asked for, and the groups that were
// dissolved lately.
func (x *exporter) windows(t *transaction, app []byte) (full bool, err error) {
	wanted := make(map[string]catalog.Window)
	for i := range x.export.Counters {
		if w := x.export.Counters[i].Window; !w.IsStock() {
			wanted[string(windowKey(x.export.App, w))] = w
		}
	}
	names := keysOf(t.tx.Bucket(windowsBucket), app, int(^uint(0)>>1), func(k []byte) bool {
		_, ok := wanted[string(k)]
		return bytes.Compare(k, x.place.window) >= 0 && (ok || isGone(k))
	})
	for _, name := range names {
		if !bytes.Equal(name, x.place.window) {
			x.place.window, x.place.after = name, nil
		}
		w, isWindow := wanted[string(name)]
		full, err := x.keys(t.window(name), nil, func(k, v []byte) error {
			if isWindow {
				return x.counter(k, v, w)
			}
			if t.groups().get(append(app[:4:4], k...)) == nil { // else it was created again
				x.add(quota.Entry{Kind: quota.EntryDissolved, ID: string(k), Day: dayOfGone(name)})
			}
			return nil
		})
		if err != nil || full {
			return full, err
		}
	}
	return false, nil
}

func (x *exporter) add(e quota.Entry) { x.out.Entries = append(x.out.Entries, e) }

func (x *exporter) user(k, v []byte) error {
	id := string(k[4:])
	u, err := decodeUser(v)
	if err != nil {
		return corrupt("user", id)
	}
	x.add(quota.Entry{Kind: quota.EntryUser, ID: id, Registered: !u.deleted, Month: u.month})
	return nil
}

func (x *exporter) group(k, v []byte) error {
	id := string(k[4:])
	g, err := decodeGroup(v)
	if err != nil {
		return corrupt("group", id)
	}
	x.add(quota.Entry{Kind: quota.EntryGroup, ID: id, Group: g})
	return nil
}

// counter reads a counter of a window. One of a user or group is exported if it
// was asked for: whose it is, its key does not say.
func (x *exporter) counter(k, v []byte, w catalog.Window) error {
	name, subject, ok := parseCounterKey(k)
	n, err := decodeCount(v)
	if !ok || err != nil {
		return corrupt(name, subject)
	}
	at := slices.IndexFunc(x.export.Counters, func(c quota.Counter) bool {
		return c.Quota == name && c.Window == w && (c.Scope == catalog.ScopeApp) == (subject == "")
	})
	c := quota.Counter{Quota: name, Scope: catalog.ScopeApp, Window: w}
	switch {
	case at >= 0:
		c = x.export.Counters[at]
	case subject != "":
		return nil
	}
	x.add(quota.Entry{Kind: quota.EntryCounter, ID: subject, Counter: c, Used: n})
	return nil
}

// peaks reads all of them, which are few.
func (x *exporter) peaks(t *transaction) error {
	stored, err := onlineAt(t, x.export.App)
	if err != nil {
		return corrupt("users online", "")
	}
	for name, users := range stored.Peaks {
		millis, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return corrupt("users online", name)
		}
		x.add(quota.Entry{Kind: quota.EntryPeak, Start: time.UnixMilli(millis), Used: users})
	}
	return nil
}

// parseCounterKey reads what counterKey wrote.
func parseCounterKey(k []byte) (quota, subject string, ok bool) {
	if len(k) < 5 || len(k) < 5+int(k[4]) {
		return "", "", false
	}
	n := 5 + int(k[4])
	return string(k[5:n]), string(k[n:]), true
}

// dayOfGone is the day of a goneKey.
func dayOfGone(name []byte) int32 {
	const secondsOfDay = 24 * 60 * 60
	return int32(int64(binary.BigEndian.Uint64(name[4:]))/secondsOfDay - 3)
}
