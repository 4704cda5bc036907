package backup_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/backup"
	"github.com/imquota/imquota/quota"
)

const november = "2026-11-01T00:00:00+08:00"

// TestRoundTrip: from every kind of store into every other, and nobody can tell the
// difference.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for from := range stores {
		for to := range stores {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				source, target := newWorld(t, stores[from](t)), newWorld(t, stores[to](t))
				source.populate()
				before, text := source.seen(), source.dump()
				target.now = source.now
				restored := target.restore(text)
				if restored.Accounts != 2 || restored.Apps != 6 || restored.ConflictingApps != nil || restored.Conflicting != nil {
					t.Errorf("%+v", restored)
				}
				if diff := cmp.Diff(before, target.seen()); diff != "" {
					t.Errorf("seen (-want +got):\n%s", diff)
				}
				target.agree(1, november)
				target.agree(2, november)
				for _, id := range allApps {
					was, err := source.store.App(t.Context(), id)
					source.ok(err)
					app, err := target.store.App(t.Context(), id)
					target.ok(err)
					if app.Version.Revision != was.Version.Revision+1 || app.Version.Epoch == was.Version.Epoch {
						t.Errorf("app %d: version %v, was %v", id, app.Version, was.Version)
					}
					log, err := target.store.Events(t.Context(), id, 0, 1)
					if err != nil || log[0].Action != "RestoreApp" || log[0].Actor != "bob" || log[0].Revision != app.Version.Revision {
						t.Errorf("app %d: log %+v, %v", id, log, err)
					}
				}
				// Life goes on: nobody is counted twice, and what was gone stays so.
				target.do(1, &quota.Login{UserID: "user 1"}, &quota.Login{UserID: "came and left"}, &quota.Login{UserID: "user 2"}, &quota.Login{UserID: "new"})
				target.agree(1, november)
				d, err := target.enforcer.Check(t.Context(), &quota.Request{App: 1, Action: &quota.DissolveGroup{GroupID: "dissolved"}})
				if err != nil || !d.Clamped {
					t.Errorf("dissolved again: %+v, %v", d, err)
				}
				_, err = target.apps.Create(t.Context(), account.NewApp{ID: 4, Account: "acme"}, account.Origin{})
				if err == nil {
					t.Error("the id of a deleted app was taken")
				}
				// And it can be backed up again.
				third := newWorld(t, stores[from](t))
				third.now = target.now
				third.restore(target.dump())
				if diff := cmp.Diff(target.seen(), third.seen()); diff != "" {
					t.Errorf("restored again (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestWhatIsThereStays: a second run finds all restored; another backup finds all
// taken.
func TestWhatIsThereStays(t *testing.T) {
	t.Parallel()
	for kind, open := range stores {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			source, target := newWorld(t, stores["bolt"](t)), newWorld(t, open(t))
			source.populate()
			text, another := source.dump(), source.dump()
			target.now = source.now
			first := target.restore(text, 2, 4, 99)
			if diff := cmp.Diff(&backup.Restored{Accounts: 1, Apps: 2, Users: 301, Entries: first.Entries, Missing: []uint32{99}}, first); diff != "" {
				t.Errorf("two apps (-want +got):\n%s", diff)
			}
			second := target.restore(text)
			if second.Apps != 4 || second.AppsThere != 2 || second.Accounts != 1 || second.AccountsThere != 1 {
				t.Errorf("the rest: %+v", second)
			}
			_, err := target.apps.Revoke(t.Context(), 1, "push_all", account.Origin{}) // it lives on
			target.ok(err)
			seen := target.seen()
			third := target.restore(text)
			if diff := cmp.Diff(&backup.Restored{AccountsThere: 2, AppsThere: 6}, third); diff != "" {
				t.Errorf("again (-want +got):\n%s", diff)
			}
			owner := source.store.Accounts(t.Context(), []string{"umbrella.corp"})[0].Account.Clone()
			owner.Bills[0].Paid = source.now
			source.ok(source.store.UpdateAccount(t.Context(), owner))
			r := target.restore(another)
			if diff := cmp.Diff(&backup.Restored{AccountsThere: 2, ConflictingApps: allApps}, r); diff != "" {
				t.Errorf("another backup (-want +got):\n%s", diff)
			}
			r = target.restore(source.dump())
			if diff := cmp.Diff(&backup.Restored{AccountsThere: 1, Conflicting: []string{"umbrella.corp"}, ConflictingApps: allApps}, r); diff != "" {
				t.Errorf("a newer one (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(seen, target.seen()); diff != "" {
				t.Errorf("something was changed (-want +got):\n%s", diff)
			}
		})
	}
}
