package server_test

import (
	"fmt"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// The requests that tests make, with what they do not say left out.

func check(app uint32, action any) *imquotav1.CheckQuotaRequest {
	r := &imquotav1.CheckQuotaRequest{AppId: app}
	switch a := action.(type) {
	case *imquotav1.UseFeature:
		r.Action = &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: a}
	case *imquotav1.RegisterUsers:
		r.Action = &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: a}
	case *imquotav1.Login:
		r.Action = &imquotav1.CheckQuotaRequest_Login{Login: a}
	case *imquotav1.AddFriend:
		r.Action = &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: a}
	case *imquotav1.CreateGroup:
		r.Action = &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: a}
	case *imquotav1.JoinGroup:
		r.Action = &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: a}
	case *imquotav1.AddGroupMembers:
		r.Action = &imquotav1.CheckQuotaRequest_AddGroupMembers{AddGroupMembers: a}
	case *imquotav1.UseQuota:
		r.Action = &imquotav1.CheckQuotaRequest_UseQuota{UseQuota: a}
	default:
		panic(fmt.Sprintf("no action: %T", action))
	}
	return r
}

func release(app uint32, action any) *imquotav1.ReleaseQuotaRequest {
	r := &imquotav1.ReleaseQuotaRequest{AppId: app}
	switch a := action.(type) {
	case *imquotav1.RemoveFriend:
		r.Release = &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: a}
	case *imquotav1.LeaveGroup:
		r.Release = &imquotav1.ReleaseQuotaRequest_LeaveGroup{LeaveGroup: a}
	case *imquotav1.RemoveGroupMembers:
		r.Release = &imquotav1.ReleaseQuotaRequest_RemoveGroupMembers{RemoveGroupMembers: a}
	case *imquotav1.DissolveGroup:
		r.Release = &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: a}
	case *imquotav1.DeleteUsers:
		r.Release = &imquotav1.ReleaseQuotaRequest_DeleteUsers{DeleteUsers: a}
	case *imquotav1.ReturnQuota:
		r.Release = &imquotav1.ReleaseQuotaRequest_ReturnQuota{ReturnQuota: a}
	default:
		panic(fmt.Sprintf("no release: %T", action))
	}
	return r
}

func login(app uint32, user string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.Login{UserId: user})
}

func addFriend(app uint32, user, friend string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.AddFriend{UserId: user, FriendId: friend})
}

func createGroup(app uint32, id, groupType string, members ...string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.CreateGroup{GroupId: id, GroupType: groupType, MemberIds: members})
}

func joinGroup(app uint32, id, groupType, user string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.JoinGroup{GroupId: id, GroupType: groupType, UserId: user})
}

func addMembers(app uint32, id, groupType string, users ...string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.AddGroupMembers{GroupId: id, GroupType: groupType, UserIds: users})
}

func dissolve(app uint32, id string) *imquotav1.ReleaseQuotaRequest {
	return release(app, &imquotav1.DissolveGroup{GroupId: id})
}

// users names n users.
func users(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return ids
}
