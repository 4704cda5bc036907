package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// TestBucketsNeverChange holds what stored names are made of.
func TestBucketsNeverChange(t *testing.T) {
	t.Parallel()
	tests := []struct {
		id   string
		bits uint8
		want string
	}{
		{"", 14, "5p5"},
		{"alice", 8, "5h"},
		{"alice", 14, "43p"},
		{"alice", 20, "3mit"},
		{"bob", 14, "7iq"},
		{"user:with:colons", 14, "2i8"},
		{"{brace}", 14, "509"},
		{"\x00\xff", 14, "4bb"},
		{"\u7528\u6237", 14, "38d"},
		{strings.Repeat("x", 256), 14, "4mp"},
	}
	for _, tt := range tests {
		if got := bucket(tt.id, tt.bits); got != tt.want {
			t.Errorf("bucket(%q, %d) = %q, want %q", tt.id, tt.bits, got, tt.want)
		}
		if bucket([]byte(tt.id), tt.bits) != bucket(tt.id, tt.bits) {
			t.Errorf("bucket(%q) differs for bytes", tt.id)
		}
	}
}

func TestBucketsAreEven(t *testing.T) {
	t.Parallel()
	const bits, aim = 10, 64
	for _, pattern := range []string{"%d", "user%d", "u_%08d", "%d@example.com"} {
		sizes := make(map[string]int)
		for i := range aim << bits {
			sizes[bucket(fmt.Sprintf(pattern, i), bits)]++
		}
		most := 0
		for _, n := range sizes {
			most = max(most, n)
		}
		if most > 2*aim || len(sizes) != 1<<bits {
			t.Errorf("ids like %q: %d buckets, the fullest holds %d, want at most %d", pattern, len(sizes), most, 2*aim)
		}
	}
}

// TestKeysOfAnApp writes every kind of key and looks at all of them.
func TestKeysOfAnApp(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1400000001)
	now := time.Now().Truncate(time.Second)
	day, month := catalog.WindowAt(catalog.KindDay, now, time.UTC), catalog.WindowAt(catalog.KindMonth, now, time.UTC)
	windowed := func(w catalog.Window, users ...string) quota.Charge {
		c := addEach("sent", 1, users...)
		c.Window = w
		if users == nil {
			c.Scope = catalog.ScopeApp
		}
		return c
	}
	txn := txnOf(app, add("users", 1), addEach("friends", 1, "a:b{c}", "bob"),
		windowed(day), windowed(month), windowed(day, "bob"), windowed(month, "bob"))
	txn.Now = now
	txn.Request = requestOf("id")
	txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"a:b{c}"}, Month: catalog.Month(now, time.UTC)}
	txn.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "g}{", Type: 'p', Day: catalog.Day(now, time.UTC)}
	mustApply(t, s, txn)

	minute := now.Truncate(time.Minute)
	dayLeft, monthLeft := day.End.Add(48*time.Hour).Sub(minute), month.End.Add(400*24*time.Hour).Sub(minute)
	want := map[string]time.Duration{
		"app": forever, "rec": forever, "e": forever, "c": forever, "u": forever, "g": forever, "s:friends": forever,
		"w:" + windowName(day): dayLeft, "w:" + windowName(month): monthLeft,
		"s:sent:" + windowName(day): dayLeft, "s:sent:" + windowName(month): monthLeft,
		"r": now.Truncate(generation).Add(2*generation + generationSlack).Sub(now),
	}
	got := make(map[string]time.Duration)
	client := server.Client()
	for _, key := range client.Keys(t.Context(), "*").Val() {
		rest, ours := strings.CutPrefix(key, "imq:{1400000001}:")
		if !ours {
			if key != "imq:store" && key != "imq:{acct:acme}" && !strings.HasPrefix(key, "imq:{dir:") {
				t.Errorf("key %q is not the app's", key)
			}
			continue
		}
		kind := rest
		switch parts := strings.Split(rest, ":"); parts[0] {
		case "u", "g", "r":
			kind = parts[0]
		case "s":
			kind = strings.Join(parts[:len(parts)-1], ":")
		}
		left := client.PTTL(t.Context(), key).Val()
		if left > 0 && want[kind]-left >= 0 && want[kind]-left < 10*time.Second {
			left = want[kind] // some seconds may have passed
		}
		got[kind] = left
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys and what time they have left (-want +got):\n%s", diff)
	}
}

// forever is what PTTL answers for a key without an end.
const forever time.Duration = -1

// TestRequestsAreGivenAnEndOnce: of all ids of a bucket the first brings its end,
// which is that of the next generation, whenever in its own it comes. Replicas and
// the append-only file are told once, and not with each id.
func TestRequestsAreGivenAnEndOnce(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newAppOf(t, s, 1, 8)
	begin := monday.Truncate(generation)
	const ids = 1000 // of 128 buckets
	for n := range ids {
		txn := txnOf(app)
		txn.Request = scatteredRequest(n)
		txn.Now = begin.Add(generation * time.Duration(n) / ids)
		mustApply(t, s, txn)
	}
	if got := calls(t, client, "pexpire"); got != 128 {
		t.Errorf("PEXPIRE ran %d times, want once for each of 128 buckets", got)
	}
	for n := range 128 {
		key := s.appPrefix(app.ID) + requestsFamily(generationOf(begin)) + bucketName(uint32(n))
		left := client.PTTL(t.Context(), key).Val()
		if least, most := generation, 2*generation+generationSlack; left < least || left > most {
			t.Errorf("%s is kept for %v, want %v to %v", key, left, least, most)
		}
	}
}

// TestRequestIsRememberedForItsHorizon repeats a request just before the
// horizon, from a caller whose clock has passed into the next generation.
func TestRequestIsRememberedForItsHorizon(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	txn := txnOf(app, add("users", 1))
	txn.Request = requestOf("id")
	mustApply(t, s, txn)
	for _, later := range []time.Duration{time.Second, 5 * time.Minute, quota.RequestHorizon} {
		txn.Now = monday.Add(later)
		if o := applyOne(t.Context(), s, txn); o.Err != nil || !o.Replayed {
			t.Errorf("after %v answered %+v, want Replayed", later, o)
		}
	}
}
