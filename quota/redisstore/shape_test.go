package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// alike is what callers bring whose transactions share shapes, and some of which are
// to be judged after all.
func alike(app *account.App) [][]quota.Txn {
	befriend := func(a, b string) quota.Txn {
		t := txnOf(app, addEach("friends", 1, a), addEach("friends", 1, b))
		t.Charges[0].Limit, t.Charges[1].Limit = catalog.Max(2), catalog.Max(2)
		return t
	}
	join := func(n int64, users ...string) quota.Txn { return txnOf(app, addEach("groups", n, users...)) }
	with := func(t quota.Txn, request, fingerprint string) quota.Txn {
		t.Request = requestOf(request)
		copy(t.Request.Fingerprint[:], fingerprint)
		return t
	}
	invite := func(host, guest string) quota.Txn {
		t := befriend(host, guest)
		t.Charges[0].Delta, t.Charges[0].Limit = 2, catalog.Max(5)
		return t
	}
	login := func(user string) quota.Txn {
		t := loginOf(app, user)
		t.Charges[0].Limit = catalog.Max(4)
		return t
	}
	forced := befriend("eve", "alice")
	forced.Mode = quota.ModeForce
	return [][]quota.Txn{
		{befriend("alice", "bob")},
		{befriend("carol", "dan")},
		{befriend("bob", "alice")},
		{befriend("eve", "alice")}, // is over the limit when eve was added
		{befriend("eve", "frank")},
		{forced},
		{befriend("gil", "eve")}, // has the shape of the one before the last
		{invite("quinn", "rob")},
		{invite("quinn", "alice")}, // is over the limit when quinn was added again
		{invite("quinn", "sue")},
		{invite("quinn", "tom")}, // is over the limit at once
		{with(befriend("gil", "hal"), "one", "f")},
		{with(befriend("ida", "joe"), "two", "f")},
		{with(befriend("gil", "hal"), "one", "f")}, // is repeated
		{with(befriend("gil", "hal"), "two", "g")}, // is another's id
		{join(1, "alice", "bob", "carol"), join(1, "dan", "alice", "bob"), join(2, "dan", "alice", "bob"), login("kim")},
		{login("lee")},
		{login("kim"), login("mia"), join(1, "kim"), login("lee")},
		{login("lee")},
		{login("lee"), befriend("kim", "mia"), login("ned")},
		{login("oda")},
		{login("pam")}, // is over the limit
		{login("kim")},
	}
}

// TestShapesInOneFlight has what is alike travel together, and each by itself.
func TestShapesInOneFlight(t *testing.T) {
	t.Parallel()
	for name, use := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t)
			use(s)
			together, apart := newApp(t, s, 1000001), newApp(t, s, 1000002)
			for _, app := range []*account.App{together, apart} { // lee was active, and deleted
				gone := txnOf(app, add("users", -1))
				gone.Charges[0].Basis = quota.PerGoneUser
				gone.Users = quota.UserStep{Op: quota.UsersDelete, IDs: []string{"lee"}, Month: catalog.Month(monday, time.UTC)}
				mustApply(t, s, loginOf(app, "lee"))
				mustApply(t, s, gone)
			}
			var want [][]quota.Outcome
			for _, txns := range alike(apart) {
				want = append(want, nil)
				for _, txn := range txns {
					want[len(want)-1] = append(want[len(want)-1], applyOne(t.Context(), s, txn))
				}
			}
			c := allUnderWay(t, s)
			var answers []<-chan []quota.Outcome
			for _, txns := range alike(together) {
				answers = append(answers, c.bring(t.Context(), txns...))
			}
			c.leave()
			sameError := cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
			for i, answer := range answers {
				if diff := cmp.Diff(want[i], <-answer, sameError); diff != "" {
					t.Errorf("caller %d is told something else when all travel together (-apart +together):\n%s", i, diff)
				}
			}
			stored := func(app *account.App) map[string]string {
				header := server.Client().HMGet(t.Context(), s.headerKey(app.ID), "c", "s").Val()
				all := map[string]string{"app": fmt.Sprint(header...)}
				for key, value := range dumpAll(t, server.Client()) {
					if of, found := strings.CutPrefix(key, fmt.Sprintf("imq:{%d}:", app.ID)); found && of != "app" && of != "rec" {
						all[of] = value
					}
				}
				return all
			}
			if diff := cmp.Diff(stored(apart), stored(together)); diff != "" {
				t.Errorf("what is stored (-apart +together):\n%s", diff)
			}
		})
	}
}

// TestShapeIsSentOnce looks at what is sent of callers whose transactions are alike.
func TestShapeIsSentOnce(t *testing.T) {
	t.Parallel()
	s := &Store{target: &target{}}
	app := &account.App{ID: 1, FanoutBits: account.DefaultFanoutBits}
	befriend := func(a, b string) quota.Txn { return txnOf(app, addEach("friends", 1, a), addEach("friends", 1, b)) }
	for _, c := range []struct {
		name           string
		first, second  quota.Txn
		elements, keys int // that the second adds
	}{
		{"two who befriend", befriend("a", "b"), befriend("c", "d"), 2 + 1 + 4, 2},
		{"two who log in", loginOf(app, "a"), loginOf(app, "b"), 2 + 1 + 2, 1},
		{"two of other numbers", befriend("a", "b"), txnOf(app, addEach("friends", 1, "c"), addEach("friends", 2, "d")), 2 + 5 + 2*6, 2},
		{"two of other actions", befriend("a", "b"), loginOf(app, "c"), 2 + 10 + 2*13, 3},
	} {
		var sent packed
		var keys keyList
		last := []byte(nil)
		for _, txn := range []quota.Txn{c.first, c.second} {
			p := s.newParcel(t.Context(), &txn, monday)
			p.add(&txn, 0)
			sent.elements, keys.ends = 0, nil
			p.appendTo(&sent, &keys, last)
			last = p.bytesOf(p.last)
		}
		if sent.elements != c.elements || len(keys.ends) != c.keys {
			t.Errorf("%s: the second adds %d elements and %d keys, want %d and %d", c.name, sent.elements, len(keys.ends), c.elements, c.keys)
		}
	}
}

// TestLoginsOfOneMinuteAreAlike goes by the clock, of which the time depends for which
// a month is kept.
func TestLoginsOfOneMinuteAreAlike(t *testing.T) {
	t.Parallel()
	month := catalog.WindowAt(catalog.KindMonth, monday, time.UTC)
	begin := monday.Truncate(time.Minute)
	if a, b := keptFor(month, begin), keptFor(month, begin.Add(time.Minute-1)); a != b {
		t.Errorf("kept for %v and %v at the two ends of a minute", a, b)
	}
	for _, now := range []time.Time{begin, begin.Add(59 * time.Second), month.KeptUntil().Add(-time.Second), month.KeptUntil().Add(time.Hour)} {
		kept, least := keptFor(month, now), month.KeptUntil().Sub(now)
		if kept < least || kept <= 0 || least > 0 && kept-least >= time.Minute {
			t.Errorf("at %v kept for %v, want %v or up to a minute more", now, kept, least)
		}
	}
}
