package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/imquota/imquota/account"
)

func revisionField(revision uint64) string { return strconv.FormatUint(revision, 10) }

// encodeEvent returns an event as it is stored, under its revision.
func encodeEvent(id uint32, event account.Event) (string, error) {
	text, err := json.Marshal(event)
	if err != nil {
		return "", fmt.Errorf("encode an event of app %d: %w", id, err)
	}
	return string(text), nil
}

// holesRead is how many events are read at once after some were not there, such
// as those of changes that an older imquota made, which wrote none.
const holesRead = 1000

// Events implements account.Registry: the newest revision is the record's, all
// others follow from it.
func (s *Store) Events(ctx context.Context, id uint32, before uint64, limit int) ([]account.Event, error) {
	app, err := s.App(ctx, id)
	if err != nil {
		return nil, err
	}
	newest := app.Version.Revision
	oldest := uint64(1)
	if newest > account.EventsKept {
		oldest = newest - account.EventsKept + 1
	}
	if before != 0 {
		newest = min(newest, before-1)
	}
	var events []account.Event
	for size := limit; len(events) < limit && newest >= oldest; size = holesRead {
		n := min(uint64(size), newest-oldest+1)
		found, err := s.readEvents(ctx, id, newest, int(n))
		if err != nil {
			return nil, err
		}
		events = append(events, found[:min(len(found), limit-len(events))]...)
		newest -= n
	}
	return events, nil
}

// readEvents reads n events from a revision downwards, those that are there.
func (s *Store) readEvents(ctx context.Context, id uint32, newest uint64, n int) ([]account.Event, error) {
	args := make([]any, 2, n+2)
	args[0], args[1] = "hmget", s.eventsKey(id)
	for i := range n {
		args = append(args, revisionField(newest-uint64(i)))
	}
	values, err := s.read(ctx, args...)
	if err != nil {
		return nil, err
	}
	var events []account.Event
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			continue
		}
		var event account.Event
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			return nil, &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("the log of app %d is damaged", id), Err: err}
		}
		event.Revision = newest - uint64(i)
		events = append(events, event)
	}
	return events, nil
}
