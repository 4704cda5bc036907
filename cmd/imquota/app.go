package main

import (
	"context"
	"fmt"
	"io"
	"os"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// appCmd creates and changes apps.
type appCmd struct {
	Create       appCreateCmd       `cmd:"" help:"Create an app, or take over an existing customer's."`
	Get          appGetCmd          `cmd:"" help:"Show an app: its plan, its state, and why."`
	List         appListCmd         `cmd:"" help:"List the apps of an account."`
	Orders       appOrdersCmd       `cmd:"" help:"List an app's orders: what was paid, and paid back."`
	Events       appEventsCmd       `cmd:"" help:"Show an app's log: who changed what, and when."`
	Entitlements appEntitlementsCmd `cmd:"" help:"List what an app may do now: every feature and limit."`
	Approve      appApproveCmd      `cmd:"" help:"Approve a feature that needs an approval."`
	Revoke       appRevokeCmd       `cmd:"" help:"Take the approval of a feature back."`
	Activate     appActivateCmd     `cmd:"" help:"Start the trial of an add-on, once an app."`
	Override     appOverrideCmd     `cmd:"" help:"Replace a limit of the edition for one app."`
	Renewal      appRenewalCmd      `cmd:"" help:"Say what happens when an app's plan ends."`
	Migrate      appMigrateCmd      `cmd:"" help:"Move an app from the legacy billing mode to prepaid plans, for good."`
	Disable      appDisableCmd      `cmd:"" help:"Suspend an app until it is enabled. What is counted stays."`
	Enable       appEnableCmd       `cmd:"" help:"End what disable began. Other reasons to be suspended stay."`
	Delete       appDeleteCmd       `cmd:"" help:"Delete a disabled app for good, with all it counted."`
	Reclaim      appReclaimCmd      `cmd:"" help:"Remove what is left of apps that are gone, now; servers do it in the background."`
}

type appCreateCmd struct {
	clientFlags
	actorFlag
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
		ExpectedUsers: c.ExpectedUsers, AcceptLoss: c.AcceptLoss, Actor: c.actor(),
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
	Deleted bool   `help:"List the account's deleted apps instead of those that it has."`
}

// Run carries the command out: all pages, as one answer.
func (c *appListCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ListAppsResponse, error) {
			all := &imquotav1.ListAppsResponse{}
			for token := ""; ; {
				page, err := conn.apps.ListApps(ctx, &imquotav1.ListAppsRequest{AccountId: c.Account, Deleted: c.Deleted, PageToken: token})
				if err != nil {
					return nil, err
				}
				all.Apps = append(all.Apps, page.GetApps()...)
				all.UnreadableAppIds = append(all.UnreadableAppIds, page.GetUnreadableAppIds()...)
				if token = page.GetNextPageToken(); token == "" {
					return all, nil
				}
			}
		},
		func(w io.Writer, out *imquotav1.ListAppsResponse) {
			for _, id := range out.GetUnreadableAppIds() {
				_, _ = fmt.Fprintf(w, "app %d cannot be read: imquota app get --app %d says why\n", id, id)
			}
			if len(out.GetApps()) == 0 && len(out.GetUnreadableAppIds()) == 0 {
				_, _ = fmt.Fprintf(w, "account %s has no %sapps\n", c.Account, when(c.Deleted, "deleted ", ""))
				return
			}
			t := &table{}
			t.add("APP", "EDITION", "STATE", "SINCE", "REGION", "CREATED", "NAME")
			for _, a := range out.GetApps() {
				t.add(fmt.Sprint(a.GetAppId()), a.GetEdition(), lower(a.GetState(), "APP_STATE_"), timeText(a.GetSuspendedSince()),
					a.GetRegion(), timeText(a.GetCreateTime()), a.GetName())
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
				lower(out.GetAppState(), "APP_STATE_"), out.GetCatalogVersion())
			printGrace(w, out.GetGraceUntil())
			printSource(w, out.GetSource())
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
