package server

import (
	"context"
	"errors"
	"testing"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// noAccounts is a registry that cannot read accounts.
type noAccounts struct{ account.Registry }

func (noAccounts) Accounts(_ context.Context, names []string) []account.LoadedAccount {
	loaded := make([]account.LoadedAccount, len(names))
	for i := range loaded {
		loaded[i].Err = &account.Fault{Reason: account.StoreUnavailable, Detail: "is away"}
	}
	return loaded
}

// TestChangeThatCannotBeShown: all errors but one promise that nothing was
// changed. One about showing what was is that one.
func TestChangeThatCannotBeShown(t *testing.T) {
	t.Parallel()
	s := &shown{registry: noAccounts{}}
	for name, tt := range map[string]struct {
		show func(context.Context, *account.App) (*imquotav1.App, error)
		want string
	}{"read": {s.app, "STORE_UNAVAILABLE"}, "changed": {func(ctx context.Context, a *account.App) (*imquotav1.App, error) { return s.changed(ctx)(a, nil) }, "OUTCOME_UNKNOWN"}} {
		app, err := tt.show(t.Context(), &account.App{ID: 7})
		if app != nil || reasonOf(err) != tt.want {
			t.Errorf("%s: %v, %v", name, app, err)
		}
	}
	failed := errors.New("no")
	if _, err := s.changed(t.Context())(nil, failed); reasonOf(err) != "INTERNAL" {
		t.Errorf("a change that failed: %v", err)
	}
}
