package boltstore

import (
	"testing"

	"github.com/imquota/imquota/quota"
)

// maxFuzzedName is the length of what a key may begin with: those of quotas and
// accounts are shorter.
const maxFuzzedName = 255

// FuzzKeys compares the keys of two things: they are the same when the things
// are, and never else.
func FuzzKeys(f *testing.F) {
	for _, c := range []string{"", "a", "ab", "a:b", "\x00", "\x01a", "\x07friends"} {
		f.Add(uint32(1), uint32(1), "friends", "friends"+c, c, "")
		f.Add(uint32(1), uint32(0x01000000), c, "", "a"+c, "aa")
		f.Add(uint32(1), uint32(1), "a", "a", c, "a")
	}
	f.Fuzz(func(t *testing.T, app, otherApp uint32, name, otherName, id, otherID string) {
		if len(name) > maxFuzzedName || len(otherName) > maxFuzzedName {
			return
		}
		sameApp, sameName, sameID := app == otherApp, name == otherName, id == otherID
		compare := func(what string, same bool, key, other []byte) {
			t.Helper()
			if (string(key) == string(other)) != same {
				t.Errorf("%s: %x and %x", what, key, other)
			}
		}
		compare("counters", sameApp && sameName && sameID, counterKey(app, name, id), counterKey(otherApp, otherName, otherID))
		compare("users", sameApp && sameID, idKeyOf(app, id), idKeyOf(otherApp, otherID))
		compare("places", sameApp && sameName, placeKey(name, app), placeKey(otherName, otherApp))
		if isOfSubject(counterKey(app, name, id)) != (id != "") {
			t.Errorf("whose counter is %x", counterKey(app, name, id))
		}
		// What is held is kept by the app.
		group, other := &step{txn: &quota.Txn{App: app}}, &step{txn: &quota.Txn{App: app}}
		group.txn.Group.ID, other.txn.Group.ID = id, otherID
		charge := func(name string) *quota.Charge { return &quota.Charge{Counter: quota.Counter{Quota: name}} }
		ofMonth := charge(otherName)
		ofMonth.Window = fuzzMonth
		compare("held members", sameID, group.ofMembers(), other.ofMembers())
		compare("held ids", sameID, group.ofGroupID(), other.ofGroupID())
		compare("held counters", sameName && sameID, group.ofCounter(charge(name), id), group.ofCounter(charge(otherName), otherID))
		compare("held members and ids", false, group.ofMembers(), other.ofGroupID())
		compare("held counters and members", false, group.ofCounter(charge(name), id), other.ofMembers())
		compare("held counters and a month's", false, group.ofCounter(charge(name), id), group.ofCounter(ofMonth, otherID))
	})
}
