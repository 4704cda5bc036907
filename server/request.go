package server

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
)

// asked is a check or a release while it is answered: the domain's request, and
// what is wrong with the caller's. It is used again.
type asked struct {
	quota.Request
	invalidFields

	// field is the name of the action, which the domain's errors about its fields are
	// put under.
	field   string
	at      int              // in a batch
	feature quota.UseFeature // the places of the most frequent actions
	login   quota.Login
	friend  quota.AddFriend
}

var askedBefore = sync.Pool{New: func() any { return &asked{} }}

func newAsked() *asked {
	a, _ := askedBefore.Get().(*asked)
	return a
}

// free ends it, and with it the domain's request. The list of what is wrong is not
// used again: an error may have it.
func (a *asked) free() {
	*a = asked{invalidFields: invalidFields{path: a.path[:0]}}
	askedBefore.Put(a)
}

// check validates a check and converts it.
func (a *asked) check(ctx context.Context, in *imquotav1.CheckQuotaRequest, cat *catalog.Snapshot) error {
	v, r := &a.invalidFields, &a.Request
	r.App, r.ID, r.Basic = in.GetAppId(), in.GetRequestId(), v.view(in.GetView())
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	switch in.GetMode() {
	case imquotav1.Mode_MODE_UNSPECIFIED, imquotav1.Mode_MODE_CONSUME:
		r.Mode = quota.Consume
	case imquotav1.Mode_MODE_CHECK_ONLY:
		r.Mode = quota.CheckOnly
	case imquotav1.Mode_MODE_ADJUST:
		r.Mode = quota.Adjust
	case imquotav1.Mode_MODE_RESERVE:
		r.Mode = quota.Reserve
	default:
		v.add("mode", "unknown mode %d", in.GetMode())
	}
	v.client(ctx, in.GetClient(), cat, r)
	a.action(in, cat)
	v.hold(in.GetHold(), r)
	return v.err()
}

// release validates a release and converts it.
func (a *asked) release(ctx context.Context, in *imquotav1.ReleaseQuotaRequest, cat *catalog.Snapshot) error {
	v, r := &a.invalidFields, &a.Request
	r.App, r.ID, r.Basic = in.GetAppId(), in.GetRequestId(), v.view(in.GetView())
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	switch in.GetMode() {
	case imquotav1.Mode_MODE_UNSPECIFIED, imquotav1.Mode_MODE_CONSUME:
		r.Mode = quota.Consume
	case imquotav1.Mode_MODE_CHECK_ONLY:
		r.Mode = quota.CheckOnly
	case imquotav1.Mode_MODE_ADJUST:
		v.add("mode", "a release is never denied by a limit: MODE_ADJUST has no meaning")
	case imquotav1.Mode_MODE_RESERVE:
		v.add("mode", "a release takes nothing that could be held: MODE_RESERVE has no meaning")
	default:
		v.add("mode", "unknown mode %d", in.GetMode())
	}
	v.client(ctx, in.GetClient(), cat, r)
	r.Action, a.field = v.release(in)
	return v.err()
}

func (v *invalidFields) view(view imquotav1.View) (basic bool) {
	switch view {
	case imquotav1.View_VIEW_UNSPECIFIED, imquotav1.View_VIEW_FULL:
	case imquotav1.View_VIEW_BASIC:
		return true
	default:
		v.add("view", "unknown view %d", view)
	}
	return false
}

// client validates the client and fills in the request's.
func (v *invalidFields) client(ctx context.Context, c *imquotav1.Client, cat *catalog.Snapshot, r *quota.Request) {
	v.optional("client.id", c.GetId(), maxClientID)
	if r.ID != "" { // it scopes that
		r.Caller = callerOf(ctx, c.GetId())
	}
	if p := c.GetPlatform(); p != "" {
		if _, ok := cat.Family(p); !ok {
			v.add("client.platform", "unknown platform %q; there are %s", p, strings.Join(cat.PlatformNames(), ", "))
		}
		r.Client.Platform = p
	}
	if s := c.GetSdkVersion(); s != "" {
		sdk, err := catalog.ParseSDKVersion(s)
		if err != nil {
			v.add("client.sdk_version", "%v", err)
		}
		r.Client.SDK, r.Client.HasSDK = sdk, true
	}
}

// action validates the action and converts it.
func (a *asked) action(in *imquotav1.CheckQuotaRequest, cat *catalog.Snapshot) {
	if u, ok := in.GetAction().(*imquotav1.CheckQuotaRequest_UseFeature); ok {
		a.useFeature(u.UseFeature)
		return
	}
	a.Action, a.field = a.counted(in, cat)
}

// counted validates an action that counts something and converts it.
func (a *asked) counted(in *imquotav1.CheckQuotaRequest, cat *catalog.Snapshot) (action quota.Action, field string) {
	switch said := in.GetAction().(type) {
	case *imquotav1.CheckQuotaRequest_RegisterUsers:
		field, action = "register_users", &quota.RegisterUsers{UserIDs: said.RegisterUsers.GetUserIds()}
		a.in(field, func() { a.users("user_ids", said.RegisterUsers.GetUserIds(), 1) })
	case *imquotav1.CheckQuotaRequest_Login:
		a.login = quota.Login{UserID: said.Login.GetUserId()}
		field, action = "login", &a.login
		a.in(field, func() { a.user("user_id", said.Login.GetUserId()) })
	case *imquotav1.CheckQuotaRequest_AddFriend:
		f := said.AddFriend
		a.friend = quota.AddFriend{UserID: f.GetUserId(), FriendID: f.GetFriendId(), OneWay: f.GetOneWay()}
		field, action = "add_friend", &a.friend
		a.in(field, func() { a.friends(f.GetUserId(), f.GetFriendId()) })
	case *imquotav1.CheckQuotaRequest_CreateGroup:
		field, action = "create_group", a.createGroup(said.CreateGroup, cat)
	case *imquotav1.CheckQuotaRequest_JoinGroup:
		j := said.JoinGroup
		field, action = "join_group", &quota.JoinGroup{GroupID: j.GetGroupId(), GroupType: keyOf(cat, j.GetGroupType()), UserID: j.GetUserId()}
		a.in(field, func() {
			a.group("group_id", j.GetGroupId())
			a.key("group_type", j.GetGroupType())
			a.user("user_id", j.GetUserId())
		})
	case *imquotav1.CheckQuotaRequest_AddGroupMembers:
		m := said.AddGroupMembers
		field, action = "add_group_members", &quota.AddGroupMembers{GroupID: m.GetGroupId(), GroupType: keyOf(cat, m.GetGroupType()), UserIDs: m.GetUserIds()}
		a.in(field, func() {
			a.group("group_id", m.GetGroupId())
			a.key("group_type", m.GetGroupType())
			a.users("user_ids", m.GetUserIds(), 1)
		})
	case *imquotav1.CheckQuotaRequest_UseQuota:
		field = "use_quota"
		a.in(field, func() {
			u := said.UseQuota
			a.key("quota", u.GetQuota())
			a.optional("subject", u.GetSubject(), quota.MaxGroupID)
			action = &quota.UseQuota{Quota: u.GetQuota(), Subject: u.GetSubject(), Amount: a.amount("amount", optionalAmount(u))}
		})
	default:
		a.add("action", "is missing: one of use_feature, register_users, login, add_friend, create_group, join_group, add_group_members, use_quota")
	}
	return action, field
}

// keyOf returns the key of a type of group that is called by an alias, so that
// both are the same request. An unknown name stays, for the domain to refuse.
func keyOf(cat *catalog.Snapshot, name string) string {
	if t, ok := cat.GroupType(name); ok {
		return t.Key
	}
	return name
}

func (a *asked) useFeature(u *imquotav1.UseFeature) {
	a.field = "use_feature"
	a.in(a.field, func() {
		a.key("feature", u.GetFeature())
		a.optional("group_type", u.GetGroupType(), maxKey)
		a.optional("group_id", u.GetGroupId(), quota.MaxGroupID)
	})
	a.feature = quota.UseFeature{Feature: u.GetFeature(), GroupType: u.GetGroupType(), GroupID: u.GetGroupId()}
	a.Action = &a.feature
}

func (v *invalidFields) createGroup(g *imquotav1.CreateGroup, cat *catalog.Snapshot) quota.Action {
	v.in("create_group", func() {
		v.group("group_id", g.GetGroupId())
		v.key("group_type", g.GetGroupType())
		v.optional("owner_id", g.GetOwnerId(), quota.MaxUserID)
		v.users("member_ids", g.GetMemberIds(), 0)
	})
	return &quota.CreateGroup{GroupID: g.GetGroupId(), GroupType: keyOf(cat, g.GetGroupType()), OwnerID: g.GetOwnerId(), MemberIDs: g.GetMemberIds()}
}

func (v *invalidFields) friends(user, friend string) {
	v.user("user_id", user)
	v.user("friend_id", friend)
	if user == friend && user != "" {
		v.add("friend_id", "is the user: nobody is their own friend")
	}
}

// release validates the release and converts it.
func (v *invalidFields) release(in *imquotav1.ReleaseQuotaRequest) (release quota.Action, field string) {
	switch a := in.GetRelease().(type) {
	case *imquotav1.ReleaseQuotaRequest_RemoveFriend:
		f := a.RemoveFriend
		field, release = "remove_friend", &quota.RemoveFriend{UserID: f.GetUserId(), FriendID: f.GetFriendId(), OneWay: f.GetOneWay()}
		v.in(field, func() { v.friends(f.GetUserId(), f.GetFriendId()) })
	case *imquotav1.ReleaseQuotaRequest_LeaveGroup:
		field, release = "leave_group", &quota.LeaveGroup{GroupID: a.LeaveGroup.GetGroupId(), UserID: a.LeaveGroup.GetUserId()}
		v.in(field, func() {
			v.group("group_id", a.LeaveGroup.GetGroupId())
			v.user("user_id", a.LeaveGroup.GetUserId())
		})
	case *imquotav1.ReleaseQuotaRequest_RemoveGroupMembers:
		m := a.RemoveGroupMembers
		field, release = "remove_group_members", &quota.RemoveGroupMembers{GroupID: m.GetGroupId(), UserIDs: m.GetUserIds()}
		v.in(field, func() {
			v.group("group_id", m.GetGroupId())
			v.users("user_ids", m.GetUserIds(), 1)
		})
	case *imquotav1.ReleaseQuotaRequest_DissolveGroup:
		field, release = "dissolve_group", &quota.DissolveGroup{GroupID: a.DissolveGroup.GetGroupId()}
		v.in(field, func() { v.group("group_id", a.DissolveGroup.GetGroupId()) })
	case *imquotav1.ReleaseQuotaRequest_DeleteUsers:
		field, release = "delete_users", &quota.DeleteUsers{UserIDs: a.DeleteUsers.GetUserIds()}
		v.in(field, func() { v.users("user_ids", a.DeleteUsers.GetUserIds(), 1) })
	case *imquotav1.ReleaseQuotaRequest_ReturnQuota:
		field = "return_quota"
		v.in(field, func() {
			q := a.ReturnQuota
			v.key("quota", q.GetQuota())
			v.optional("subject", q.GetSubject(), quota.MaxGroupID)
			release = &quota.ReturnQuota{Quota: q.GetQuota(), Subject: q.GetSubject(), Amount: v.amount("amount", optionalAmount(q))}
		})
	default:
		v.add("release", "is missing: one of remove_friend, leave_group, remove_group_members, dissolve_group, delete_users, return_quota")
	}
	return release, field
}

// optionalAmount returns the amount of a message, nil when it is not set.
func optionalAmount(m interface{ GetAmount() int64 }) *int64 {
	switch m := m.(type) {
	case *imquotav1.UseQuota:
		if m != nil {
			return m.Amount
		}
	case *imquotav1.ReturnQuota:
		if m != nil {
			return m.Amount
		}
	}
	return nil
}

// under puts a domain error about a field of the action under its name.
func under(field string, err error) error {
	var invalid *account.InvalidError
	if field != "" && errors.As(err, &invalid) {
		return &account.InvalidError{Field: field + "." + invalid.Field, Description: invalid.Description}
	}
	return err
}
