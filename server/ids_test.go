package server_test

import (
	"testing"
	"unicode/utf8"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// FuzzIDs counts for any ids, on both stores: what FACTS §3 calls an id is
// accepted, kept to the byte, and taken for no other; nothing else is.
func FuzzIDs(f *testing.F) {
	for _, ids := range [][3]string{
		{"alice", "bob", "chess"},
		{"a", "aa", "a"},
		{"a:b", "a", "b:{c}"},
		{"{1}", "{", "}"},
		{" ", "  ", "   "},
		{"-1", "1", "0"},
		{"\x00", "a", "g"},
		{"a", "a", "g"},
		{"", "b", "g"},
		{"é", "b", "g"},
		{"a\n", "a", "g"},
		{"~~", "~", "!"},
		{"p20000.3", "e", "gateway"},
		{"12345678901234567890123456789012", "123456789012345678901234567890123", "g"},
		{"12345678901234567890123456789012", "1234567890123456789012345678901", "123456789012345678901234567890123456789012345678"},
		{"a", "b", "1234567890123456789012345678901234567890123456789"},
	} {
		f.Add(ids[0], ids[1], ids[2])
	}
	onRedis := start(f, openRedis(f, redistest.Standalone(f).Addr), newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	onRedis.app(1, "developer")
	sidecars := []*sidecar{fuzzed(f), onRedis}
	f.Fuzz(func(t *testing.T, user, friend, group string) {
		if !utf8.ValidString(user) || !utf8.ValidString(friend) || !utf8.ValidString(group) {
			return // no message can carry it
		}
		for _, s := range sidecars {
			asked := *s
			asked.t = t
			asked.countFor(user, friend, group)
		}
	})
}

// countFor counts for ids, looks at the counters, and gives all of it back.
func (s *sidecar) countFor(user, friend, group string) {
	s.t.Helper()
	_, err := s.CheckQuota(s.t.Context(), createGroup(1, group, "work", user, friend))
	if !isID(user, 32) || !isID(friend, 32) || !isID(group, 48) || user == friend {
		if status.Code(err) != codes.InvalidArgument {
			s.t.Errorf("%q, %q, %q: %v", user, friend, group, err)
		}
		return
	}
	if err != nil {
		s.t.Fatalf("%q, %q, %q: %v", user, friend, group, err)
	}
	s.allow(check(1, &imquotav1.AddFriend{UserId: user, FriendId: friend, OneWay: true}))
	reserve := check(1, &imquotav1.AddFriend{UserId: friend, FriendId: user, OneWay: true})
	reserve.Mode = imquotav1.Mode_MODE_RESERVE
	held := s.allow(reserve).GetReservationId()
	s.wantCounts(user, 1, 0, 1)
	s.wantCounts(friend, 0, 1, 1)
	s.wantUsed(1, "group_members", "", group, 2)

	if _, err := s.CancelReservation(s.t.Context(), &imquotav1.CancelReservationRequest{AppId: 1, ReservationId: held}); err != nil {
		s.t.Fatal(err)
	}
	s.release(release(1, &imquotav1.RemoveFriend{UserId: user, FriendId: friend, OneWay: true}))
	s.release(release(1, &imquotav1.RemoveGroupMembers{GroupId: group, UserIds: []string{user, friend}}))
	s.wantUsed(1, "group_members", "", group, 0)
	s.release(dissolve(1, group))
	s.wantCounts(user, 0, 0, 0)
	s.wantCounts(friend, 0, 0, 0)
	s.wantUsed(1, "groups", "", "", 0)
}

// wantCounts expects the counters of a user, under the user's name.
func (s *sidecar) wantCounts(id string, friends, held, joined int64) {
	s.t.Helper()
	out, err := s.GetUsage(s.t.Context(), &imquotav1.GetUsageRequest{AppId: 1, Quotas: []string{"friends", "joined_groups"}, UserId: id})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, q := range out.GetQuotas() {
		want, wantHeld := friends, held
		if q.GetQuota() == "joined_groups" {
			want, wantHeld = joined, 0
		}
		if q.GetSubject() != id || q.GetUsed() != want || q.GetHeld() != wantHeld {
			s.t.Errorf("%q: %v, want %d used, %d held", id, q, want, wantHeld)
		}
	}
}

func isID(s string, most int) bool {
	for _, b := range []byte(s) {
		if b < 0x20 || b > 0x7e {
			return false
		}
	}
	return s != "" && len(s) <= most
}
