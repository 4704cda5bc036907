package quota

import (
	"encoding/hex"
	"testing"
)

// TestCanonicalForms: they are stored as fingerprints, so none may change, and
// no two requests may share one.
func TestCanonicalForms(t *testing.T) {
	t.Parallel()
	keys := make(map[string]string)
	for name, action := range map[string]Action{
		"login":                &Login{UserID: "a"},
		"register_users":       &RegisterUsers{UserIDs: []string{"a"}},
		"register_users of 2":  &RegisterUsers{UserIDs: []string{"b", "a"}},
		"delete_users":         &DeleteUsers{UserIDs: []string{"a"}},
		"add_friend":           &AddFriend{UserID: "a", FriendID: "b"},
		"add_friend, one way":  &AddFriend{UserID: "a", FriendID: "b", OneWay: true},
		"add_friend, shifted":  &AddFriend{UserID: "", FriendID: "ab"},
		"remove_friend":        &RemoveFriend{UserID: "a", FriendID: "b"},
		"create_group":         &CreateGroup{GroupID: "g", GroupType: "work", OwnerID: "a"},
		"create_group, member": &CreateGroup{GroupID: "g", GroupType: "work", MemberIDs: []string{"a"}},
		"join_group":           &JoinGroup{GroupID: "g", GroupType: "work", UserID: "a"},
		"add_group_members":    &AddGroupMembers{GroupID: "g", GroupType: "work", UserIDs: []string{"a"}},
		"leave_group":          &LeaveGroup{GroupID: "g", UserID: "a"},
		"remove_group_members": &RemoveGroupMembers{GroupID: "g", UserIDs: []string{"a"}},
		"dissolve_group":       &DissolveGroup{GroupID: "g"},
		"use_quota":            &UseQuota{Quota: "q", Amount: 1},
		"use_quota of 2":       &UseQuota{Quota: "q", Amount: 2},
		"return_quota":         &ReturnQuota{Quota: "q", Amount: 1},
	} {
		got := fingerprint(action)
		if other, ok := keys[got]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		keys[got] = name
	}
	if name := keys[fingerprint(&RegisterUsers{UserIDs: []string{"a", "b"}})]; name != "register_users of 2" {
		t.Error("the order of a set is part of its fingerprint")
	}
	want := map[string]string{
		"09824561bb9dc3fe": "register_users",
		"310059386af9c802": "use_quota",
		"427849c99e9a8a45": "login",
		"5f0212678dfb3d61": "add_group_members",
		"6b431c8d989bf261": "delete_users",
		"6ee37a6c3b2c7ff5": "create_group, member",
		"6f8235e778534fc8": "remove_group_members",
		"767010e18d850990": "leave_group",
		"9120afc43e771278": "add_friend, one way",
		"aa62b41cd4e5d329": "add_friend",
		"b2420481ca045d55": "dissolve_group",
		"c93ea8b4bf8d30e2": "join_group",
		"d06015699a2bd247": "create_group",
		"dc93aad791e910cb": "return_quota",
		"e79db7541e123536": "remove_friend",
		"eeff8d5526ac10ec": "register_users of 2",
	}
	for stored, name := range want {
		if keys[stored] != name {
			t.Errorf("the fingerprint of %s has changed: those that are stored are unknown now: %v", name, keys)
		}
	}
}

// fingerprint returns what a store remembers of an action.
func fingerprint(a Action) string {
	key := (&Request{ID: "id"}).key(a.canonical(nil))
	return hex.EncodeToString(key.Fingerprint[:])
}

// TestRequestKeyScope: ids of two callers never collide, however they are cut.
func TestRequestKeyScope(t *testing.T) {
	t.Parallel()
	one := (&Request{Caller: "ab", ID: "c"}).key(nil)
	two := (&Request{Caller: "a", ID: "bc"}).key(nil)
	if one.Hash == two.Hash {
		t.Error("two callers share a key")
	}
	if !(&Request{Caller: "ab"}).key(nil).IsZero() {
		t.Error("a request without an id is remembered")
	}
}
