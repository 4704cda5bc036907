package bench

import (
	"fmt"
	"math/rand/v2"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// source draws what one caller asks.
type source struct {
	*Population
	rng    *rand.Rand
	caller int
	drawn  uint64 // requests with an id, new users and groups, which have numbers of their own
	keeps  int    // relations that stay at least
}

// device is where the requests come from.
var device = &imquotav1.Client{Id: "bench", Platform: "android", SdkVersion: "7.5.4864"}

// check is a request of an app; the caller sets the action.
func (s *source) check(app int) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: s.Apps[app], View: s.View, Client: device}
}

// number is one that no other step of the run has.
func (s *source) number() uint64 {
	s.drawn++
	return uint64(s.caller)<<40 | s.drawn
}

// requestID names a request that counts, if requests are to have names.
func (s *source) requestID() string {
	if !s.RequestIDs {
		return ""
	}
	return s.Run + id("req-", s.number())
}

func (s *source) useFeature() step {
	c := s.check(s.rng.IntN(len(s.Apps)))
	feature := s.Features[s.rng.IntN(len(s.Features))]
	c.Action = &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: feature}}
	return step{check: c}
}

func (s *source) login() step {
	app, user, _ := s.draw(s.rng)
	return s.loginOf(app, user)
}

// firstLogin is of a user that nobody has seen.
func (s *source) firstLogin() step {
	return s.loginOf(s.rng.IntN(len(s.Apps)), id("new-", scatter(s.number()+scatter(s.Seed))))
}

func (s *source) loginOf(app int, user string) step {
	c := s.check(app)
	c.RequestId = s.requestID()
	c.Action = &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: user}}
	return step{check: c}
}

func (s *source) addFriend() step {
	app, user, friend := s.draw(s.rng)
	return s.addFriendOf(app, user, friend, false)
}

func (s *source) addFriendOf(app int, user, friend string, oneWay bool) step {
	c := s.check(app)
	c.RequestId = s.requestID()
	c.Action = &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: user, FriendId: friend, OneWay: oneWay}}
	return step{check: c}
}

// release is a request of an app; the caller sets what is undone.
func (s *source) release(app int) *imquotav1.ReleaseQuotaRequest {
	return &imquotav1.ReleaseQuotaRequest{AppId: s.Apps[app], RequestId: s.requestID(), View: s.View, Client: device}
}

// groupID is of a group that is not there yet.
func (s *source) groupID() string { return fmt.Sprintf("@%s#%d", s.Run, s.number()) }
