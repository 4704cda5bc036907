package server_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// The apps that a handler's work is measured for.
const (
	premiumApp   = 7
	standardApp  = 8
	suspendedApp = 9
)

// newHandlers are the handlers of QuotaService, with a store that answers at once
// and finds every counter at a number.
func newHandlers(tb testing.TB, used int64) imquotav1.QuotaServiceServer {
	tb.Helper()
	m := &storetest.Instant{Model: storetest.NewModel(), Used: used}
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m})
	e.Confirmed(time.Now().Add(time.Hour))
	now := time.Now()
	for id, edition := range map[uint32]string{premiumApp: "premium", standardApp: "standard", suspendedApp: "premium"} {
		app := &account.App{ID: id, Account: "a", Region: "sg", Edition: edition, Created: now, FanoutBits: 8}
		app.Orders = []account.Order{{ID: "o", Edition: edition, Months: 12, Start: now.AddDate(0, -6, 0), End: now.AddDate(0, 6, 0)}}
		if id == suspendedApp {
			app.Disabled = []account.Spell{{From: now.Add(-time.Hour)}}
		}
		if err := m.CreateApp(context.Background(), app, account.Event{}, 10, false); err != nil {
			tb.Fatal(err)
		}
	}
	h := &handlers{}
	server.New(server.Options{Enforcer: e, Apps: &account.Apps{Registry: m, Catalog: e.Catalog}}).RegisterQuota(h)
	return h.QuotaServiceServer
}

// handlers takes the place of a gRPC server.
type handlers struct{ imquotav1.QuotaServiceServer }

func (h *handlers) RegisterService(_ *grpc.ServiceDesc, service any) {
	h.QuotaServiceServer, _ = service.(imquotav1.QuotaServiceServer)
}

// benchCase is a request whose cost is measured.
type benchCase struct {
	name    string
	request *imquotav1.CheckQuotaRequest
	used    int64
	want    string
}

func benchCases() []benchCase {
	user, friend := "user-00000000000000", "user-00000000000001"
	android := &imquotav1.Client{Id: "gateway-1", Platform: "android", SdkVersion: "7.1.3925"}
	feature := &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "user_status"}}
	friends := &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: user, FriendId: friend}}
	const allowed, denied = "allowed", "denied"
	return []benchCase{
		{"feature", &imquotav1.CheckQuotaRequest{AppId: premiumApp, Action: feature}, 0, allowed},
		{"feature-of-device", &imquotav1.CheckQuotaRequest{AppId: premiumApp, RequestId: "0123456789abcdef", Client: android, Action: &imquotav1.CheckQuotaRequest_UseFeature{
			UseFeature: &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "work"},
		}}, 0, allowed},
		{"feature-denied", &imquotav1.CheckQuotaRequest{AppId: standardApp, Action: feature}, 0, denied},
		{"feature-suspended", &imquotav1.CheckQuotaRequest{AppId: suspendedApp, Action: feature}, 0, denied},
		{"feature-unknown", &imquotav1.CheckQuotaRequest{AppId: premiumApp, Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "no_such"}}}, 0, "fault"},
		{"login", &imquotav1.CheckQuotaRequest{AppId: premiumApp, Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: user}}}, 3, allowed},
		{"add_friend", &imquotav1.CheckQuotaRequest{AppId: premiumApp, RequestId: "0123456789abcdef", Action: friends}, 3, allowed},
		{"add_friend-denied", &imquotav1.CheckQuotaRequest{AppId: standardApp, Action: friends}, 3000, denied},
		{"add_friend-reserved", &imquotav1.CheckQuotaRequest{AppId: premiumApp, RequestId: "0123456789abcdef", Mode: imquotav1.Mode_MODE_RESERVE, Action: friends}, 3, allowed},
		{"create_group", &imquotav1.CheckQuotaRequest{AppId: premiumApp, RequestId: "0123456789abcdef", Action: &imquotav1.CheckQuotaRequest_CreateGroup{
			CreateGroup: &imquotav1.CreateGroup{GroupId: "group-0001", GroupType: "work", OwnerId: user, MemberIds: []string{user, friend}},
		}}, 3, allowed},
		{"join_group", &imquotav1.CheckQuotaRequest{AppId: premiumApp, RequestId: "0123456789abcdef", Action: &imquotav1.CheckQuotaRequest_JoinGroup{
			JoinGroup: &imquotav1.JoinGroup{GroupId: "group-0001", GroupType: "Public", UserId: user},
		}}, 3, allowed},
	}
}

// verdict is what a check came to.
func verdict(d *imquotav1.Decision, err error) string {
	switch {
	case err != nil:
		return "fault"
	case d.GetAllowed():
		return "allowed"
	}
	return "denied"
}

var views = map[string]imquotav1.View{"basic": imquotav1.View_VIEW_BASIC, "full": imquotav1.View_VIEW_FULL}

// BenchmarkCheckQuota shows what a handler costs, the way to it apart.
func BenchmarkCheckQuota(b *testing.B) {
	for _, c := range benchCases() {
		for view, v := range views {
			b.Run(c.name+"/"+view, func(b *testing.B) {
				c.request.View = v
				h, ctx := newHandlers(b, c.used), context.Background()
				b.ReportAllocs()
				for b.Loop() {
					out, err := h.CheckQuota(ctx, c.request)
					if got := verdict(out.GetDecision(), err); got != c.want {
						b.Fatalf("%s (%v), want %s", got, err, c.want)
					}
				}
			})
		}
	}
}

// BenchmarkCheckQuotaOnWire is the same from the bytes of the request to those of
// the answer.
func BenchmarkCheckQuotaOnWire(b *testing.B) {
	codec := server.Codec()
	for _, c := range benchCases() {
		if c.want == "fault" {
			continue
		}
		for view, v := range views {
			b.Run(c.name+"/"+view, func(b *testing.B) {
				c.request.View = v
				wire, err := proto.Marshal(c.request)
				if err != nil {
					b.Fatal(err)
				}
				data := mem.BufferSlice{mem.SliceBuffer(wire)}
				h, ctx := newHandlers(b, c.used), context.Background()
				b.ReportAllocs()
				for b.Loop() {
					in := new(imquotav1.CheckQuotaRequest)
					if err := codec.Unmarshal(data, in); err != nil {
						b.Fatal(err)
					}
					out, err := h.CheckQuota(ctx, in)
					if err != nil {
						b.Fatal(err)
					}
					sent, err := codec.Marshal(out)
					if err != nil {
						b.Fatal(err)
					}
					sent.Free()
				}
			})
		}
	}
}

// BenchmarkBatchCheckQuota shows what 32 items cost together.
func BenchmarkBatchCheckQuota(b *testing.B) {
	const items = 32
	for _, c := range benchCases() {
		if c.name != "feature" && c.name != "add_friend" {
			continue
		}
		for view, v := range views {
			b.Run(c.name+"/"+view, func(b *testing.B) {
				c.request.View = v
				in := &imquotav1.BatchCheckQuotaRequest{}
				for i := range items {
					item, _ := proto.Clone(c.request).(*imquotav1.CheckQuotaRequest)
					if item.GetRequestId() != "" {
						item.RequestId = fmt.Sprintf("0123456789abcd%02d", i)
					}
					in.Items = append(in.Items, item)
				}
				h, ctx := newHandlers(b, c.used), context.Background()
				b.ReportAllocs()
				for b.Loop() {
					out, err := h.BatchCheckQuota(ctx, in)
					if err != nil || verdict(out.GetItems()[items-1].GetDecision(), nil) != c.want {
						b.Fatal(out, err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items, "ns/item")
			})
		}
	}
}
