package server

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// Bounds of a request (FACTS §3; DESIGN, How one check flows).
const (
	maxListIDs     = 1000
	maxBatchItems  = 256
	maxRequestID   = 64
	maxClientID    = 64
	maxKey         = 64
	maxName        = 128
	maxAmount      = 1_000_000_000
	maxOrderID     = 64
	maxActor       = 64
	maxOrders      = 100
	maxUpgrades    = 20
	maxReason      = 256
	maxPageSize    = 300
	defaultPage    = 100
	maxExpected    = 1_000_000_000
	maxUsageQuotas = 100
)

// invalidFields collects everything that is wrong with a request. Only the
// first problem of a field is kept.
type invalidFields struct {
	path   []string // of the message that is looked at
	fields []account.InvalidError
}

func (v *invalidFields) add(field, format string, args ...any) {
	name := strings.Join(append(slices.Clone(v.path), field), ".")
	v.fields = append(v.fields, account.InvalidError{Field: name, Description: fmt.Sprintf(format, args...)})
}

// in runs check with the field's name before those it reports.
func (v *invalidFields) in(name string, check func()) {
	v.path = append(v.path, name)
	check()
	v.path = v.path[:len(v.path)-1]
}

func (v *invalidFields) err() error {
	if len(v.fields) == 0 {
		return nil
	}
	return &requestError{v.fields}
}

// requestError is what is wrong with the fields of a request.
type requestError struct{ fields []account.InvalidError }

// maxShownFields bounds an error of a request with a thousand bad ids.
const maxShownFields = 20

func (e *requestError) Error() string {
	text := e.fields[0].Error()
	if more := len(e.fields) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func (v *invalidFields) app(id uint32) {
	if id == 0 {
		v.add("app_id", "must be greater than zero")
	}
}

// isPrintable reports whether a string is 1 to limit printable ASCII bytes.
func isPrintable(s string, limit int) bool {
	return s != "" && len(s) <= limit && firstUnprintable(s) < 0
}

// printable checks that a string isPrintable.
func (v *invalidFields) printable(field, s string, limit int) {
	if isPrintable(s, limit) {
		return
	}
	switch i := firstUnprintable(s); {
	case s == "":
		v.add(field, "must not be empty")
	case len(s) > limit:
		v.add(field, "has %d bytes; at most %d are allowed", len(s), limit)
	case i >= 0:
		v.add(field, "has the byte 0x%02x at position %d; only printable ASCII is allowed", s[i], i)
	}
}

func firstUnprintable(s string) int {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return i
		}
	}
	return -1
}

func (v *invalidFields) optional(field, s string, limit int) {
	if s != "" {
		v.printable(field, s, limit)
	}
}

func (v *invalidFields) user(field, id string)  { v.printable(field, id, quota.MaxUserID) }
func (v *invalidFields) group(field, id string) { v.printable(field, id, quota.MaxGroupID) }
func (v *invalidFields) key(field, s string)    { v.printable(field, s, maxKey) }

// users checks a list of distinct user ids.
func (v *invalidFields) users(field string, ids []string, least int) {
	if len(ids) < least {
		v.add(field, "must not be empty")
	}
	if len(ids) > maxListIDs {
		v.add(field, "has %d ids; at most %d are allowed in one call", len(ids), maxListIDs)
		return
	}
	for i, id := range ids {
		if !isPrintable(id, quota.MaxUserID) {
			v.user(entry(field, i), id)
		}
	}
	v.distinct(field, ids)
}

// entry names an entry of a list.
func entry(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// fewIDs is the length up to which comparing all pairs is faster than a map.
const fewIDs = 8

// sets are used again by distinct; each is empty.
var sets = sync.Pool{New: func() any { return make(map[string]struct{}) }}

func (v *invalidFields) distinct(field string, ids []string) {
	twice := func(i int) { v.add(entry(field, i), "%q is in the list twice", ids[i]) }
	if len(ids) <= fewIDs {
		for i := range ids {
			for j := range i {
				if ids[i] == ids[j] {
					twice(i)
					break
				}
			}
		}
		return
	}
	seen, _ := sets.Get().(map[string]struct{})
	defer sets.Put(seen)
	defer clear(seen)
	for i, id := range ids {
		if _, ok := seen[id]; ok {
			twice(i)
		}
		seen[id] = struct{}{}
	}
}

// amount returns a count of 1 to maxAmount; 1 when it is not set.
func (v *invalidFields) amount(field string, n *int64) int64 {
	if n == nil {
		return 1
	}
	if *n < 1 || *n > maxAmount {
		v.add(field, "is %d; it must be from 1 to %d", *n, maxAmount)
	}
	return *n
}

var accountID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (v *invalidFields) account(id string) {
	if !accountID.MatchString(id) {
		v.add("account_id", "%q is not 1 to 64 letters, digits, '.', '_' or '-'", id)
	}
}

func (v *invalidFields) name(s string) { v.words("name", s, maxName) }

// words checks a text for people.
func (v *invalidFields) words(field, s string, limit int) {
	switch {
	case len(s) > limit:
		v.add(field, "has %d bytes; at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		v.add(field, "is not valid UTF-8")
	default:
		for _, r := range s {
			if r < ' ' || r == 0x7f {
				v.add(field, "has the control character %q", r)
				return
			}
		}
	}
}
