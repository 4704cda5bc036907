package quota

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// UsageExport asks for a part of what an app uses now.
type UsageExport struct {
	App   uint32
	Token string // UsagePart.Next of the call before; empty to begin
	Limit int    // about how many rows
}

// UsagePart is a part of what an app uses now.
type UsagePart struct {
	Rows []UsageRow
	Next string // empty after the last
	// Done of Total parts are behind it; Total zero: it is not known.
	Done, Total int64
}

// ExportUsage reads what an app uses in the running windows, as rows that an
// import takes. Totals of distinct quotas are none: their members are. A group
// whose members are not counted is none either. Errors: as Usage, and an
// *account.InvalidError of page_token.
func (e *Enforcer) ExportUsage(ctx context.Context, in UsageExport) (*UsagePart, error) {
	cat := e.catalog.Load()
	began, from, err := parseExportToken(in.Token, e.now())
	if err != nil {
		return nil, err
	}
	for range maxRounds {
		s := e.current(ctx, in.App, cat)
		if _, err := s.living(e.now()); err != nil {
			return nil, err
		}
		app := s.app.record
		out, err := e.store.Export(ctx, Export{
			App: in.App, FanoutBits: app.FanoutBits, Version: app.Version, Counters: runningCounters(s.outlook.catalog, began), From: from, Limit: in.Limit,
		})
		switch {
		case errors.Is(err, ErrStale):
			e.refused(app)
			continue
		case err != nil:
			return nil, err
		}
		part := &UsagePart{Done: out.Done, Total: out.Total}
		for i := range out.Entries {
			part.Rows = appendRows(part.Rows, &out.Entries[i], s.outlook.catalog, began)
		}
		if out.Next != "" {
			part.Next = strconv.FormatInt(began.UnixMilli(), 10) + "~" + out.Next
		}
		return part, nil
	}
	return nil, ErrUnsettled
}

// parseExportToken returns when an export began, and where it is in the store.
// The windows are those of its beginning, or the store would be asked for other
// names when a day turns.
func parseExportToken(token string, now time.Time) (began time.Time, from string, err error) {
	if token == "" {
		return now, "", nil
	}
	text, from, ok := strings.Cut(token, "~")
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !ok || from == "" {
		return time.Time{}, "", &account.InvalidError{Field: "page_token", Description: "is no place in an export"}
	}
	return time.UnixMilli(millis), from, nil
}

// appendRows appends what an import needs of an entry.
func appendRows(rows []UsageRow, e *Entry, cat *catalog.Snapshot, at time.Time) []UsageRow {
	switch e.Kind {
	case EntryUser:
		if e.Registered {
			rows = append(rows, UsageRow{Quota: catalog.Users, Subject: e.ID, Used: 1})
		}
		if e.Month >= catalog.Month(at, cat.Zone()) {
			rows = append(rows, UsageRow{Quota: catalog.FreeMAU, Subject: e.ID, Used: 1, Window: windowText(catalog.WindowAt(catalog.KindMonth, at, cat.Zone()))})
		}
	case EntryGroup:
		if t, ok := cat.GroupTypeByCode(e.Group.Type); ok && t.HasMembers {
			rows = append(rows, UsageRow{Quota: catalog.GroupMembers, Subject: e.ID, Used: e.Group.Members, GroupType: t.Key})
		}
	case EntryCounter:
		if q, ok := cat.Quota(e.Counter.Quota); ok && !q.Distinct && q.Kind != catalog.KindStatic && q.Scope == e.Counter.Scope {
			rows = append(rows, UsageRow{Quota: q.Key, Subject: e.ID, Used: e.Used, Window: windowText(e.Counter.Window)})
		}
	case EntryDissolved, EntryPeak: // not of what is used now
	}
	return rows
}
