package main

import (
	"context"
	"errors"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// checkCmd asks whether an action is allowed.
type checkCmd struct {
	UseFeature      useFeatureCmd      `cmd:"" help:"A feature of the plan is used. Counts nothing."`
	RegisterUsers   registerUsersCmd   `cmd:"" help:"Users are registered; known ones change nothing."`
	Login           loginCmd           `cmd:"" help:"A user logs in: a registered user if unknown, an active one if the first this month."`
	AddFriend       addFriendCmd       `cmd:"" help:"Two users become friends."`
	CreateGroup     createGroupCmd     `cmd:"" help:"A group is created."`
	JoinGroup       joinGroupCmd       `cmd:"" help:"A user joins a group."`
	AddGroupMembers addGroupMembersCmd `cmd:"" help:"Users are added to a group by others."`
	UseQuota        useQuotaCmd        `cmd:"" help:"A quota that the catalog marks direct is used."`
}

// Help is printed below the summary.
func (checkCmd) Help() string {
	return `Counts, unless --dry-run. Example:

  imquota check add-friend --app 1400000001 --user alice --friend bob

Of counters of several users the tightest is shown. Exit codes: 0 allowed, 2 denied, 1 a fault or wrong usage.`
}

// checkFlags are what all actions have.
type checkFlags struct {
	appFlag
	clientFlags
	RequestID string `help:"Id that makes a repeated call count once, for ten minutes at least." placeholder:"ID"`
	ClientID  string `help:"Name of the calling service; request ids are scoped to it." placeholder:"NAME"`
	Platform  string `help:"The device's platform, such as android or web." placeholder:"NAME"`
	SDK       string `name:"sdk" help:"The device's SDK version, such as 5.8.1668." placeholder:"VERSION"`
	DryRun    bool   `help:"Judge only; count nothing." xor:"mode"`
	Adjust    bool   `help:"Count even over the limit." xor:"mode"`
	Reserve   bool   `help:"Hold the quotas until they are committed or cancelled, or the hold ends. For create-group, add-group-members and add-friend." xor:"mode"`
	Basic     bool   `help:"Ask for the decision without its counters."`

	Hold time.Duration `help:"For how long --reserve holds, 1s to 15m; 30s when not given." placeholder:"DURATION"`
}

// Validate refuses a hold of nothing.
func (f *checkFlags) Validate() error {
	if f.Hold != 0 && !f.Reserve {
		return errors.New("--hold: is for --reserve alone")
	}
	return f.clientFlags.Validate()
}

// run asks and prints. It ends with errDenied when the answer is no.
func (f *checkFlags) run(ctx context.Context, s *streams, action func(*imquotav1.CheckQuotaRequest)) error {
	in := &imquotav1.CheckQuotaRequest{
		AppId: f.App, RequestId: f.RequestID,
		Client: &imquotav1.Client{Id: f.ClientID, Platform: f.Platform, SdkVersion: f.SDK},
	}
	done := "allowed"
	switch {
	case f.DryRun:
		in.Mode = imquotav1.Mode_MODE_CHECK_ONLY
	case f.Adjust:
		in.Mode = imquotav1.Mode_MODE_ADJUST
	case f.Reserve:
		in.Mode = imquotav1.Mode_MODE_RESERVE
		done = "reserved"
		if f.Hold != 0 {
			in.Hold = durationpb.New(f.Hold)
		}
	}
	if f.Basic {
		in.View = imquotav1.View_VIEW_BASIC
	}
	action(in)
	out, err := ask(ctx, &f.clientFlags, s,
		func(ctx context.Context, c *connection) (*imquotav1.CheckQuotaResponse, error) {
			return c.quotas.CheckQuota(ctx, in)
		}, decisionTable[*imquotav1.CheckQuotaResponse](done, f.DryRun))
	return deniedOr(out, err)
}

type useFeatureCmd struct {
	checkFlags
	Feature string `help:"Key of the feature." required:"" placeholder:"KEY"`
	Type    string `help:"Type of the group it is used in." placeholder:"TYPE"`
	Group   string `help:"The group it is used in, whose size may matter." placeholder:"ID"`
}

// Run carries the command out.
func (c *useFeatureCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: c.Feature, GroupType: c.Type, GroupId: c.Group}}
	})
}

type registerUsersCmd struct {
	checkFlags
	User []string `help:"A user; may be repeated." required:"" sep:"none" placeholder:"ID"`
}

// Run carries the command out.
func (c *registerUsersCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: &imquotav1.RegisterUsers{UserIds: c.User}}
	})
}

type loginCmd struct {
	checkFlags
	User string `help:"The user." required:"" placeholder:"ID"`
}

// Run carries the command out.
func (c *loginCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: c.User}}
	})
}

type addFriendCmd struct {
	checkFlags
	User   string `help:"The user who adds." required:"" placeholder:"ID"`
	Friend string `help:"The user who is added." required:"" placeholder:"ID"`
	OneWay bool   `help:"Count for --user alone."`
}

// Run carries the command out.
func (c *addFriendCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: c.User, FriendId: c.Friend, OneWay: c.OneWay}}
	})
}

type createGroupCmd struct {
	checkFlags
	Group  string   `help:"The new group." required:"" placeholder:"ID"`
	Type   string   `help:"Its type, such as work or AVChatRoom." required:"" placeholder:"TYPE"`
	Owner  string   `help:"Its owner." placeholder:"ID"`
	Member []string `help:"An initial member; may be repeated." sep:"none" placeholder:"ID"`
}

// Run carries the command out.
func (c *createGroupCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: &imquotav1.CreateGroup{GroupId: c.Group, GroupType: c.Type, OwnerId: c.Owner, MemberIds: c.Member}}
	})
}

type joinGroupCmd struct {
	checkFlags
	Group string `help:"The group." required:"" placeholder:"ID"`
	Type  string `help:"Its type." required:"" placeholder:"TYPE"`
	User  string `help:"The user who joins." required:"" placeholder:"ID"`
}

// Run carries the command out.
func (c *joinGroupCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: &imquotav1.JoinGroup{GroupId: c.Group, GroupType: c.Type, UserId: c.User}}
	})
}

type addGroupMembersCmd struct {
	checkFlags
	Group string   `help:"The group." required:"" placeholder:"ID"`
	Type  string   `help:"Its type." required:"" placeholder:"TYPE"`
	User  []string `help:"A user who is added; may be repeated." required:"" sep:"none" placeholder:"ID"`
}

// Run carries the command out.
func (c *addGroupMembersCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_AddGroupMembers{AddGroupMembers: &imquotav1.AddGroupMembers{GroupId: c.Group, GroupType: c.Type, UserIds: c.User}}
	})
}

// amountFlags name a direct quota and how much of it.
type amountFlags struct {
	Quota   string `help:"Key of the quota." required:"" placeholder:"KEY"`
	Subject string `help:"The user or group, by the quota's scope; empty for the app." placeholder:"ID"`
	Amount  int64  `help:"How much." default:"1"`
}

type useQuotaCmd struct {
	checkFlags
	amountFlags
}

// Run carries the command out.
func (c *useQuotaCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.CheckQuotaRequest) {
		in.Action = &imquotav1.CheckQuotaRequest_UseQuota{UseQuota: &imquotav1.UseQuota{Quota: c.Quota, Subject: c.Subject, Amount: &c.Amount}}
	})
}
