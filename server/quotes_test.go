package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (s *sidecar) purchase(app uint32, edition string, months int32) (*imquotav1.Quote, error) {
	out, err := s.billing.QuotePurchase(context.Background(), &imquotav1.QuotePurchaseRequest{
		Subject: &imquotav1.QuotePurchaseRequest_AppId{AppId: app}, Edition: edition, Months: months,
	})
	return out.GetQuote(), err
}

func (s *sidecar) renewal(app uint32, months int32) (*imquotav1.Quote, error) {
	out, err := s.billing.QuoteRenewal(context.Background(), &imquotav1.QuoteRenewalRequest{AppIds: []uint32{app}, Months: months})
	if err != nil {
		return nil, err
	}
	return out.GetItems()[0].GetQuote(), nil
}

func (s *sidecar) upgrade(app uint32, edition string) (*imquotav1.Quote, error) {
	out, err := s.billing.QuoteUpgrade(context.Background(), &imquotav1.QuoteUpgradeRequest{
		Subject: &imquotav1.QuoteUpgradeRequest_AppId{AppId: app}, Edition: edition,
	})
	return out.GetQuote(), err
}

func (s *sidecar) refund(app uint32) (*imquotav1.Quote, error) {
	out, err := s.billing.QuoteRefund(context.Background(), &imquotav1.QuoteRefundRequest{Subject: &imquotav1.QuoteRefundRequest_AppId{AppId: app}})
	return out.GetQuote(), err
}

// accept pays a quote in cash, if it is to be paid.
func (s *sidecar) accept(q *imquotav1.Quote, request string) (*imquotav1.AcceptQuoteResponse, error) {
	in := &imquotav1.AcceptQuoteRequest{QuoteId: q.GetQuoteId(), RequestId: request, Actor: "ann"}
	if q.GetKind() != imquotav1.QuoteKind_QUOTE_KIND_REFUND {
		in.Tender = &imquotav1.Tender{Cash: q.GetTotal()}
	}
	return s.billing.AcceptQuote(context.Background(), in)
}

// done accepts a quote that must be given.
func (s *sidecar) done(q *imquotav1.Quote, err error) *imquotav1.AcceptQuoteResponse {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.accept(q, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// A billing client's plan, from the purchase to the return, over the wire.
func TestQuotes_LifeOfAPlan(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, stores stores) {
		clock := newClock("2024-06-01T00:00:00+08:00")
		s := start(t, stores.first, clock, catalog.Default())
		s.app(theApp, "developer")
		q, err := s.purchase(theApp, "standard", 1)
		if err != nil {
			t.Fatal(err)
		}
		want := &imquotav1.Quote{
			QuoteId: q.GetQuoteId(), Kind: imquotav1.QuoteKind_QUOTE_KIND_PURCHASE, AppId: theApp, AccountId: "test", Edition: "standard",
			Lines: []*imquotav1.QuoteLine{{
				Description: "Standard plan, 1 month", Quantity: "1", Unit: "month", UnitPrice: usd("399.00"), Amount: usd("399.00"), AppId: theApp,
				Kind:   imquotav1.QuoteLineKind_QUOTE_LINE_KIND_PLAN,
				Period: &imquotav1.Period{StartTime: stamp("2024-06-01T00:00:00+08:00"), EndTime: stamp("2024-07-01T00:00:00+08:00")},
			}},
			Total: usd("399.00"), AsOf: stamp("2024-06-01T00:00:00+08:00"), ExpireTime: stamp("2024-06-01T00:15:00+08:00"),
			CatalogVersion: "2023-09-19", AppVersion: 1, Policies: map[string]string{"purchase_of_suspended": "no_order_left"},
			Orders: []*imquotav1.Order{{
				OrderId: q.GetQuoteId(), Edition: "standard", CurrentEdition: "standard", Months: 1, Cash: usd("0.00"), Credit: usd("0.00"), ListAmount: usd("399.00"),
				StartTime: stamp("2024-06-01T00:00:00+08:00"), EndTime: stamp("2024-07-01T00:00:00+08:00"), OrderTime: stamp("2024-06-01T00:00:00+08:00"),
			}},
			State: imquotav1.QuoteState_QUOTE_STATE_OPEN,
		}
		if diff := cmp.Diff(want, q, protocmp.Transform()); diff != "" {
			t.Errorf("quote (-want +got):\n%s", diff)
		}
		got, err := s.billing.GetQuote(t.Context(), &imquotav1.GetQuoteRequest{QuoteId: q.GetQuoteId()})
		if diff := cmp.Diff(want, got.GetQuote(), protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("kept, %v (-want +got):\n%s", err, diff)
		}

		// Another sidecar accepts it, later but in time.
		clock.Advance(10 * time.Minute)
		other := start(t, stores.another(), clock, catalog.Default())
		first, err := other.accept(q, "pay-1")
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.accept(q, "pay-1")
		if diff := cmp.Diff(first, again, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("the same request again, %v (-first +again):\n%s", err, diff)
		}
		if o := first.GetOrders(); len(o) != 1 || o[0].GetCash().GetAmount() != "399.00" || o[0].GetQuoteId() != q.GetQuoteId() ||
			first.GetApp().GetEdition() != "standard" || first.GetQuote().GetState() != imquotav1.QuoteState_QUOTE_STATE_ACCEPTED {
			t.Errorf("accepted: %v", first)
		}
		_, err = s.accept(q, "pay-2")
		wantFault(t, err, codes.FailedPrecondition, "QUOTE_ACCEPTED")
		s.allow(createGroup(theApp, "g", "work", "a", "b"))
		wantDenied(t, s.check(useFeature(theApp, "user_status")), "FEATURE_NOT_IN_EDITION")

		clock.Set(newClock("2024-06-16T00:00:00+08:00").Now())
		s.done(s.renewal(theApp, 2))
		up := s.done(s.upgrade(theApp, "premium"))
		if total := up.GetQuote().GetTotal().GetAmount(); total != "750.00" || len(up.GetOrders()) != 2 {
			t.Errorf("the upgrade of both orders is %s", total)
		}
		s.allow(useFeature(theApp, "user_status")) // seen at once by who made it

		clock.Set(newClock("2024-07-16T00:00:00+08:00").Now())
		back := s.done(s.refund(theApp))
		if total := back.GetQuote().GetTotal().GetAmount(); total != "1059.77" || back.GetApp().GetState() != imquotav1.AppState_APP_STATE_SUSPENDED {
			t.Errorf("the return is %s, the app %v", total, back.GetApp().GetState())
		}
		wantDenied(t, s.check(useFeature(theApp, "user_status")), "APP_SUSPENDED")
		orders, err := s.billing.ListOrders(t.Context(), &imquotav1.ListOrdersRequest{AppId: theApp})
		if err != nil || len(orders.GetOrders()) != 2 || orders.GetOrders()[1].GetRefund().GetCash().GetAmount() != "1059.77" ||
			orders.GetOrders()[0].GetUpgrades()[0].GetCash().GetAmount() != "150.00" {
			t.Errorf("orders %v, %v", orders, err)
		}
		page, err := s.billing.ListOrders(t.Context(), &imquotav1.ListOrdersRequest{AppId: theApp, PageSize: 1})
		if err != nil || len(page.GetOrders()) != 1 || page.GetNextPageToken() == "" {
			t.Fatal(page, err)
		}
		page, err = s.billing.ListOrders(t.Context(), &imquotav1.ListOrdersRequest{AppId: theApp, PageToken: page.GetNextPageToken()})
		if err != nil || len(page.GetOrders()) != 1 || page.GetNextPageToken() != "" || page.GetOrders()[0].GetOrderId() != orders.GetOrders()[1].GetOrderId() {
			t.Errorf("second page %v, %v", page, err)
		}
		events, err := s.apps.ListAppEvents(t.Context(), &imquotav1.ListAppEventsRequest{AppId: theApp, PageSize: 1})
		if err != nil || events.GetEvents()[0].GetAction() != "AcceptQuote" || events.GetEvents()[0].GetActor() != "ann" {
			t.Errorf("log %v, %v", events, err)
		}
		s.done(s.renewal(theApp, 1)) // lifts it, at once
		s.allow(useFeature(theApp, "user_status"))
	})
}

func wantDenied(t *testing.T, d *imquotav1.Decision, reason string) {
	t.Helper()
	if d.GetAllowed() || d.GetViolations()[0].GetReason().String() != "REASON_"+reason {
		t.Errorf("%v, want a denial: %s", d, reason)
	}
}

// Of many callers on two sidecars that accept a quote at once, one does.
func TestQuotes_AcceptedOnce(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, stores stores) {
		clock := newClock("2024-06-01T00:00:00+08:00")
		sidecars := []*sidecar{start(t, stores.first, clock, catalog.Default()), start(t, stores.another(), clock, catalog.Default())}
		sidecars[0].app(theApp, "developer")
		q, err := sidecars[0].purchase(theApp, "premium", 12)
		if err != nil {
			t.Fatal(err)
		}
		const callers = 20
		errs := make([]error, callers)
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() { _, errs[i] = sidecars[i%2].accept(q, fmt.Sprint(i)) })
		}
		running.Wait()
		accepted := 0
		for _, err := range errs {
			if err == nil {
				accepted++
				continue
			}
			wantFault(t, err, codes.FailedPrecondition, "QUOTE_ACCEPTED")
		}
		if app := sidecars[1].get(theApp); accepted != 1 || len(app.GetOrders()) != 1 {
			t.Errorf("accepted %d times: %v", accepted, app.GetOrders())
		}
	})
}

// Which quote applies follows from the plan (FACTS §6), whatever else suspends
// the app; another one names the right one.
func TestQuotes_ByState(t *testing.T) {
	t.Parallel()
	const yes = ""
	// Which RPC is right instead of a purchase of premium, a renewal, an upgrade to
	// premium and a refund.
	for _, tt := range []struct {
		name, at                           string
		order                              bool // standard, June
		returned                           bool
		purchase, renewal, upgrade, refund string
	}{
		{"no plan", "2024-06-10T00:00:00+08:00", false, false, yes, "QuotePurchase", "QuotePurchase", "QuotePurchase"},
		{"in force", "2024-06-10T00:00:00+08:00", true, false, "QuoteUpgrade", yes, yes, yes},
		{"in force to the last second", "2024-06-30T23:59:59+08:00", true, false, "QuoteUpgrade", yes, yes, yes},
		{"in grace", "2024-07-01T00:00:00+08:00", true, false, "QuoteRenewal", yes, "QuoteRenewal", "QuoteRenewal"},
		{"in grace to the last second", "2024-07-01T23:59:59+08:00", true, false, "QuoteRenewal", yes, "QuoteRenewal", "QuoteRenewal"},
		{"expired", "2024-07-02T00:00:00+08:00", true, false, yes, yes, "QuotePurchase", "QuoteRenewal"},
		{"returned", "2024-06-10T00:00:00+08:00", true, true, yes, yes, "QuotePurchase", "QuotePurchase"},
	} {
		for _, also := range []string{"", "disabled", "overdue"} {
			t.Run(tt.name+also, func(t *testing.T) {
				t.Parallel()
				clock := newClock("2024-06-09T00:00:00+08:00")
				s := start(t, boltAt(t), clock, catalog.Default())
				switch {
				case tt.order:
					s.standard()
				default:
					s.app(theApp, "developer")
				}
				if tt.returned {
					s.done(s.refund(theApp))
				}
				if also == "overdue" {
					owner := map[bool]string{true: theOwner, false: "test"}[tt.order]
					if _, err := s.billing.RecordBill(t.Context(), &imquotav1.RecordBillRequest{
						AccountId: owner, BillId: "b", Amount: usd("1"), PushTime: stamp("2024-06-08T00:00:00+08:00"),
					}); err != nil {
						t.Fatal(err)
					}
				}
				clock.Set(newClock(tt.at).Now())
				if also == "disabled" {
					s.disable(theApp)
				}
				for _, quote := range []struct {
					rpc, instead string
					ask          func() (*imquotav1.Quote, error)
				}{
					{"QuotePurchase", tt.purchase, func() (*imquotav1.Quote, error) { return s.purchase(theApp, "premium", 1) }},
					{"QuoteRenewal", tt.renewal, func() (*imquotav1.Quote, error) { return s.renewal(theApp, 1) }},
					{"QuoteUpgrade", tt.upgrade, func() (*imquotav1.Quote, error) { return s.upgrade(theApp, "premium") }},
					{"QuoteRefund", tt.refund, func() (*imquotav1.Quote, error) { return s.refund(theApp) }},
				} {
					_, err := quote.ask()
					if quote.instead == yes {
						if err != nil {
							t.Errorf("%s: %v", quote.rpc, err)
						}
						continue
					}
					wantFault(t, err, codes.FailedPrecondition, "QUOTE_NOT_APPLICABLE")
					if rpc := rpcOf(err); rpc != quote.instead || !strings.Contains(err.Error(), quote.instead) {
						t.Errorf("%s: %v names %q, want %s", quote.rpc, err, rpc, quote.instead)
					}
				}
			})
		}
	}
}

// rpcOf is the RPC that an error names.
func rpcOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()["rpc"]
		}
	}
	return ""
}

// What makes no sense is refused by the field's name.
func TestQuotes_InvalidArguments(t *testing.T) {
	t.Parallel()
	clock := newClock("2024-06-10T00:00:00+08:00")
	s := start(t, boltAt(t), clock, catalog.Default())
	s.standard()
	s.app(7, "developer")
	purchase := func(edit func(*imquotav1.QuotePurchaseRequest)) func() error {
		return func() error {
			in := &imquotav1.QuotePurchaseRequest{Subject: &imquotav1.QuotePurchaseRequest_AppId{AppId: 7}, Edition: "standard", Months: 1}
			edit(in)
			_, err := s.billing.QuotePurchase(t.Context(), in)
			return err
		}
	}
	renewal := func(in *imquotav1.QuoteRenewalRequest) func() error {
		return func() error {
			_, err := s.billing.QuoteRenewal(t.Context(), in)
			return err
		}
	}
	imagined := func(edit func(*imquotav1.Subscription)) func() error {
		return func() error {
			sub := &imquotav1.Subscription{Orders: []*imquotav1.Order{{OrderId: "a", Edition: "standard", Months: 1, StartTime: stamp("2024-06-01T00:00:00+08:00"), Cash: usd("399")}}}
			edit(sub)
			_, err := s.billing.QuoteRefund(t.Context(), &imquotav1.QuoteRefundRequest{
				Subject: &imquotav1.QuoteRefundRequest_Subscription{Subscription: sub}, AsOf: stamp("2024-06-16T00:00:00+08:00"),
			})
			return err
		}
	}
	bill := func(in *imquotav1.QuoteBillRequest) func() error {
		return func() error {
			_, err := s.billing.QuoteBill(t.Context(), in)
			return err
		}
	}
	ofApp := &imquotav1.QuoteBillRequest_AppId{AppId: theApp}
	quoted, err := s.purchase(7, "standard", 1)
	if err != nil {
		t.Fatal(err)
	}
	returned, err := s.refund(theApp)
	if err != nil {
		t.Fatal(err)
	}
	accept := func(in *imquotav1.AcceptQuoteRequest) func() error {
		return func() error {
			_, err := s.billing.AcceptQuote(t.Context(), in)
			return err
		}
	}
	online := func(in *imquotav1.ReportOnlineRequest) func() error {
		return func() error {
			_, err := s.ReportOnline(t.Context(), in)
			return err
		}
	}
	for _, tt := range []struct {
		name  string
		ask   func() error
		field string
	}{
		{"no months", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Months = 0 }), "months"},
		{"too many months", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Months = 25 }), "months"},
		{"less than no months", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Months = -1 }), "months"},
		{"no months for an app that cannot purchase either", purchase(func(in *imquotav1.QuotePurchaseRequest) {
			in.Subject, in.Months = &imquotav1.QuotePurchaseRequest_AppId{AppId: theApp}, 0
		}), "months"},
		{"no edition", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Edition = "" }), "edition"},
		{"an unknown edition", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Edition = "gold" }), "edition"},
		{"a free edition", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Edition = "developer" }), "edition"},
		{"a negative voucher", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("-1") }), "voucher.amount"},
		{"a voucher above the amount due", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("399.01") }), "voucher.amount"},
		{"a voucher above what a discount leaves", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.DiscountPercent, in.Voucher = "50", usd("199.51") }), "voucher.amount"},
		{"a voucher with parts of a cent", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("1.001") }), "voucher.amount"},
		{"a voucher that is no number", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("1e3") }), "voucher.amount"},
		{"a voucher in scientific notation", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("1.5e1") }), "voucher.amount"},
		{"a voucher with a sign", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Voucher = usd("+5") }), "voucher.amount"},
		{"a discount in scientific notation", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.DiscountPercent = "15e-1" }), "discount_percent"},
		{"at the beginning of the calendar", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.AsOf = stamp("0001-01-01T00:00:00Z") }), "as_of"},
		{"a voucher in another currency", purchase(func(in *imquotav1.QuotePurchaseRequest) {
			in.Voucher = &imquotav1.Money{CurrencyCode: "EUR", Amount: "1"}
		}), "voucher.currency_code"},
		{"a negative discount", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.DiscountPercent = "-1" }), "discount_percent"},
		{"a discount of more than all", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.DiscountPercent = "100.01" }), "discount_percent"},
		{"a discount that is no number", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.DiscountPercent = "half" }), "discount_percent"},
		{"an unknown renewal", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Renewal = &imquotav1.Renewal{} }), "renewal.mode"},
		{"before the app was there", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.AsOf = stamp("2024-06-09T23:59:59+08:00") }), "as_of"},
		{"in a year that has no end", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.AsOf = stamp("9999-06-09T23:59:59+08:00") }), "as_of"},
		{"no app", purchase(func(in *imquotav1.QuotePurchaseRequest) { in.Subject = nil }), "app_id"},
		{"no apps", renewal(&imquotav1.QuoteRenewalRequest{Months: 1}), "app_ids"},
		{"an app twice", renewal(&imquotav1.QuoteRenewalRequest{Months: 1, AppIds: []uint32{7, 7}}), "app_ids[1]"},
		{"too many apps", renewal(&imquotav1.QuoteRenewalRequest{Months: 1, AppIds: make([]uint32, 301)}), "app_ids"},
		{"one voucher for two apps", renewal(&imquotav1.QuoteRenewalRequest{Months: 1, AppIds: []uint32{7, 8}, Voucher: usd("1")}), "voucher"},
		{"renewal of no months", renewal(&imquotav1.QuoteRenewalRequest{AppIds: []uint32{theApp}}), "months"},
		{"an imagined order of no edition", imagined(func(sub *imquotav1.Subscription) { sub.Orders[0].Edition = "gold" }), "subscription.orders[0].edition"},
		{"an imagined order of no months", imagined(func(sub *imquotav1.Subscription) { sub.Orders[0].Months = 0 }), "subscription.orders[0].months"},
		{"an imagined order for less than nothing", imagined(func(sub *imquotav1.Subscription) { sub.Orders[0].Cash = usd("-1") }), "subscription.orders[0].cash.amount"},
		{"an imagined order at less than nothing", imagined(func(sub *imquotav1.Subscription) {
			sub.Orders[0].ListAmount, sub.Orders[0].Discount, sub.Orders[0].Voucher = usd("399"), usd("300"), usd("99.01")
		}), "subscription.orders[0].list_amount"},
		{"imagined orders that overlap", imagined(func(sub *imquotav1.Subscription) {
			second, _ := proto.Clone(sub.GetOrders()[0]).(*imquotav1.Order)
			second.OrderId = "b"
			sub.Orders = append(sub.Orders, second)
		}), "subscription.orders"},
		{"an imagined upgrade to a cheaper edition", imagined(func(sub *imquotav1.Subscription) {
			sub.Orders[0].Upgrades = []*imquotav1.OrderUpgrade{{Edition: "standard", UpgradeTime: stamp("2024-06-02T00:00:00+08:00")}}
		}), "subscription.orders[0].upgrades[0].edition"},
		{"imagined after the instant", imagined(func(sub *imquotav1.Subscription) { sub.CreateTime = stamp("2024-06-17T00:00:00+08:00") }), "as_of"},
		{"a bill of nobody", bill(&imquotav1.QuoteBillRequest{}), "subject"},
		{"a bill of no month", bill(&imquotav1.QuoteBillRequest{Subject: ofApp, Month: "2024-13"}), "month"},
		{"a bill of a month to come", bill(&imquotav1.QuoteBillRequest{Subject: ofApp, Month: "2024-07"}), "month"},
		{"a bill of long ago", bill(&imquotav1.QuoteBillRequest{Subject: ofApp, Month: "2023-05"}), "month"},
		{"a bill of before the app was there", bill(&imquotav1.QuoteBillRequest{Subject: ofApp, Month: "2024-05"}), "month"},
		{"a bill of less than no users", bill(&imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{
			Usage: &imquotav1.MonthUsage{Used: map[string]int64{"free_mau": -1}},
		}}}), "subscription.usage.used[free_mau]"},
		{"a bill of what is not counted by the month", bill(&imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{
			Usage: &imquotav1.MonthUsage{Used: map[string]int64{"friends": 1}},
		}}}), "subscription.usage.used[friends]"},
		{"a bill of two months", bill(&imquotav1.QuoteBillRequest{Month: "2024-06", Subject: &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{
			Usage: &imquotav1.MonthUsage{Month: "2024-05"},
		}}}), "subscription.usage.month"},
		{"paid in scientific notation", accept(&imquotav1.AcceptQuoteRequest{QuoteId: quoted.GetQuoteId(), Tender: &imquotav1.Tender{Cash: usd("3.99e2")}}), "tender.cash.amount"},
		{"paid for less", accept(&imquotav1.AcceptQuoteRequest{QuoteId: quoted.GetQuoteId(), Tender: &imquotav1.Tender{Cash: usd("398.99")}}), "tender"},
		{"paid for more", accept(&imquotav1.AcceptQuoteRequest{QuoteId: quoted.GetQuoteId(), Tender: &imquotav1.Tender{Cash: usd("399"), Credit: usd("0.01")}}), "tender"},
		{"not paid", accept(&imquotav1.AcceptQuoteRequest{QuoteId: quoted.GetQuoteId()}), "tender"},
		{"paid in another currency", accept(&imquotav1.AcceptQuoteRequest{QuoteId: quoted.GetQuoteId(), Tender: &imquotav1.Tender{Cash: &imquotav1.Money{CurrencyCode: "EUR", Amount: "399"}}}), "tender.cash.currency_code"},
		{"a return that is paid for", accept(&imquotav1.AcceptQuoteRequest{QuoteId: returned.GetQuoteId(), Tender: &imquotav1.Tender{Cash: returned.GetTotal()}}), "tender"},
		{"no quote", accept(&imquotav1.AcceptQuoteRequest{}), "quote_id"},
		{"a report of no gateway", online(&imquotav1.ReportOnlineRequest{AppId: theApp}), "gateway_id"},
		{"a report of less than nobody", online(&imquotav1.ReportOnlineRequest{AppId: theApp, GatewayId: "g", OnlineUsers: -1}), "online_users"},
		{"a lease too short", online(&imquotav1.ReportOnlineRequest{AppId: theApp, GatewayId: "g", Lease: durationpb.New(time.Millisecond)}), "lease"},
		{"a lease too long", online(&imquotav1.ReportOnlineRequest{AppId: theApp, GatewayId: "g", Lease: durationpb.New(2 * time.Hour)}), "lease"},
		{"more history than there is", func() error {
			_, err := s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: theApp, HistoryMonths: 14})
			return err
		}, "history_months"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if fields := wantFault(t, tt.ask(), codes.InvalidArgument, "INVALID_FIELD"); !slices.Contains(fields, tt.field) {
				t.Errorf("names %v, want %s", fields, tt.field)
			}
		})
	}
}

// A quote that is not there, or was forgotten.
func TestQuotes_NotFound(t *testing.T) {
	t.Parallel()
	s := start(t, boltAt(t), newClock("2024-06-10T00:00:00+08:00"), catalog.Default())
	s.standard()
	for _, id := range []string{"7", "7-", "-x", "0-x", "99999999999-x", fmt.Sprint(theApp) + "-none", "../../etc"} {
		_, err := s.billing.GetQuote(t.Context(), &imquotav1.GetQuoteRequest{QuoteId: id})
		wantFault(t, err, codes.NotFound, "QUOTE_NOT_FOUND")
		_, err = s.billing.AcceptQuote(t.Context(), &imquotav1.AcceptQuoteRequest{QuoteId: id})
		wantFault(t, err, codes.NotFound, "QUOTE_NOT_FOUND")
	}
}

// The vectors of FACTS §7 over the wire, with orders that need not exist.
func TestQuotes_Imagined(t *testing.T) {
	t.Parallel()
	s := start(t, boltAt(t), newClock("2026-06-10T00:00:00+08:00"), catalog.Default())
	refund := func(at string, orders ...*imquotav1.Order) *imquotav1.Quote {
		t.Helper()
		out, err := s.billing.QuoteRefund(t.Context(), &imquotav1.QuoteRefundRequest{
			Subject: &imquotav1.QuoteRefundRequest_Subscription{Subscription: &imquotav1.Subscription{Orders: orders}}, AsOf: stamp(at),
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.GetQuote()
	}
	order := func(id, edition, start string, months int32, cash, credit string) *imquotav1.Order {
		return &imquotav1.Order{OrderId: id, Edition: edition, Months: months, StartTime: stamp(start), Cash: usd(cash), Credit: usd(credit)}
	}
	june := order("a", "standard", "2024-06-01T00:00:00+08:00", 1, "399", "0")
	if q := refund("2024-06-16T00:00:33+08:00", june); q.GetTotal().GetAmount() != "199.49" || q.GetQuoteId() != "" || q.GetExpireTime() != nil || q.GetState() != imquotav1.QuoteState_QUOTE_STATE_UNSPECIFIED {
		t.Errorf("V7: %v", q)
	}
	v2 := refund("2024-06-11T00:00:00+08:00", order("a", "premium", "2024-01-01T00:00:00+08:00", 12, "8000", "388"))
	wantLegs := []*imquotav1.RefundLeg{{OrderId: "a", Cash: usd("4444.44"), Credit: usd("215.56"), Voucher: usd("0.00"), Paid: usd("8388.00"), Used: usd("3728.00")}}
	if diff := cmp.Diff(wantLegs, v2.GetLegs(), protocmp.Transform()); diff != "" {
		t.Errorf("V2 (-want +got):\n%s", diff)
	}
	upgraded, _ := proto.Clone(june).(*imquotav1.Order)
	upgraded.Upgrades = []*imquotav1.OrderUpgrade{{Edition: "premium", UpgradeTime: stamp("2024-06-16T00:00:00+08:00"), Cash: usd("150")}}
	if q := refund("2024-06-21T00:00:00+08:00", upgraded); q.GetTotal().GetAmount() != "233.00" || len(q.GetLines()) != 3 {
		t.Errorf("V5: %v", q)
	}
	// Before it was upgraded, it was not.
	if q := refund("2024-06-15T23:59:59+08:00", upgraded); q.GetEdition() != "standard" || q.GetTotal().GetAmount() != "199.50" {
		t.Errorf("V5 before the upgrade: %v", q)
	}
}

// What is used is billed as it is counted, app by app and for the account, also
// when the app is gone.
func TestQuotes_Bill(t *testing.T) {
	t.Parallel()
	cat := edited(t, "free_mau: {limit: 10000, on_exceed: bill}", "free_mau: {limit: 2, on_exceed: bill}")
	onStores(t, func(t *testing.T, stores stores) {
		clock := newClock("2024-06-10T00:00:00+08:00")
		s := start(t, stores.first, clock, cat)
		s.standard()
		for i := range 5 {
			s.allow(login(theApp, fmt.Sprint("user", i)))
			s.allow(login(theApp, fmt.Sprint("user", i)))
		}
		for i := range 3 {
			if _, err := s.ReportOnline(t.Context(), &imquotav1.ReportOnlineRequest{AppId: theApp, GatewayId: fmt.Sprint(i), OnlineUsers: 100}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.apps.ActivateAddOn(t.Context(), &imquotav1.ActivateAddOnRequest{AppId: theApp, AddOn: "av_call"}); err != nil {
			t.Fatal(err)
		}
		bill := func(in *imquotav1.QuoteBillRequest) *imquotav1.Quote {
			t.Helper()
			out, err := s.billing.QuoteBill(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			return out.GetQuote()
		}
		june := &imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_AppId{AppId: theApp}, Month: "2024-06"}
		q := bill(june)
		var lines []string
		for _, l := range q.GetLines() {
			lines = append(lines, strings.TrimPrefix(l.GetKind().String(), "QUOTE_LINE_KIND_")+" "+l.GetQuantity()+" "+l.GetAmount().GetAmount())
		}
		want := []string{"OVERAGE 3 0.05", "OVERAGE 300 60.00", "PROMOTION  -60.00", "BILLED_ELSEWHERE  0.00"}
		if diff := cmp.Diff(want, lines); diff != "" || q.GetFinal() || q.GetTotal().GetAmount() != "0.05" || q.GetQuoteId() != "" {
			t.Errorf("the running month (-want +got):\n%s%v", diff, q)
		}
		clock.Advance(time.Hour)
		s.disable(theApp)
		if _, err := s.apps.DeleteApp(t.Context(), &imquotav1.DeleteAppRequest{AppId: theApp}); err != nil {
			t.Fatal(err)
		}
		clock.Set(newClock("2024-07-02T00:00:00+08:00").Now())
		if q := bill(june); !q.GetFinal() || q.GetTotal().GetAmount() != "0.05" {
			t.Errorf("after it was deleted: %v", q)
		}
		of := &imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_AccountId{AccountId: theOwner}, Month: "2024-06"}
		if q := bill(of); q.GetTotal().GetAmount() != "0.05" || q.GetAccountId() != theOwner || q.GetLines()[0].GetAppId() != theApp {
			t.Errorf("the account: %v", q)
		}
		usage, err := s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: theApp, HistoryMonths: 2})
		wantUsage := &imquotav1.GetUsageResponse{History: []*imquotav1.MonthUsage{
			{Month: "2024-07", Used: map[string]int64{"free_mau": 0}},
			{Month: "2024-06", Used: map[string]int64{"free_mau": 5}, PeakOnlineUsers: 300, Editions: []string{"standard"}, Final: true},
		}}
		if diff := cmp.Diff(wantUsage, usage, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("history, %v (-want +got):\n%s", err, diff)
		}
		_, err = s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: theApp})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
	})
}

// A return that an operator rejects.
func TestQuotes_RejectReturn(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, stores stores) {
		s := start(t, stores.first, newClock("2024-06-10T00:00:00+08:00"), catalog.Default())
		s.standard()
		q, err := s.refund(theApp)
		if err != nil {
			t.Fatal(err)
		}
		reject := func(reason string, withdraw bool) (*imquotav1.RejectReturnResponse, error) {
			return s.billing.RejectReturn(t.Context(), &imquotav1.RejectReturnRequest{QuoteId: q.GetQuoteId(), Reason: reason, Withdraw: withdraw, Actor: "bob"})
		}
		for _, wrong := range []struct {
			reason   string
			withdraw bool
		}{{"", false}, {"why", true}, {strings.Repeat("x", 257), false}, {"a\nb", false}} {
			_, err := reject(wrong.reason, wrong.withdraw)
			wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
		}
		out, err := reject("the third this month", false)
		if err != nil || out.GetQuote().GetState() != imquotav1.QuoteState_QUOTE_STATE_REJECTED || out.GetQuote().GetRejectReason() != "the third this month" ||
			out.GetApp().GetOrders()[0].GetReturnRejection().GetActor() != "bob" {
			t.Errorf("%v, %v", out, err)
		}
		_, err = s.accept(q, "")
		wantFault(t, err, codes.FailedPrecondition, "RETURN_REJECTED")
		_, err = s.refund(theApp)
		wantFault(t, err, codes.FailedPrecondition, "RETURN_REJECTED")
		if app := s.get(theApp); app.GetState() != imquotav1.AppState_APP_STATE_ACTIVE {
			t.Errorf("%v", app)
		}
		if _, err := reject("", true); err != nil {
			t.Fatal(err)
		}
		s.done(s.refund(theApp))
	})
}

// FuzzQuotes sends whatever decodes as a request for a quote: it is quoted, or
// refused with a clear fault.
func FuzzQuotes(f *testing.F) {
	sub := &imquotav1.Subscription{Orders: []*imquotav1.Order{{
		OrderId: "a", Edition: "standard", Months: 1, StartTime: stamp("2024-06-01T00:00:00+08:00"), Cash: usd("399"),
		Upgrades: []*imquotav1.OrderUpgrade{{Edition: "premium", UpgradeTime: stamp("2024-06-02T00:00:00+08:00"), Cash: usd("1")}},
	}}}
	at := stamp("2024-06-16T00:00:00+08:00")
	for kind, seed := range []proto.Message{
		&imquotav1.QuotePurchaseRequest{Subject: &imquotav1.QuotePurchaseRequest_AppId{AppId: 1}, Edition: "premium", Months: 3, DiscountPercent: "1.5", Voucher: usd("3")},
		&imquotav1.QuoteRefundRequest{Subject: &imquotav1.QuoteRefundRequest_Subscription{Subscription: sub}, AsOf: at},
		&imquotav1.QuoteUpgradeRequest{Subject: &imquotav1.QuoteUpgradeRequest_Subscription{Subscription: sub}, Edition: "premium", AsOf: at},
		&imquotav1.QuoteRenewalRequest{Subscription: sub, Months: 2, AsOf: at},
		&imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{Subscription: sub, Usage: &imquotav1.MonthUsage{Used: map[string]int64{"free_mau": 1 << 60}, PeakOnlineUsers: 1 << 62}}}, AsOf: at},
	} {
		wire, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(kind), wire)
	}
	s := fuzzed(f)
	f.Fuzz(func(t *testing.T, kind byte, wire []byte) {
		var q *imquotav1.Quote
		err := error(nil)
		switch kind % 5 {
		case 0:
			in := &imquotav1.QuotePurchaseRequest{}
			if proto.Unmarshal(wire, in) != nil {
				return
			}
			var out *imquotav1.QuotePurchaseResponse
			out, err = s.billing.QuotePurchase(t.Context(), in)
			q = out.GetQuote()
		case 1:
			in := &imquotav1.QuoteRefundRequest{}
			if proto.Unmarshal(wire, in) != nil {
				return
			}
			var out *imquotav1.QuoteRefundResponse
			out, err = s.billing.QuoteRefund(t.Context(), in)
			q = out.GetQuote()
		case 2:
			in := &imquotav1.QuoteUpgradeRequest{}
			if proto.Unmarshal(wire, in) != nil {
				return
			}
			var out *imquotav1.QuoteUpgradeResponse
			out, err = s.billing.QuoteUpgrade(t.Context(), in)
			q = out.GetQuote()
		case 3:
			in := &imquotav1.QuoteRenewalRequest{}
			if proto.Unmarshal(wire, in) != nil {
				return
			}
			var out *imquotav1.QuoteRenewalResponse
			out, err = s.billing.QuoteRenewal(t.Context(), in)
			if len(out.GetItems()) != 1 {
				return
			}
			q = out.GetItems()[0].GetQuote()
		case 4:
			in := &imquotav1.QuoteBillRequest{}
			if proto.Unmarshal(wire, in) != nil {
				return
			}
			var out *imquotav1.QuoteBillResponse
			out, err = s.billing.QuoteBill(t.Context(), in)
			q = out.GetQuote()
		}
		switch code := status.Code(err); code {
		case codes.OK:
			if err := q.GetAsOf().CheckValid(); err != nil || strings.HasPrefix(q.GetTotal().GetAmount(), "-") {
				t.Errorf("%v", q)
			}
			for _, at := range []*timestamppb.Timestamp{q.GetAsOf()} {
				if at.AsTime().Year() > 9999 {
					t.Errorf("%v", q)
				}
			}
		case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound:
		default:
			t.Errorf("fault: %v", err)
		}
	})
}

// boltAt is an embedded store of the test's own.
func boltAt(t *testing.T) backend {
	t.Helper()
	store, err := boltstore.Open(t.TempDir()+"/test.db", boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
