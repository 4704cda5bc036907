package server

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/ratings"
)

// maxQuotedApps bounds a renewal of many apps.
const maxQuotedApps = 300

func (s *billingService) QuotePurchase(ctx context.Context, in *imquotav1.QuotePurchaseRequest) (*imquotav1.QuotePurchaseResponse, error) {
	v := &invalidFields{}
	of := s.of(v, in.GetAppId(), in.GetSubscription(), v.time("as_of", in.GetAsOf()))
	v.key("edition", in.GetEdition())
	terms := s.terms(v, in.GetMonths(), in.GetDiscountPercent(), in.GetVoucher(), in.GetNonRefundable())
	var renewal *account.Renewal
	if in.GetRenewal() != nil {
		rules := s.shown.catalog().Account()
		r := v.renewal(in.GetRenewal(), rules.MaxOrderMonths).WithDefaults(rules)
		renewal = &r
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, err := s.ledger.Purchase(ctx, of, in.GetEdition(), terms, renewal)
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.QuotePurchaseResponse{Quote: fromQuote(q)}, nil
}

func (s *billingService) QuoteUpgrade(ctx context.Context, in *imquotav1.QuoteUpgradeRequest) (*imquotav1.QuoteUpgradeResponse, error) {
	v := &invalidFields{}
	of := s.of(v, in.GetAppId(), in.GetSubscription(), v.time("as_of", in.GetAsOf()))
	v.key("edition", in.GetEdition())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, err := s.ledger.Upgrade(ctx, of, in.GetEdition())
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.QuoteUpgradeResponse{Quote: fromQuote(q)}, nil
}

func (s *billingService) QuoteRefund(ctx context.Context, in *imquotav1.QuoteRefundRequest) (*imquotav1.QuoteRefundResponse, error) {
	v := &invalidFields{}
	of := s.of(v, in.GetAppId(), in.GetSubscription(), v.time("as_of", in.GetAsOf()))
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, err := s.ledger.Refund(ctx, of)
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.QuoteRefundResponse{Quote: fromQuote(q)}, nil
}

func (s *billingService) QuoteRenewal(ctx context.Context, in *imquotav1.QuoteRenewalRequest) (*imquotav1.QuoteRenewalResponse, error) {
	v, ids := &invalidFields{}, in.GetAppIds()
	of := ratings.Of{AsOf: v.time("as_of", in.GetAsOf())}
	switch {
	case in.GetSubscription() != nil && len(ids) > 0:
		v.add("subscription", "and apps are both given; either may be")
	case in.GetSubscription() != nil:
		of.Imagined = s.subscription(v, in.GetSubscription())
	default:
		v.apps(ids)
	}
	if in.GetVoucher() != nil && len(ids) > 1 {
		v.add("voucher", "is for one app, and %d are given", len(ids))
	}
	terms := s.terms(v, in.GetMonths(), in.GetDiscountPercent(), in.GetVoucher(), in.GetNonRefundable())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	var results []ratings.Result
	if of.Imagined != nil {
		ids = []uint32{0}
		q, err := s.ledger.Renewal(ctx, of, terms)
		results = []ratings.Result{{Quote: q, Err: err}}
	} else {
		results = s.ledger.Renewals(ctx, ids, of.AsOf, terms)
	}
	if len(results) == 1 && results[0].Err != nil {
		return nil, toStatus(results[0].Err)
	}
	out := &imquotav1.QuoteRenewalResponse{}
	for i, r := range results {
		item := &imquotav1.RenewalItem{AppId: ids[i]}
		if r.Err != nil {
			item.Result = &imquotav1.RenewalItem_Error{Error: toItemError(r.Err)}
		} else {
			item.Result = &imquotav1.RenewalItem_Quote{Quote: fromQuote(r.Quote)}
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}

// apps validates a list of distinct apps.
func (v *invalidFields) apps(ids []uint32) {
	if len(ids) == 0 || len(ids) > maxQuotedApps {
		v.add("app_ids", "has %d apps; 1 to %d are allowed in one call", len(ids), maxQuotedApps)
		return
	}
	seen := make(map[uint32]bool, len(ids))
	for i, id := range ids {
		field := "app_ids[" + strconv.Itoa(i) + "]"
		switch {
		case id == 0:
			v.add(field, "must be greater than zero")
		case seen[id]:
			v.add(field, "%d is in the list twice", id)
		}
		seen[id] = true
	}
}

func (s *billingService) QuoteBill(ctx context.Context, in *imquotav1.QuoteBillRequest) (*imquotav1.QuoteBillResponse, error) {
	v := &invalidFields{}
	of := ratings.OfBill{Of: ratings.Of{AsOf: v.time("as_of", in.GetAsOf())}}
	switch subject := in.GetSubject().(type) {
	case *imquotav1.QuoteBillRequest_AppId:
		v.app(subject.AppId)
		of.App = subject.AppId
	case *imquotav1.QuoteBillRequest_AccountId:
		v.account(subject.AccountId)
		of.Account = subject.AccountId
	case *imquotav1.QuoteBillRequest_Subscription:
		v.in("subscription", func() {
			of.Imagined = s.subscription(v, subject.Subscription.GetSubscription())
			of.Usage = s.usage(v, subject.Subscription.GetUsage())
		})
	default:
		v.add("subject", "is missing: one of app_id, account_id, subscription")
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, err := s.ledger.Bill(ctx, of, in.GetMonth())
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.QuoteBillResponse{Quote: fromQuote(q)}, nil
}

// usage validates and converts what an app that need not exist used in a month.
func (s *billingService) usage(v *invalidFields, in *imquotav1.MonthUsage) ratings.Usage {
	used := ratings.Usage{Used: in.GetUsed(), PeakOnline: in.GetPeakOnlineUsers()}
	v.in("usage", func() {
		if n := in.GetPeakOnlineUsers(); n < 0 {
			v.add("peak_online_users", "is %d; it must not be negative", n)
		}
		for _, key := range slices.Sorted(maps.Keys(in.GetUsed())) {
			q, ok := s.shown.catalog().Quota(key)
			switch n := in.GetUsed()[key]; {
			case !ok:
				v.add("used["+key+"]", "unknown quota; there are %s", s.shown.catalog().MonthlyNames())
			case !q.IsMonthly():
				v.add("used["+key+"]", "is not counted by the month for the app, and not billed; there are %s", s.shown.catalog().MonthlyNames())
			case n < 0:
				v.add("used["+key+"]", "is %d; it must not be negative", n)
			}
		}
		if in.GetMonth() != "" || len(in.GetEditions()) > 0 || in.GetFinal() {
			v.add("month", "and editions follow from the request and the subscription: only what was used is given")
		}
	})
	return used
}

func (s *billingService) AcceptQuote(ctx context.Context, in *imquotav1.AcceptQuoteRequest) (*imquotav1.AcceptQuoteResponse, error) {
	v := &invalidFields{}
	v.printable("quote_id", in.GetQuoteId(), maxOrderID)
	v.change(in)
	var tender *ratings.Tender
	if in.GetTender() != nil {
		// The quote's currency counts, whichever the catalog in force has.
		cash, credit := in.GetTender().GetCash(), in.GetTender().GetCredit()
		tender = &ratings.Tender{
			Cash: v.money("tender.cash", cash, cash.GetCurrencyCode()), CashCurrency: cash.GetCurrencyCode(),
			Credit: v.money("tender.credit", credit, credit.GetCurrencyCode()), CreditCurrency: credit.GetCurrencyCode(),
		}
		for field, m := range map[string]*imquotav1.Money{"tender.cash": cash, "tender.credit": credit} {
			if m != nil && m.GetCurrencyCode() == "" {
				v.add(field+".currency_code", "must not be empty")
			}
		}
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, app, err := s.ledger.Accept(ctx, in.GetQuoteId(), tender, originOf(ctx, in))
	shown, err := s.shown.changed(ctx)(app, err)
	if err != nil {
		return nil, err
	}
	out := &imquotav1.AcceptQuoteResponse{Quote: fromFate(q, s.ledger.Fate(q, app)), App: shown}
	for i := range q.Orders {
		if o := app.Order(q.Orders[i].ID); o != nil {
			out.Orders = append(out.Orders, fromOrder(o, q.Currency))
		}
	}
	return out, nil
}

func (s *billingService) GetQuote(ctx context.Context, in *imquotav1.GetQuoteRequest) (*imquotav1.GetQuoteResponse, error) {
	v := &invalidFields{}
	v.printable("quote_id", in.GetQuoteId(), maxOrderID)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, fate, err := s.ledger.Quote(ctx, in.GetQuoteId())
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.GetQuoteResponse{Quote: fromFate(q, fate)}, nil
}

func (s *billingService) RejectReturn(ctx context.Context, in *imquotav1.RejectReturnRequest) (*imquotav1.RejectReturnResponse, error) {
	v := &invalidFields{}
	v.printable("quote_id", in.GetQuoteId(), maxOrderID)
	v.change(in)
	v.words("reason", in.GetReason(), maxReason)
	switch {
	case in.GetWithdraw() && in.GetReason() != "":
		v.add("reason", "is given, but the rejection is to be withdrawn")
	case !in.GetWithdraw() && in.GetReason() == "":
		v.add("reason", "must not be empty")
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	q, app, err := s.ledger.Reject(ctx, in.GetQuoteId(), in.GetReason(), in.GetWithdraw(), originOf(ctx, in))
	shown, err := s.shown.changed(ctx)(app, err)
	if err != nil {
		return nil, err
	}
	return &imquotav1.RejectReturnResponse{Quote: fromFate(q, s.ledger.Fate(q, app)), App: shown}, nil
}

func (s *billingService) ListOrders(ctx context.Context, in *imquotav1.ListOrdersRequest) (*imquotav1.ListOrdersResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	size := v.pageSize(in.GetPageSize(), defaultPage, maxPageSize)
	first := v.numberToken(in.GetPageToken(), 31)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.apps.App(ctx, in.GetAppId())
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ListOrdersResponse{}
	for i := int(first); i < len(app.Orders); i++ {
		if len(out.GetOrders()) == size {
			out.NextPageToken = strconv.Itoa(i)
			break
		}
		out.Orders = append(out.Orders, fromOrder(&app.Orders[i], s.shown.catalog().Currency()))
	}
	return out, nil
}
