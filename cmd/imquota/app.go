package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// appCmd creates and changes apps.
type appCmd struct {
	Create       appCreateCmd       `cmd:"" help:"Create an app, or take over an existing customer's."`
	Get          appGetCmd          `cmd:"" help:"Show an app."`
	List         appListCmd         `cmd:"" help:"List the apps of an account."`
	Entitlements appEntitlementsCmd `cmd:"" help:"List what an app may do now: every feature and limit."`
	Approve      appApproveCmd      `cmd:"" help:"Approve a feature that needs an approval."`
	Activate     appActivateCmd     `cmd:"" help:"Start the trial of an add-on, once an app."`
	Override     appOverrideCmd     `cmd:"" help:"Replace a limit of the edition for one app."`
}

// changeFlags are what commands that change an app have.
type changeFlags struct {
	appFlag
	clientFlags
	RequestID string `help:"Id that makes a repeated call take effect once." placeholder:"ID"`
}

// withApp is an answer that carries an app.
type withApp interface{ GetApp() *imquotav1.App }

func appTable[T withApp](w io.Writer, out T) { printApp(w, out.GetApp()) }

func printApp(w io.Writer, a *imquotav1.App) {
	_, _ = fmt.Fprintf(w, "app %d\n", a.GetAppId())
	t := &table{}
	field := func(name, value string) {
		if value != "" {
			t.add(name, value)
		}
	}
	field("account", a.GetAccountId())
	field("name", a.GetName())
	field("region", a.GetRegion())
	field("edition", a.GetEdition())
	field("state", stateText(a))
	field("created", timeText(a.GetCreateTime()))
	for _, v := range a.GetApprovals() {
		field("approved", v.GetFeature()+" at "+timeText(v.GetApproveTime())+", active from "+timeText(v.GetActiveTime()))
	}
	for _, v := range a.GetAddOns() {
		text := v.GetAddOn() + " from " + timeText(v.GetActivateTime()) + ", trial until " + timeText(v.GetEndTime())
		if with := v.GetActivates(); len(with) > 0 {
			text += ", with " + strings.Join(with, ", ") + " (billed elsewhere)"
		}
		field("add-on", text)
	}
	for _, v := range a.GetLimitOverrides() {
		limit := fmt.Sprint(v.GetLimit())
		if v.GetUnlimited() {
			limit = "unlimited"
		}
		field("override", v.GetQuota()+" "+limit)
	}
	for _, o := range a.GetOrders() {
		text := fmt.Sprintf("%s: %s, %s, %s to %s, %s %s cash, %s credit", o.GetOrderId(), o.GetEdition(), months(o.GetMonths()),
			timeText(o.GetStartTime()), timeText(o.GetEndTime()), o.GetCash().GetAmount(), o.GetCash().GetCurrencyCode(), o.GetCredit().GetAmount())
		if o.GetNonRefundable() {
			text += ", not refundable"
		}
		field("order", text)
	}
	t.write(w)
}

func months(n int32) string {
	if n == 1 {
		return "1 month"
	}
	return fmt.Sprintf("%d months", n)
}

func stateText(a *imquotav1.App) string {
	state := strings.ToLower(upper(a.GetState(), "APP_STATE_"))
	if until := a.GetGraceUntil(); until != nil {
		state += ", served until " + instant(until)
	}
	if since := a.GetSuspendedSince(); since != nil {
		state += " since " + instant(since)
	}
	return state
}

type appCreateCmd struct {
	clientFlags
	App           uint32 `help:"App id (SDKAppID); one is chosen when it is not given." placeholder:"ID"`
	RequestID     string `help:"Id that makes a repeated call answer the app created before." placeholder:"ID"`
	Account       string `help:"The owning account." required:"" placeholder:"ID"`
	Name          string `help:"A name for people." placeholder:"TEXT"`
	Region        string `help:"The data centre; the catalog's first when it is not given." placeholder:"KEY"`
	Edition       string `help:"The edition that an existing customer has." placeholder:"KEY"`
	Import        string `help:"JSON file with what an existing customer brings along: an AppImport, such as {\"edition\": \"standard\", \"orders\": [...]}." type:"existingfile" placeholder:"FILE"`
	ExpectedUsers int64  `help:"How many users it may reach: how finely counters are spread, fixed from now on. A million when it is not given." placeholder:"N"`
	AcceptLoss    bool   `help:"Create it again although the store lost its record: counters that it lost too start at zero."`
}

// Run carries the command out.
func (c *appCreateCmd) Run(ctx context.Context, s *streams) error {
	in := &imquotav1.CreateAppRequest{
		RequestId: c.RequestID, AppId: c.App, AccountId: c.Account, Name: c.Name, Region: c.Region,
		ExpectedUsers: c.ExpectedUsers, AcceptLoss: c.AcceptLoss,
	}
	if c.Import != "" {
		text, err := os.ReadFile(c.Import)
		if err != nil {
			return err
		}
		in.Import = &imquotav1.AppImport{}
		if err := protojson.Unmarshal(text, in.GetImport()); err != nil {
			return fmt.Errorf("--import %s: %w", c.Import, err)
		}
	}
	if c.Edition != "" {
		if in.GetImport() == nil {
			in.Import = &imquotav1.AppImport{}
		}
		if in.GetImport().GetEdition() != "" && in.GetImport().GetEdition() != c.Edition {
			return fmt.Errorf("--edition %s contradicts the edition %s of --import", c.Edition, in.GetImport().GetEdition())
		}
		in.Import.Edition = c.Edition
	}
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.CreateAppResponse, error) {
			return conn.apps.CreateApp(ctx, in)
		}, appTable)
	return err
}

type appGetCmd struct {
	appFlag
	clientFlags
}

// Run carries the command out.
func (c *appGetCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetAppResponse, error) {
			return conn.apps.GetApp(ctx, &imquotav1.GetAppRequest{AppId: c.App})
		}, appTable)
	return err
}

type appListCmd struct {
	clientFlags
	Account string `help:"The account." required:"" placeholder:"ID"`
}

// Run carries the command out: all pages, as one answer.
func (c *appListCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ListAppsResponse, error) {
			all := &imquotav1.ListAppsResponse{}
			for token := ""; ; {
				page, err := conn.apps.ListApps(ctx, &imquotav1.ListAppsRequest{AccountId: c.Account, PageToken: token})
				if err != nil {
					return nil, err
				}
				all.Apps = append(all.Apps, page.GetApps()...)
				if token = page.GetNextPageToken(); token == "" {
					return all, nil
				}
			}
		},
		func(w io.Writer, out *imquotav1.ListAppsResponse) {
			if len(out.GetApps()) == 0 {
				_, _ = fmt.Fprintf(w, "account %s has no apps\n", c.Account)
				return
			}
			t := &table{}
			t.add("APP", "EDITION", "STATE", "REGION", "CREATED", "NAME")
			for _, a := range out.GetApps() {
				t.add(fmt.Sprint(a.GetAppId()), a.GetEdition(), strings.ToLower(upper(a.GetState(), "APP_STATE_")), a.GetRegion(), timeText(a.GetCreateTime()), a.GetName())
			}
			t.write(w)
		})
	return err
}

type appEntitlementsCmd struct {
	appFlag
	clientFlags
	Platform string `help:"The device's platform, such as android or web." placeholder:"NAME"`
	SDK      string `name:"sdk" help:"The device's SDK version, such as 5.8.1668." placeholder:"VERSION"`
}

// Run carries the command out.
func (c *appEntitlementsCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetEntitlementsResponse, error) {
			return conn.quotas.GetEntitlements(ctx, &imquotav1.GetEntitlementsRequest{
				AppId: c.App, Client: &imquotav1.Client{Platform: c.Platform, SdkVersion: c.SDK},
			})
		},
		func(w io.Writer, out *imquotav1.GetEntitlementsResponse) {
			_, _ = fmt.Fprintf(w, "app %d, %s edition, %s, catalog %s\n", c.App, out.GetEdition(),
				strings.ToLower(upper(out.GetAppState(), "APP_STATE_")), out.GetCatalogVersion())
			t := &table{}
			for _, l := range out.GetLimits() {
				t.add(entitlementName(l), entitlementText(l))
			}
			for _, f := range out.GetFeatures() {
				text := "yes"
				if !f.GetAllowed() {
					text = "no"
				}
				for _, v := range f.GetViolations() {
					text += ", " + upper(v.GetReason(), "REASON_")
				}
				t.add(f.GetFeature(), text)
			}
			t.write(w)
		})
	return err
}

func entitlementName(l *imquotav1.LimitEntitlement) string {
	if l.GetGroupType() == "" {
		return l.GetQuota()
	}
	return l.GetQuota() + " (" + l.GetGroupType() + ")"
}

func entitlementText(l *imquotav1.LimitEntitlement) string {
	text := fmt.Sprint(l.GetLimit())
	if l.GetUnlimited() {
		text = "unlimited"
	}
	if l.GetBilled() {
		text += ", more is billed"
	}
	if l.GetOverridden() {
		text += ", overridden"
	}
	return text
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
			return conn.apps.ApproveFeature(ctx, &imquotav1.ApproveFeatureRequest{AppId: c.App, RequestId: c.RequestID, Feature: c.Feature, ApproveTime: at})
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

type appActivateCmd struct {
	changeFlags
	AddOn string `help:"Key of the add-on." required:"" placeholder:"KEY"`
}

// Run carries the command out.
func (c *appActivateCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ActivateAddOnResponse, error) {
			return conn.apps.ActivateAddOn(ctx, &imquotav1.ActivateAddOnRequest{AppId: c.App, RequestId: c.RequestID, AddOn: c.AddOn})
		}, appTable)
	return err
}

type appOverrideCmd struct {
	changeFlags
	Quota     string `help:"Key of the quota." required:"" placeholder:"KEY"`
	Limit     *int64 `help:"The limit for this app, inclusive." xor:"override" placeholder:"N"`
	Unlimited bool   `help:"No limit for this app." xor:"override"`
	Clear     bool   `help:"The edition's limit again." xor:"override"`
}

// Run carries the command out.
func (c *appOverrideCmd) Run(ctx context.Context, s *streams) error {
	in := &imquotav1.SetLimitOverrideRequest{AppId: c.App, RequestId: c.RequestID, Quota: c.Quota}
	switch {
	case c.Limit != nil:
		in.Override = &imquotav1.SetLimitOverrideRequest_Limit{Limit: *c.Limit}
	case c.Unlimited:
		in.Override = &imquotav1.SetLimitOverrideRequest_Unlimited{Unlimited: true}
	case c.Clear:
		in.Override = &imquotav1.SetLimitOverrideRequest_Clear{Clear: true}
	default:
		return errors.New("say one of --limit, --unlimited and --clear")
	}
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.SetLimitOverrideResponse, error) {
			return conn.apps.SetLimitOverride(ctx, in)
		}, appTable)
	return err
}
