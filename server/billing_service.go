package server

import (
	"context"
	"time"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/ratings"
)

// billingService answers billers.
type billingService struct {
	imquotav1.UnimplementedBillingServiceServer
	apps     *account.Apps
	accounts *account.Accounts
	ledger   *ratings.Ledger
	shown    *shown
}

func (s *billingService) ListNotices(ctx context.Context, in *imquotav1.ListNoticesRequest) (*imquotav1.ListNoticesResponse, error) {
	v := &invalidFields{}
	if in.GetAccountId() != "" {
		v.account(in.GetAccountId())
		if in.GetAppId() != 0 {
			v.add("app_id", "and account_id are both given; at most one may be")
		}
	}
	if in.GetPageToken() != "" && (in.GetAccountId() != "" || in.GetAppId() != 0) {
		v.add("page_token", "the notices of one account or app have one page")
	}
	at := v.time("as_of", in.GetAsOf())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	notices, next, err := s.accounts.Notices(ctx, account.NoticeQuery{
		App: in.GetAppId(), Account: in.GetAccountId(), At: at, Cursor: in.GetPageToken(),
	})
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ListNoticesResponse{NextPageToken: next}
	for i := range notices {
		out.Notices = append(out.Notices, s.shown.fromNotice(&notices[i]))
	}
	return out, nil
}

func (s *billingService) SetRenewal(ctx context.Context, in *imquotav1.SetRenewalRequest) (*imquotav1.SetRenewalResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	renewal := v.renewal(in.GetRenewal(), s.shown.catalog().Account().MaxOrderMonths)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.SetRenewal(ctx, in.GetAppId(), renewal, originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.SetRenewalResponse{App: app}, nil
}

// renewal checks and converts what is to happen when a plan ends.
func (v *invalidFields) renewal(in *imquotav1.Renewal, most int) account.Renewal {
	mode, ok := renewalModes[in.GetMode()]
	months := int(in.GetMonths())
	switch {
	case !ok:
		v.add("renewal.mode", "must be one of MANUAL, AUTOMATIC and NONE")
	case mode != account.RenewAutomatically && months != 0:
		v.add("renewal.months", "belongs to automatic renewal")
	case months < 0 || months > most:
		v.add("renewal.months", "is %d; it must be from 1 to %d, or 0 for 1", months, most)
	}
	return account.Renewal{Mode: mode, Months: months}
}

func (s *billingService) GetAccount(ctx context.Context, in *imquotav1.GetAccountRequest) (*imquotav1.GetAccountResponse, error) {
	v := &invalidFields{}
	v.account(in.GetAccountId())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	owner, err := s.accounts.Account(ctx, in.GetAccountId())
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.GetAccountResponse{Account: s.shown.fromAccount(owner)}, nil
}

func (s *billingService) RecordBill(ctx context.Context, in *imquotav1.RecordBillRequest) (*imquotav1.RecordBillResponse, error) {
	v := &invalidFields{}
	v.account(in.GetAccountId())
	v.change(in)
	v.printable("bill_id", in.GetBillId(), maxOrderID)
	if month := in.GetMonth(); month != "" {
		if _, err := time.Parse("2006-01", month); err != nil {
			v.add("month", "%q is not a month, such as 2024-06", month)
		}
	}
	if in.GetAmount() == nil {
		v.add("amount", "must be given")
	}
	n := account.NewBill{
		ID: in.GetBillId(), Month: in.GetMonth(), Amount: v.money("amount", in.GetAmount(), s.shown.catalog().Currency()),
		Pushed: v.time("push_time", in.GetPushTime()),
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	owner, err := s.accounts.RecordBill(ctx, in.GetAccountId(), n, originOf(ctx, in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.RecordBillResponse{Account: s.shown.fromAccount(owner)}, nil
}

func (s *billingService) RecordPayment(ctx context.Context, in *imquotav1.RecordPaymentRequest) (*imquotav1.RecordPaymentResponse, error) {
	v := &invalidFields{}
	v.account(in.GetAccountId())
	v.change(in)
	v.printable("bill_id", in.GetBillId(), maxOrderID)
	at := v.time("pay_time", in.GetPayTime())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	owner, err := s.accounts.RecordPayment(ctx, in.GetAccountId(), in.GetBillId(), at, originOf(ctx, in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.RecordPaymentResponse{Account: s.shown.fromAccount(owner)}, nil
}
