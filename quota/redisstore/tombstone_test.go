package redisstore

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/quota"
)

// TestDeletedUsersAreForgotten shows that what a deleted user leaves behind
// keeps a month's active users right and does not outlive the month.
func TestDeletedUsersAreForgotten(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newAppOf(t, s, 1, 8)
	const may = 24316
	step := func(op quota.UserOp, month int32, ids ...string) quota.Outcome {
		t.Helper()
		users, active := add("users", 1), add("mau", 1)
		users.Basis, active.Basis = quota.PerNewUser, quota.PerNewActive
		if op == quota.UsersDelete {
			users.Basis, users.Delta = quota.PerGoneUser, -1
		}
		txn := txnOf(app, users, active)
		txn.Users = quota.UserStep{Op: op, IDs: ids, Month: month}
		return mustApply(t, s, txn)[0]
	}
	// Neighbours share a bucket.
	bucketOf := func(id string) string { return bucket(id, 8) }
	var near []string
	for _, id := range names(4000, "user%d") {
		if bucketOf(id) == bucketOf("user0") {
			near = append(near, id)
		}
	}
	key := s.appPrefix(1) + "u:" + bucketOf("user0")
	stored := func() map[string]string { return client.HGetAll(t.Context(), key).Val() }

	step(quota.UsersLogin, may, near[0], near[1], near[2], near[3])
	step(quota.UsersRegister, may, near[4])
	step(quota.UsersDelete, may, near[0], near[1], near[4])
	want := map[string]string{near[0]: "-24318", near[1]: "-24318", near[2]: "24316", near[3]: "24316"}
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Fatalf("in the month of the deletion (-want +got):\n%s", diff)
	}
	if o := step(quota.UsersLogin, may, near[0]); o.Charges[0].Delta != 1 || o.Charges[1].Delta != 0 {
		t.Errorf("coming back in the same month counted %+v, want a user who was active already", o.Charges)
	}
	step(quota.UsersDelete, may+1, near[5]) // unknown: nothing to write, nothing to sweep
	if diff := cmp.Diff("-24318", stored()[near[1]]); diff != "" {
		t.Errorf("a deletion that changes nothing swept (-want +got):\n%s", diff)
	}
	step(quota.UsersLogin, may+1, near[3])
	step(quota.UsersDelete, may+1, near[2], near[3])
	want = map[string]string{near[0]: "24316", near[3]: "-24319"}
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Errorf("a month later (-want +got):\n%s", diff)
	}
	if got := used(t, s, app, "users"); got != 1 {
		t.Errorf("users %d, want 1", got)
	}
}

// TestDissolvedGroupsAreForgotten shows that what a dissolved group leaves
// behind does not outlive the day after.
func TestDissolvedGroupsAreForgotten(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newAppOf(t, s, 1, 8)
	const today = 20_000
	key := s.appPrefix(1) + "g:" + bucket("g", 8)
	redisDo(t, server, "HSET", key, "today", "-20000", "yesterday", "-19999", "before", "-19998", "long ago", "-1", "lives", "w19000.3")
	for _, op := range []quota.GroupOp{quota.GroupCreate, quota.GroupDissolve} {
		txn := txnOf(app, add("groups", 1))
		txn.Group = quota.GroupStep{Op: op, ID: "g", Type: 'w', Day: today}
		mustApply(t, s, txn)
	}
	want := map[string]string{"g": "-20000", "today": "-20000", "yesterday": "-19999", "lives": "w19000.3"}
	if diff := cmp.Diff(want, server.Client().HGetAll(t.Context(), key).Val()); diff != "" {
		t.Errorf("the bucket (-want +got):\n%s", diff)
	}
}
