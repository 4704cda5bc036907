package account

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Event is one change of an app's record, in the app's log.
type Event struct {
	// Revision is the one that the change made. The Registry sets it.
	Revision  uint64        `json:"-"`
	At        time.Time     `json:"at"`
	Action    string        `json:"action"`          // such as DisableApp
	Actor     string        `json:"actor,omitempty"` // who asked; empty: not said, or a sidecar by itself
	Certified bool          `json:"certified,omitempty"`
	RequestID string        `json:"requestId,omitempty"`
	Changes   []FieldChange `json:"changes,omitempty"`
}

// FieldChange is one stored value before and after a change; empty: none.
type FieldChange struct {
	Field  string `json:"field"` // such as overrides.friends.limit
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// EventsKept bounds an app's log: older events are forgotten.
const EventsKept = 10_000

// KeptBefore leaves out of a log the events that it has no room for beside one of
// this revision.
func KeptBefore(revision uint64, log []Event) []Event {
	var kept []Event
	for _, e := range log {
		if e.Revision < revision && revision-e.Revision < EventsKept {
			kept = append(kept, e)
		}
	}
	return kept
}

// Origin is who asks for a change, and by which request.
type Origin struct {
	Change
	Actor     string
	Certified bool // a certificate vouches for the actor
}

// Event makes the log's entry of a change; before is nil when the app is made.
func (o Origin) Event(action string, at time.Time, before, after *App) (Event, error) {
	changes, err := compare(before, after)
	if err != nil {
		return Event{}, fmt.Errorf("log the change of app %d: %w", after.ID, err)
	}
	return Event{At: at, Action: action, Actor: o.Actor, Certified: o.Certified, RequestID: o.RequestID, Changes: changes}, nil
}

// compare lists the stored values that differ, but for those that every change
// sets.
func compare(before, after *App) ([]FieldChange, error) {
	old, err := values(before)
	if err != nil {
		return nil, err
	}
	fresh, err := values(after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(old)
	maps.Copy(all, fresh)
	var changes []FieldChange
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if old[field] != fresh[field] {
			changes = append(changes, FieldChange{field, old[field], fresh[field]})
		}
	}
	return changes, nil
}

// values are the stored values of a record by their paths.
func values(app *App) (map[string]string, error) {
	found := make(map[string]string)
	if app == nil {
		return found, nil
	}
	record := *app
	record.Changes, record.Creation, record.Changed = nil, Change{}, time.Time{}
	text, err := json.Marshal(&record)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // as it is written
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	flatten(found, "", tree)
	return found, nil
}

// flatten collects the leaves of a JSON value. An element of a list that has an
// id is named by it, so that it is the same one when others come before it.
func flatten(found map[string]string, path string, value any) {
	below := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			flatten(found, below(name), child)
		}
	case []any:
		for i, child := range v {
			name := strconv.Itoa(i)
			if object, ok := child.(map[string]any); ok {
				if id, ok := object["id"].(string); ok {
					name = id
				}
			}
			flatten(found, below(name), child)
		}
	case nil:
	default:
		found[path] = fmt.Sprint(v)
	}
}
