package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
)

// full fills in every field of a message that is not in a oneof, and one that no
// contract has yet.
func full(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.ContainingOneof() != nil:
		case f.Message() != nil:
			full(m.Mutable(f).Message())
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(string(f.Name())))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(7))
		}
	}
	m.SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of tomorrow"))
}

// TestNothingIsLost of a request that is completed before it is sent, and it is not
// changed.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		check := &imquotav1.CheckQuotaRequest{Action: friend("bob").GetAction()}
		full(check.ProtoReflect())
		release := &imquotav1.ReleaseQuotaRequest{Release: &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: &imquotav1.DissolveGroup{GroupId: "g"}}}
		full(release.ProtoReflect())
		check.RequestId, check.Client.Id, release.RequestId, release.Client.Id = "", "", "", ""
		for _, asked := range []proto.Message{check, release} {
			s := script(func(context.Context, string, int) (*imquotav1.Decision, error) { return allowed, nil })
			c := client.New(s, client.Options{ID: "mine"})
			kept := proto.Clone(asked)
			var err error
			if _, ok := asked.(*imquotav1.CheckQuotaRequest); ok {
				_, err = c.Check(t.Context(), check)
			} else {
				_, err = c.Release(t.Context(), release)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(kept, asked, protocmp.Transform()); diff != "" {
				t.Errorf("the caller's request was changed: %s", diff)
			}
			minted := protocmp.FilterField(asked, "request_id", cmp.Ignore())
			kept.ProtoReflect().Mutable(kept.ProtoReflect().Descriptor().Fields().ByName("client")).Message().Interface().(*imquotav1.Client).Id = "mine"
			if diff := cmp.Diff(kept, s.sent[0], protocmp.Transform(), minted); diff != "" {
				t.Errorf("sent, and not asked: %s", diff)
			}
			if id := s.sent[0].(interface{ GetRequestId() string }).GetRequestId(); len(id) < 22 || len(id) > 64 {
				t.Errorf("request id %q", id)
			}
		}
	})
}

// friend asks for one more friend of alice's.
func friend(id string) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 2, Action: &imquotav1.CheckQuotaRequest_AddFriend{
		AddFriend: &imquotav1.AddFriend{UserId: "alice", FriendId: id, OneWay: true},
	}}
}

// unfriend gives it back.
func unfriend(id string) *imquotav1.ReleaseQuotaRequest {
	return &imquotav1.ReleaseQuotaRequest{AppId: 2, Release: &imquotav1.ReleaseQuotaRequest_RemoveFriend{
		RemoveFriend: &imquotav1.RemoveFriend{UserId: "alice", FriendId: id, OneWay: true},
	}}
}

// TestWhatIsGivenAnID: what would count twice if it was carried out twice. Every
// attempt has the same, and everything is repeated.
func TestWhatIsGivenAnID(t *testing.T) {
	t.Parallel()
	in := func(m imquotav1.Mode, r *imquotav1.CheckQuotaRequest) *imquotav1.CheckQuotaRequest {
		r.Mode = m
		return r
	}
	own := friend("bob")
	own.RequestId = "own"
	removal := func(m imquotav1.Mode) *imquotav1.ReleaseQuotaRequest {
		return &imquotav1.ReleaseQuotaRequest{AppId: 1, Mode: m, Release: &imquotav1.ReleaseQuotaRequest_LeaveGroup{LeaveGroup: &imquotav1.LeaveGroup{}}}
	}
	join := &imquotav1.CheckQuotaRequest{Action: &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: &imquotav1.JoinGroup{}}}
	use := &imquotav1.CheckQuotaRequest{Action: &imquotav1.CheckQuotaRequest_UseQuota{UseQuota: &imquotav1.UseQuota{}}}
	register := &imquotav1.CheckQuotaRequest{Action: &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: &imquotav1.RegisterUsers{}}}
	for name, c := range map[string]struct {
		asked proto.Message
		want  bool
	}{
		"a friend":           {friend("bob"), true},
		"a friend, consumed": {in(imquotav1.Mode_MODE_CONSUME, friend("bob")), true},
		"a friend, adjusted": {in(imquotav1.Mode_MODE_ADJUST, friend("bob")), true},
		"a friend, reserved": {in(imquotav1.Mode_MODE_RESERVE, friend("bob")), true},
		"a mode of tomorrow": {in(99, friend("bob")), true},
		"a join":             {join, true},
		"a direct quota":     {use, true},
		"a group":            {group("g"), true},
		"only checked":       {in(imquotav1.Mode_MODE_CHECK_ONLY, friend("bob")), false},
		"a feature":          {feature(), false},
		"a login":            {login("bob"), false},
		"registered users":   {register, false},
		"with its own":       {own, false},
		"a release":          {removal(imquotav1.Mode_MODE_UNSPECIFIED), true},
		"a release, checked": {removal(imquotav1.Mode_MODE_CHECK_ONLY), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(_ context.Context, _ string, n int) (*imquotav1.Decision, error) {
				if n < 3 {
					return nil, fault(codes.Unavailable, "OUTCOME_UNKNOWN", 0)
				}
				return allowed, nil
			})
			cl := client.New(s, client.Options{})
			var err error
			switch r := c.asked.(type) {
			case *imquotav1.CheckQuotaRequest:
				_, err = cl.Check(t.Context(), r)
			case *imquotav1.ReleaseQuotaRequest:
				_, err = cl.Release(t.Context(), r)
			}
			if err != nil || len(s.sent) != 3 {
				t.Fatalf("%s: %v after %d attempts", name, err, len(s.sent))
			}
			ids := make(map[string]bool)
			for _, m := range s.sent {
				ids[m.(interface{ GetRequestId() string }).GetRequestId()] = true
			}
			asked := c.asked.(interface{ GetRequestId() string }).GetRequestId()
			if len(ids) != 1 || ids[asked] == c.want {
				t.Errorf("%s: sent with %v", name, ids)
			}
		})
	}
}

// TestCheckIsRepeated within its time, and what the server asks to wait is heeded.
func TestCheckIsRepeated(t *testing.T) {
	t.Parallel()
	const retry = 300 * time.Millisecond
	for name, c := range map[string]struct {
		option, caller time.Duration
		within         time.Duration
	}{
		"as long as it is by itself": {0, time.Hour, 5 * time.Second},
		"as long as the option says": {time.Second, time.Hour, time.Second},
		"longer, if so":              {20 * time.Second, time.Hour, 20 * time.Second},
		"as long as the caller does": {0, 2 * time.Second, 2 * time.Second},
	} {
		for method, call := range map[string]func(context.Context, *client.Client) error{
			"CheckQuota": func(ctx context.Context, cl *client.Client) error {
				_, err := cl.Check(ctx, friend("bob"))
				return err
			},
			"ReleaseQuota": func(ctx context.Context, cl *client.Client) error {
				_, err := cl.Release(ctx, unfriend("bob"))
				return err
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				busy := fault(codes.Unavailable, "OVERLOADED", retry)
				s := script(func(context.Context, string, int) (*imquotav1.Decision, error) { return nil, busy })
				cl := client.New(s, client.Options{Timeout: c.option})
				ctx, cancel := context.WithTimeout(t.Context(), c.caller)
				defer cancel()
				err := call(ctx, cl)
				if took := time.Since(s.begun); !errors.Is(err, busy) || took > c.within || took < c.within-retry-time.Second {
					t.Errorf("%s: tried for %v: %v", name, took, err)
				}
				at := s.at[method]
				for i := range at[1:] {
					if at[i+1]-at[i] < retry {
						t.Errorf("%s: attempts at %v", name, at)
					}
				}
				if n := cl.Stats().Faults; n != 1 {
					t.Errorf("%d faults counted", n)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				s := script(func(ctx context.Context, _ string, _ int) (*imquotav1.Decision, error) { return nil, hangs(ctx) })
				ctx, cancel := context.WithTimeout(t.Context(), c.caller)
				defer cancel()
				err := call(ctx, client.New(s, client.Options{Timeout: c.option}))
				if took := time.Since(s.begun); status.Code(err) != codes.DeadlineExceeded || took > c.within || took < c.within-time.Second {
					t.Errorf("%s: hung for %v: %v", name, took, err)
				}
			})
		}
		synctest.Test(t, func(t *testing.T) {
			invalid := fault(codes.InvalidArgument, "INVALID_FIELD", 0)
			s := script(func(context.Context, string, int) (*imquotav1.Decision, error) { return nil, invalid })
			if _, err := client.New(s, client.Options{}).Check(t.Context(), friend("bob")); !errors.Is(err, invalid) || len(s.sent) != 1 {
				t.Errorf("%v after %d attempts", err, len(s.sent))
			}
		})
	}
}
