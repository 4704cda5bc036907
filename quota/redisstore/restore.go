package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// restoredEntries bounds the entries that one script writes.
const restoredEntries = 500

// Restore implements quota.Store.
func (s *Store) Restore(ctx context.Context, r quota.Restoration) error {
	for part := range slices.Chunk(r.Entries, restoredEntries) {
		keys := []string{s.headerKey(r.App)}
		hashes := make(map[string]*hash)
		for i := range part {
			name, field, value, ttl := fieldOfEntry(&part[i], r.FanoutBits, r.Now)
			if ttl < 0 {
				continue
			}
			if hashes[name] == nil {
				hashes[name] = &hash{ttl: ttl}
				keys = append(keys, s.appPrefix(r.App)+name)
			}
			hashes[name].fields = append(hashes[name].fields, field, value)
		}
		args := make([]any, 0, 2*(len(keys)+len(part)))
		for _, key := range keys[1:] {
			h := hashes[key[len(s.appPrefix(r.App)):]]
			args = append(append(args, h.ttl.Milliseconds(), len(h.fields)/2), h.fields...)
		}
		done, err := s.repeatable(ctx, restoreScript, keys, args...)
		switch {
		case err != nil:
			return err
		case done != int64(1):
			return account.ErrAppExists
		}
	}
	return nil
}

// hash is what is written of one.
type hash struct {
	ttl    time.Duration // 0: for ever
	fields []any
}

// fieldOfEntry says where an entry is stored, and for how long: less than 0, not
// any more.
func fieldOfEntry(e *quota.Entry, bits uint8, now time.Time) (name, field, value string, ttl time.Duration) {
	switch e.Kind {
	case quota.EntryUser:
		month := e.Month
		if !e.Registered {
			month = -2 - month
		}
		return usersName + bucket(e.ID, bits), e.ID, strconv.Itoa(int(month)), 0
	case quota.EntryGroup:
		return groupsName + bucket(e.ID, bits), e.ID, encodeGroup(e.Group), 0
	case quota.EntryDissolved:
		return groupsName + bucket(e.ID, bits), e.ID, encodeDissolved(e.Day), 0
	case quota.EntryPeak:
		return peaksName, strconv.FormatInt(e.Start.UnixMilli(), 10), strconv.FormatInt(e.Used, 10), 0
	case quota.EntryCounter:
	}
	if !e.Counter.Window.IsStock() {
		if ttl = e.Counter.Window.KeptUntil().Sub(now); ttl < time.Millisecond {
			ttl = -1
		}
	}
	field = e.ID
	if e.Counter.Scope == catalog.ScopeApp {
		field = e.Counter.Quota
	}
	return counterKey(&e.Counter, e.ID, bits), field, strconv.FormatInt(e.Used, 10), ttl
}
