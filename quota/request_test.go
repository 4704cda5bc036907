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
		"create_group, owner":  &CreateGroup{GroupID: "g", GroupType: "work", OwnerID: "a", MemberIDs: []string{"b"}},
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
	withOwner := &CreateGroup{GroupID: "g", GroupType: "work", OwnerID: "a", MemberIDs: []string{"b", "a"}}
	if name := keys[fingerprint(withOwner)]; name != "create_group, owner" {
		t.Error("an owner who is listed as a member is taken for another request")
	}
	want := map[string]string{
		"14e6944777d74e53": "add_friend",
		"3a77489eafbd2e1f": "register_users",
		"46c4d6c67a8da890": "remove_friend",
		"4d3dce4296c1bc87": "add_group_members",
		"5c672485051f84ba": "add_friend, one way",
		"67f8c4e4844d78b0": "use_quota",
		"7c3f1c2c8d7ad431": "register_users of 2",
		"8c791abf6f95cef8": "login",
		"8c90aeb52b67764e": "join_group",
		"95e377f3473165ba": "return_quota",
		"aa75ce6a64bc96ea": "leave_group",
		"c1178d75807a2ef6": "remove_group_members",
		"d2e3d5db231f23d7": "create_group, member",
		"deee7d53cf576fb0": "create_group",
		"f69ce4d4a6c54acd": "delete_users",
		"ffc49faf6e858e49": "dissolve_group",
	}
	for stored, name := range want {
		if keys[stored] != name {
			t.Errorf("the fingerprint of %s has changed: those that are stored are unknown now", name)
		}
	}
}

// fingerprint returns what a store remembers of an action.
func fingerprint(a Action) string {
	key := (&Request{ID: "id", Action: a}).key(new([]byte))
	return hex.EncodeToString(key.Fingerprint[:])
}

// TestRequestKeyLeavesNoTrace: neither in the request, whose ids keep their order,
// nor in the next key that is made in the same room.
func TestRequestKeyLeavesNoTrace(t *testing.T) {
	t.Parallel()
	register := &RegisterUsers{UserIDs: []string{"b", "a"}}
	login := &Request{ID: "id", Action: &Login{UserID: "a"}}
	room := []byte("something from before")
	(&Request{ID: "another id", Action: register}).key(&room)
	if got := login.key(&room); got != login.key(new([]byte)) {
		t.Error("a key depends on the one before")
	}
	if register.UserIDs[0] != "b" {
		t.Errorf("the ids are %v now", register.UserIDs)
	}
}

// TestRequestKeyScope: ids of two callers never collide, however they are cut.
func TestRequestKeyScope(t *testing.T) {
	t.Parallel()
	a := &Login{UserID: "a"}
	one := (&Request{Caller: "ab", ID: "c", Action: a}).key(new([]byte))
	two := (&Request{Caller: "a", ID: "bc", Action: a}).key(new([]byte))
	if one.Hash == two.Hash {
		t.Error("two callers share a key")
	}
	if !(&Request{Caller: "ab", Action: a}).key(new([]byte)).IsZero() {
		t.Error("a request without an id is remembered")
	}
	adjust := (&Request{Caller: "ab", ID: "c", Mode: Adjust, Action: a}).key(new([]byte))
	if adjust.Hash != one.Hash || adjust.Fingerprint == one.Fingerprint {
		t.Error("counting over the limit is taken for the same request")
	}
}
