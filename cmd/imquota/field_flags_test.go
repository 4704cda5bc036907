package main

import "testing"

func TestFieldFlags(t *testing.T) {
	t.Parallel()
	f := fieldFlags{"user": true, "quota": true, "until": true, "expected-users": true, "app": true, "reserve": true, "rows": true}
	for field, want := range map[string]string{
		"add_friend.user_id":         "--user",
		"register_users.user_ids[3]": "--user",
		"quotas":                     "--quota",
		"expected_users":             "--expected-users",
		"rows":                       "--rows",
		"app_id":                     "--app",
		"end_time":                   "--until",
		"mode":                       "--reserve",
		"push_time":                  "push_time", // the command has no such flag
		"use_feature.feature":        "use_feature.feature",
		"":                           "",
	} {
		if got := f.of(field); got != want {
			t.Errorf("%q is given by %q, want %q", field, got, want)
		}
	}
	if got := (fieldFlags{"mode": true}).of("renewal.mode"); got != "--mode" {
		t.Errorf("a mode that is no reservation's: %q", got)
	}
}
