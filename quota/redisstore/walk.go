package redisstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/imquota/imquota/account"
)

// walkMost is how many directories are looked at together at most.
const walkMost = 16

// position is where a walk goes on: in a directory, at a cursor that means
// something to one server alone.
type position struct {
	directory int
	cursor    string // "0" at the beginning
	server    string // its run id
}

func (p position) String() string {
	return strconv.Itoa(p.directory) + ":" + p.cursor + ":" + p.server
}

// parsePosition reads what position.String wrote.
func parsePosition(text string) (position, error) {
	if text == "" {
		return position{cursor: "0"}, nil
	}
	directory, rest, _ := strings.Cut(text, ":")
	cursor, server, ok := strings.Cut(rest, ":")
	n, err := strconv.Atoi(directory)
	_, cursorErr := strconv.ParseUint(cursor, 10, 64)
	if !ok || err != nil || cursorErr != nil || n < 0 || n >= directories {
		return position{}, &account.InvalidError{Field: "page_token", Description: "is not a token of this service"}
	}
	return position{n, cursor, server}, nil
}

// Walk implements account.Registry: through the directories, which name every
// app that was ever shown. A page of few apps goes on through several of them.
func (s *Store) Walk(ctx context.Context, cursor string, limit int) (account.Page, error) {
	p, err := parsePosition(cursor)
	if err != nil {
		return account.Page{}, err
	}
	page := account.Page{Total: directories}
	limit = max(1, limit)
	for width := 1; len(page.Apps) < limit && p.directory < directories; width = min(2*width, walkMost) {
		parts, err := s.walkTogether(ctx, p, min(width, directories-p.directory), limit-len(page.Apps))
		if err != nil {
			return account.Page{}, err
		}
		for _, found := range parts {
			page.Apps = append(page.Apps, found.apps...)
			p = found.next
			if len(page.Apps) >= limit || p.cursor != "0" {
				break // the directories behind are looked at from here later
			}
		}
	}
	page.Done = int64(p.directory)
	if p.directory < directories {
		page.Next = p.String()
	}
	return page, nil
}

// part is what was found in one step through one directory.
type part struct {
	apps []uint32
	next position
}

// walkTogether takes one step through the directory at a position and one
// through each that follows it.
func (s *Store) walkTogether(ctx context.Context, from position, width, limit int) ([]part, error) {
	commands := make([]*command, width)
	for i := range commands {
		at := position{directory: from.directory + i, cursor: "0"}
		if i == 0 {
			at = from
		}
		commands[i] = &command{
			script: walkScript, keys: []string{s.directoryKey(uint32(at.directory))}, args: []any{at.cursor, at.server, limit},
		}
	}
	if err := s.doAll(ctx, commands); err != nil {
		return nil, err
	}
	parts := make([]part, width)
	for i, c := range commands {
		if c.err != nil {
			return nil, c.err
		}
		var ok bool
		if parts[i], ok = decodePart(from.directory+i, c.cmd.Val()); !ok {
			return nil, s.faultOf(errReply, false)
		}
	}
	return parts, nil
}

// decodePart reads the reply of walk.lua.
func decodePart(directory int, reply any) (p part, ok bool) {
	list, _ := reply.([]any)
	if len(list) != 3 {
		return p, false
	}
	cursor, _ := list[0].(string)
	server, _ := list[1].(string)
	fields, _ := list[2].([]any)
	p.next = position{directory, cursor, server}
	if cursor == "0" {
		p.next = position{directory: directory + 1, cursor: "0"}
	}
	for i := 0; i+1 < len(fields); i += 2 {
		field, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		id, err := strconv.ParseUint(field, 10, 32)
		if err == nil && strings.HasPrefix(value, live+" ") {
			p.apps = append(p.apps, uint32(id))
		}
	}
	return p, true
}
