package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// exportedKeys bounds the keys that one script of an export reads, and
// exportScripts the scripts of one call: of a small app most keys are not there.
const (
	exportedKeys  = 500
	exportScripts = 64
)

// Export implements quota.Store. The names of all keys follow from the fan-out,
// so nothing is searched for.
func (s *Store) Export(ctx context.Context, e quota.Export) (quota.Exported, error) {
	n := exportedNames(&e)
	out := quota.Exported{Total: n.total()}
	if e.From != "" {
		token, err := strconv.ParseInt(e.From, 10, 64)
		position, ok := n.position(token)
		if err != nil || !ok || position >= out.Total {
			return quota.Exported{}, &account.InvalidError{Field: "page_token", Description: "is no place in this export"}
		}
		out.Done = position
	}
	limit := max(1, e.Limit)
	for range exportScripts {
		if len(out.Entries) >= limit || out.Done >= out.Total {
			break
		}
		if err := s.exportPart(ctx, &e, n, limit, &out); err != nil {
			return quota.Exported{}, err
		}
	}
	if out.Done < out.Total {
		out.Next = strconv.FormatInt(n.token(out.Done), 10)
	}
	return out, nil
}

// exportPart reads the keys that follow, and notes how far it came.
func (s *Store) exportPart(ctx context.Context, e *quota.Export, n keyNames, limit int, out *quota.Exported) error {
	prefix := s.appPrefix(e.App)
	keys, families := []string{s.headerKey(e.App)}, []*family{nil}
	for i := out.Done; i < out.Total && len(keys) <= exportedKeys; i++ {
		name, f := n.at(i)
		keys, families = append(keys, prefix+name), append(families, f)
	}
	reply, err := s.repeatable(ctx, exportScript, keys, versionText(e.Version), limit-len(out.Entries))
	if err != nil {
		return err
	}
	list, _ := reply.([]any)
	if len(list) == 0 {
		return s.faultOf(errReply, false)
	}
	sequence, _ := list[0].(int64)
	switch {
	case sequence == -1:
		return quota.ErrStale
	case sequence == -2 && len(list) == 2:
		return s.fault(account.UsageUnknown, "cannot export: %v", list[1])
	case len(list) < 2 || len(list)%2 != 0:
		return s.faultOf(errReply, false)
	}
	read, _ := list[1].(int64)
	if read < 1 || read >= int64(len(keys)) {
		return s.faultOf(errReply, false)
	}
	out.Sequence, out.Done = uint64(sequence), out.Done+read
	for i := 2; i < len(list); i += 2 {
		at, _ := list[i].(int64)
		fields, ok := list[i+1].([]any)
		if at < 1 || at > read || !ok {
			return s.faultOf(errReply, false)
		}
		for k := 0; k+1 < len(fields); k += 2 {
			field, _ := fields[k].(string)
			value, _ := fields[k+1].(string)
			entry, err := entryOfField(families[at], field, value)
			if err != nil {
				return s.fault(account.UsageUnknown, "cannot export: %s field %q: %v", keys[at], field, err)
			}
			out.Entries = append(out.Entries, entry)
		}
	}
	return nil
}

// entryOfField reads one field of a hash; fieldOfEntry writes it.
func entryOfField(f *family, field, value string) (quota.Entry, error) {
	if f.name == groupsName {
		return decodeGroup(field, value)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n > catalog.MaxLimit || n < -catalog.MaxLimit {
		return quota.Entry{}, fmt.Errorf("%q is not a count", value)
	}
	switch {
	case f.name == usersName:
		u := quota.Entry{Kind: quota.EntryUser, ID: field, Registered: n >= -1, Month: int32(n)}
		if !u.Registered {
			u.Month = int32(-2 - n)
		}
		return u, nil
	case f.name == peaksName:
		millis, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return quota.Entry{}, fmt.Errorf("%q is not an instant", field)
		}
		return quota.Entry{Kind: quota.EntryPeak, Start: time.UnixMilli(millis), Used: n}, nil
	case f.counts == nil: // stocks of the app
		return quota.Entry{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: field, Scope: catalog.ScopeApp}, Used: n}, nil
	case f.isOne:
		c := *f.counts
		c.Quota = field
		return quota.Entry{Kind: quota.EntryCounter, Counter: c, Used: n}, nil
	}
	return quota.Entry{Kind: quota.EntryCounter, ID: field, Counter: *f.counts, Used: n}, nil
}

func decodeGroup(id, value string) (quota.Entry, error) {
	e := quota.Entry{ID: id}
	if n, err := fmt.Sscanf(value, "-%d", &e.Day); n == 1 && err == nil && value == encodeDissolved(e.Day) {
		e.Kind = quota.EntryDissolved
		return e, nil
	}
	e.Kind, e.Group.Found = quota.EntryGroup, true
	if _, err := fmt.Sscanf(value, "%c%d.%d", &e.Group.Type, &e.Group.Day, &e.Group.Members); err != nil || value != encodeGroup(e.Group) {
		return quota.Entry{}, fmt.Errorf("%q is not a group", value)
	}
	return e, nil
}

func encodeDissolved(day int32) string { return "-" + strconv.Itoa(int(day)) }

func encodeGroup(g quota.GroupRecord) string {
	return string(rune(g.Type)) + strconv.Itoa(int(g.Day)) + "." + strconv.FormatInt(g.Members, 10)
}
