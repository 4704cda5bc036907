package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// maxSweep bounds the keys of one script.
const maxSweep = 1000

// Sweep implements quota.Store. The names of all keys follow from the fan-out,
// so nothing is searched for: a sweep goes through the names one by one. Which
// those are the caller says. When that is not what it was, by another catalog or
// another day, a position means another name: the sweep begins anew, or it would
// leave out what has moved to the front.
func (s *Store) Sweep(ctx context.Context, sweep quota.Sweep) (quota.Swept, error) {
	header, err := s.read(ctx, "hmget", s.headerKey(sweep.App), "v", "c")
	if err != nil {
		return quota.Swept{}, err
	}
	version := versionText(sweep.Version)
	if sweep.Version == (account.Version{}) {
		version = "" // there must be no record
	}
	if len(header) != 2 || header[0] != any(version) && (header[0] != nil || version != "") {
		return quota.Swept{}, quota.ErrStale
	}
	clock, _ := header[1].(string)
	// A clock that is damaged names no generation; request ids expire anyhow.
	millis, _ := strconv.ParseInt(clock, 10, 64)
	names := sweptNames(&sweep, time.UnixMilli(millis))

	limit := int64(min(max(1, sweep.Limit), maxSweep))
	keys := []string{s.headerKey(sweep.App)}
	next, ok := names.position(sweep.From)
	if !ok {
		next = 0
	}
	for ; int64(len(keys)) <= limit && next < names.total(); next++ {
		name, _ := names.at(next)
		keys = append(keys, s.appPrefix(sweep.App)+name)
	}
	swept := quota.Swept{}
	if len(keys) > 1 {
		reply, err := s.repeatable(ctx, sweepScript, keys, version)
		if err != nil {
			return quota.Swept{}, err
		}
		removed, ok := reply.(int64)
		switch {
		case !ok:
			return quota.Swept{}, s.faultOf(errReply, false)
		case removed < 0:
			return quota.Swept{}, quota.ErrStale
		}
		swept.Removed = removed
	}
	if next < names.total() {
		swept.Next = names.token(next)
	}
	return swept, nil
}
