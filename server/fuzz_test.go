package server_test

import (
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// FuzzCheckQuota sends whatever decodes as a check: it is decided, or refused
// with a clear fault; never with a panic, an unknown status or INTERNAL.
func FuzzCheckQuota(f *testing.F) {
	seeds := []*imquotav1.CheckQuotaRequest{
		login(1, "u"), addFriend(1, "a", "b"), createGroup(1, "g", "work", "a", "b"), joinGroup(1, "g", "live", "a"),
		addMembers(1, "g", "Public", "a"), useFeature(1, "community"), check(1, &imquotav1.UseQuota{Quota: "x"}),
		check(1, &imquotav1.RegisterUsers{UserIds: []string{"a", "b"}}),
		{},
	}
	for _, r := range seeds {
		r.RequestId = "id"
		r.Client = &imquotav1.Client{Platform: "ios", SdkVersion: "5.8"}
		wire, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	s := fuzzed(f)
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := &imquotav1.CheckQuotaRequest{}
		if proto.Unmarshal(wire, r) != nil {
			return
		}
		out, err := s.CheckQuota(t.Context(), r)
		wantAnswer(t, out.GetDecision(), err)
	})
}

// FuzzReleaseQuota is FuzzCheckQuota for releases.
func FuzzReleaseQuota(f *testing.F) {
	seeds := []*imquotav1.ReleaseQuotaRequest{
		dissolve(1, "g"), release(1, &imquotav1.DeleteUsers{UserIds: []string{"a"}}), release(1, &imquotav1.LeaveGroup{GroupId: "g", UserId: "a"}),
		release(1, &imquotav1.RemoveFriend{UserId: "a", FriendId: "b"}), release(1, &imquotav1.ReturnQuota{Quota: "x"}),
		{},
	}
	for _, r := range seeds {
		wire, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	s := fuzzed(f)
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := &imquotav1.ReleaseQuotaRequest{}
		if proto.Unmarshal(wire, r) != nil {
			return
		}
		out, err := s.ReleaseQuota(t.Context(), r)
		wantAnswer(t, out.GetDecision(), err)
	})
}

func fuzzed(f *testing.F) *sidecar {
	f.Helper()
	store, err := boltstore.Open(f.TempDir()+"/fuzz.db", boltstore.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	s := start(f, store, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	s.app(1, "developer")
	return s
}

// wantAnswer expects a decision that explains itself, or a fault that a caller
// can act on.
func wantAnswer(t *testing.T, d *imquotav1.Decision, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.OK:
		if d.GetAllowed() == (len(d.GetViolations()) > 0) {
			t.Errorf("allowed %v with violations %v", d.GetAllowed(), d.GetViolations())
		}
	case codes.InvalidArgument, codes.FailedPrecondition:
	default:
		t.Errorf("fault: %v", err)
	}
}
