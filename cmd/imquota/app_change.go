package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
)

// changeFlags are what commands that change an app have.
type changeFlags struct {
	appFlag
	clientFlags
	actorFlag
	RequestID string `help:"Id that makes a repeated call take effect once." placeholder:"ID"`
}

// actorFlag says who asks.
type actorFlag struct {
	Actor string `help:"Who asks, as it is recorded with the change where no certificate says it; your name on this machine when it is not given." placeholder:"NAME"`
}

func (f *actorFlag) actor() string {
	if f.Actor != "" {
		return f.Actor
	}
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return loggable(name)
}

// maxActor is how many bytes of a name an app's log takes.
const maxActor = 64

// loggable is a name as an app's log takes it: printable ASCII. One that
// somebody chose as --actor is sent as it is, and refused if it is not.
func loggable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), maxActor)]
}

type appApproveCmd struct {
	changeFlags
	Feature string `help:"Key of the feature." required:"" placeholder:"KEY"`
	At      string `help:"When it was approved; now when it is not given." placeholder:"INSTANT"`
}

// Run carries the command out.
func (c *appApproveCmd) Run(ctx context.Context, s *streams) error {
	at, err := parseTime("--at", c.At)
	if err != nil {
		return err
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ApproveFeatureResponse, error) {
			return conn.apps.ApproveFeature(ctx, &imquotav1.ApproveFeatureRequest{
				AppId: c.App, RequestId: c.RequestID, Actor: c.actor(), Feature: c.Feature, ApproveTime: at,
			})
		}, func(w io.Writer, out *imquotav1.ApproveFeatureResponse) {
			appTable(w, out)
			for _, v := range out.GetApp().GetApprovals() {
				if v.GetFeature() == c.Feature && at != nil && !proto.Equal(v.GetApproveTime(), at) {
					_, _ = fmt.Fprintf(w, "%s was approved before, and the first approval holds: nothing changed\n", c.Feature)
				}
			}
		})
	return err
}

type appRevokeCmd struct {
	changeFlags
	Feature string `help:"Key of the feature." required:"" placeholder:"KEY"`
}

// Run carries the command out.
func (c *appRevokeCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.RevokeFeatureResponse, error) {
			return conn.apps.RevokeFeature(ctx, &imquotav1.RevokeFeatureRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor(), Feature: c.Feature})
		}, appTable)
	return err
}

type appActivateCmd struct {
	changeFlags
	AddOn string `help:"Key of the add-on." required:"" placeholder:"KEY"`
}

// Run carries the command out.
func (c *appActivateCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ActivateAddOnResponse, error) {
			return conn.apps.ActivateAddOn(ctx, &imquotav1.ActivateAddOnRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor(), AddOn: c.AddOn})
		}, appTable)
	return err
}

type appOverrideCmd struct {
	changeFlags
	Quota     string `help:"Key of the quota." required:"" placeholder:"KEY"`
	Limit     *int64 `help:"The limit for this app, inclusive." xor:"override" placeholder:"N"`
	Unlimited bool   `help:"No limit for this app." xor:"override"`
	Clear     bool   `help:"The edition's limit again." xor:"override"`
	Until     string `help:"When the edition's limit holds again; until it is changed when it is not given." placeholder:"INSTANT"`
}

// Run carries the command out.
func (c *appOverrideCmd) Run(ctx context.Context, s *streams) error {
	until, err := parseTime("--until", c.Until)
	if err != nil {
		return err
	}
	in := &imquotav1.SetLimitOverrideRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor(), Quota: c.Quota, EndTime: until}
	switch {
	case c.Clear && until != nil:
		return errors.New("--until: belongs to --limit and --unlimited")
	case c.Limit != nil:
		in.Override = &imquotav1.SetLimitOverrideRequest_Limit{Limit: *c.Limit}
	case c.Unlimited:
		in.Override = &imquotav1.SetLimitOverrideRequest_Unlimited{Unlimited: true}
	case c.Clear:
		in.Override = &imquotav1.SetLimitOverrideRequest_Clear{Clear: true}
	default:
		return errors.New("say one of --limit, --unlimited and --clear")
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.SetLimitOverrideResponse, error) {
			return conn.apps.SetLimitOverride(ctx, in)
		}, appTable)
	return err
}

type appRenewalCmd struct {
	changeFlags
	Mode   string `help:"Who renews the plan: manual (its owner), automatic (the biller, when it is told), none (it is to end)." required:"" enum:"manual,automatic,none" placeholder:"MODE"`
	Months int32  `help:"With automatic: for how many months; one when it is not given." placeholder:"N"`
}

// Help is printed below the summary.
func (*appRenewalCmd) Help() string {
	return `imquota never charges by itself: what is due is listed by imquota account notices.`
}

// Validate refuses months that nobody would renew for.
func (c *appRenewalCmd) Validate() error {
	if c.Months != 0 && c.Mode != "automatic" {
		return errors.New("--months: belongs to --mode automatic")
	}
	return nil
}

// Run carries the command out.
func (c *appRenewalCmd) Run(ctx context.Context, s *streams) error {
	mode := imquotav1.RenewalMode(imquotav1.RenewalMode_value["RENEWAL_MODE_"+strings.ToUpper(c.Mode)])
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.SetRenewalResponse, error) {
			return conn.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{
				AppId: c.App, RequestId: c.RequestID, Actor: c.actor(), Renewal: &imquotav1.Renewal{Mode: mode, Months: c.Months},
			})
		}, appTable)
	return err
}

type appMigrateCmd struct {
	changeFlags
}

// Run carries the command out.
func (c *appMigrateCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.MigrateBillingResponse, error) {
			return conn.apps.MigrateBilling(ctx, &imquotav1.MigrateBillingRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor()})
		},
		func(w io.Writer, out *imquotav1.MigrateBillingResponse) {
			appTable(w, out)
			if out.GetApp().GetMigrateTime() == nil {
				_, _ = fmt.Fprintln(w, "it never was in the legacy billing mode: nothing changed")
			}
		})
	return err
}

type appDisableCmd struct {
	changeFlags
}

// Run carries the command out.
func (c *appDisableCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.DisableAppResponse, error) {
			return conn.apps.DisableApp(ctx, &imquotav1.DisableAppRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor()})
		}, appTable)
	return err
}

type appEnableCmd struct {
	changeFlags
}

// Run carries the command out.
func (c *appEnableCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.EnableAppResponse, error) {
			return conn.apps.EnableApp(ctx, &imquotav1.EnableAppRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor()})
		}, appTable)
	return err
}

type appDeleteCmd struct {
	changeFlags
}

// Help is printed below the summary.
func (*appDeleteCmd) Help() string {
	return `Refused unless the app is disabled, so that nobody deletes one that is in use:

  imquota app disable --app 1400000001
  imquota app delete --app 1400000001

Its counters go, its place in the account is free, its id is not used again. Its
record, its log and the monthly totals that bills are made from stay.`
}

// Run carries the command out.
func (c *appDeleteCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.DeleteAppResponse, error) {
			return conn.apps.DeleteApp(ctx, &imquotav1.DeleteAppRequest{AppId: c.App, RequestId: c.RequestID, Actor: c.actor()})
		},
		func(w io.Writer, out *imquotav1.DeleteAppResponse) {
			appTable(w, out)
			a := out.GetApp()
			_, _ = fmt.Fprintf(w, `
Gone: %s; its place in the account %s is free.
Kept: its record, its log (imquota app events --app %d), and the monthly totals that bills are made from.
`, when(a.GetSweepTime() != nil, "all its counters", "its counters, the last of them soon, in the background"), a.GetAccountId(), a.GetAppId())
		})
	return err
}
