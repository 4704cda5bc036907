package main

import (
	"context"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// releaseCmd gives back what an action counted.
type releaseCmd struct {
	RemoveFriend       removeFriendCmd       `cmd:"" help:"Two users are friends no more."`
	LeaveGroup         leaveGroupCmd         `cmd:"" help:"A user leaves a group."`
	RemoveGroupMembers removeGroupMembersCmd `cmd:"" help:"Users are removed from a group."`
	DissolveGroup      dissolveGroupCmd      `cmd:"" help:"A group is dissolved. Its members keep what they have joined, until remove-group-members."`
	DeleteUsers        deleteUsersCmd        `cmd:"" help:"Users are deleted, with their own counters."`
	ReturnQuota        returnQuotaCmd        `cmd:"" help:"A quota that the catalog marks direct is given back."`
}

// Help is printed below the summary.
func (releaseCmd) Help() string {
	return `A release is never denied by a limit; a counter stops at zero. Example:

  imquota release remove-friend --app 1400000001 --user alice --friend bob

Exit codes: 0 released, 2 denied (an unknown app, or not in this edition), 1 a fault or wrong usage.`
}

// releaseFlags are what all releases have.
type releaseFlags struct {
	appFlag
	clientFlags
	RequestID string `help:"Id that makes a repeated call count once, for ten minutes at least." placeholder:"ID"`
	ClientID  string `help:"Name of the calling service; request ids are scoped to it." placeholder:"NAME"`
	DryRun    bool   `help:"Show what would change; change nothing."`
}

// run asks and prints. It ends with errDenied when the answer is no.
func (f *releaseFlags) run(ctx context.Context, s *streams, release func(*imquotav1.ReleaseQuotaRequest)) error {
	in := &imquotav1.ReleaseQuotaRequest{AppId: f.App, RequestId: f.RequestID, Client: &imquotav1.Client{Id: f.ClientID}}
	if f.DryRun {
		in.Mode = imquotav1.Mode_MODE_CHECK_ONLY
	}
	release(in)
	out, err := ask(ctx, &f.clientFlags, s,
		func(ctx context.Context, c *connection) (*imquotav1.ReleaseQuotaResponse, error) {
			return c.quotas.ReleaseQuota(ctx, in)
		}, decisionTable[*imquotav1.ReleaseQuotaResponse]("released", f.DryRun))
	return deniedOr(out, err)
}

type removeFriendCmd struct {
	releaseFlags
	User   string `help:"The user who removes." required:"" placeholder:"ID"`
	Friend string `help:"The user who is removed." required:"" placeholder:"ID"`
	OneWay bool   `help:"Lower the friends of --user alone."`
}

// Run carries the command out.
func (c *removeFriendCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: &imquotav1.RemoveFriend{UserId: c.User, FriendId: c.Friend, OneWay: c.OneWay}}
	})
}

type leaveGroupCmd struct {
	releaseFlags
	Group string `help:"The group." required:"" placeholder:"ID"`
	User  string `help:"The user who leaves." required:"" placeholder:"ID"`
}

// Run carries the command out.
func (c *leaveGroupCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_LeaveGroup{LeaveGroup: &imquotav1.LeaveGroup{GroupId: c.Group, UserId: c.User}}
	})
}

type removeGroupMembersCmd struct {
	releaseFlags
	Group string   `help:"The group; it may be dissolved already." required:"" placeholder:"ID"`
	User  []string `help:"A user who is removed; may be repeated." required:"" sep:"none" placeholder:"ID"`
}

// Run carries the command out.
func (c *removeGroupMembersCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_RemoveGroupMembers{RemoveGroupMembers: &imquotav1.RemoveGroupMembers{GroupId: c.Group, UserIds: c.User}}
	})
}

type dissolveGroupCmd struct {
	releaseFlags
	Group string `help:"The group." required:"" placeholder:"ID"`
}

// Run carries the command out.
func (c *dissolveGroupCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: &imquotav1.DissolveGroup{GroupId: c.Group}}
	})
}

type deleteUsersCmd struct {
	releaseFlags
	User []string `help:"A user; may be repeated." required:"" sep:"none" placeholder:"ID"`
}

// Run carries the command out.
func (c *deleteUsersCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_DeleteUsers{DeleteUsers: &imquotav1.DeleteUsers{UserIds: c.User}}
	})
}

type returnQuotaCmd struct {
	releaseFlags
	amountFlags
}

// Run carries the command out.
func (c *returnQuotaCmd) Run(ctx context.Context, s *streams) error {
	return c.run(ctx, s, func(in *imquotav1.ReleaseQuotaRequest) {
		in.Release = &imquotav1.ReleaseQuotaRequest_ReturnQuota{ReturnQuota: &imquotav1.ReturnQuota{Quota: c.Quota, Subject: c.Subject, Amount: &c.Amount}}
	})
}
