package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/imquota/imquota/account"
)

// demoApps are what --demo makes.
var demoApps = []account.NewApp{
	{ID: 1400000001, Edition: "developer", Name: "demo, developer"},
	{ID: 1400000002, Edition: "standard", Name: "demo, standard"},
	{ID: 1400000003, Edition: "premium", Name: "demo, premium"},
}

// makeDemo makes the demo apps that are not there yet.
func makeDemo(ctx context.Context, s store, apps *account.Apps) error {
	if _, _, err := initialize(ctx, s, false); err != nil {
		return err
	}
	for _, app := range demoApps {
		app.Account = "demo"
		if _, err := apps.Create(ctx, app, account.Change{}); err != nil && !errors.Is(err, account.ErrAppExists) {
			return fmt.Errorf("app %d: %w", app.ID, err)
		}
	}
	return nil
}

// printHints says what to try next, at the first address that is served on.
func printHints(w io.Writer, l *listener, hasTLS bool) {
	address, plain, server := l.near(), "-plaintext", ""
	if address != defaultListen {
		server = " --server " + address
	}
	if hasTLS && l.Addr().Network() != "unix" {
		plain, server = "-cacert FILE", server+" --tls --tls-ca FILE"
	}
	program := "imquota"
	if len(os.Args) > 0 && os.Args[0] != "" {
		program = os.Args[0]
	}
	_, _ = fmt.Fprintf(w, `
Serving on %[1]s. In another terminal, try:

  %[3]s check add-friend --app 1400000001 --user alice --friend bob%[2]s
  %[3]s check use-feature --app 1400000002 --feature community%[2]s
  %[3]s usage show --app 1400000001 --user alice%[2]s
  %[3]s catalog show
  grpcurl %[4]s -d '{"appId": 1400000001, "login": {"userId": "alice"}}' %[1]s imquota.v1.QuotaService/CheckQuota

Stop with Ctrl-C. What was counted is kept.

`, address, server, program, plain)
}
