package server

import (
	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// fromAccount converts an account, in its standing of now.
func (s *shown) fromAccount(a *account.Account) *imquotav1.Account {
	rules := s.catalog().Account()
	out := &imquotav1.Account{
		AccountId: a.ID, Standing: imquotav1.AccountStanding_ACCOUNT_STANDING_GOOD, AppCount: int32(a.Apps),
		MaxApps: int32(rules.MaxApps), Revision: a.Version.Revision,
	}
	if since := a.OverdueSince(s.now(), rules); !since.IsZero() {
		out.Standing, out.OverdueSince = imquotav1.AccountStanding_ACCOUNT_STANDING_OVERDUE, fromTime(since)
	}
	for i := range a.Bills {
		out.Bills = append(out.Bills, s.fromBill(&a.Bills[i]))
	}
	return out
}

func (s *shown) fromBill(b *account.Bill) *imquotav1.Bill {
	state := imquotav1.BillState_BILL_STATE_PAID
	if b.IsOpen() {
		state = imquotav1.BillState_BILL_STATE_OPEN
	}
	return &imquotav1.Bill{
		BillId: b.ID, Month: b.Month, Amount: fromAmount(b.Amount, s.catalog().Currency()), PushTime: fromTime(b.Pushed),
		State: state, PayTime: fromTime(b.Paid), OverdueTime: fromTime(b.OverdueFrom(s.catalog().Account())),
		RecordedBy: b.RecordedBy, PaidBy: b.PaidBy,
	}
}

// noticeKinds are the names of the domain's kinds on the wire.
var noticeKinds = [...]imquotav1.NoticeKind{
	account.PlanExpires: imquotav1.NoticeKind_NOTICE_KIND_PLAN_EXPIRES,
	account.PlanExpired: imquotav1.NoticeKind_NOTICE_KIND_PLAN_EXPIRED,
	account.RenewalDue:  imquotav1.NoticeKind_NOTICE_KIND_RENEWAL_DUE,
	account.BillOpen:    imquotav1.NoticeKind_NOTICE_KIND_BILL_OPEN,
	account.ReclaimSoon: imquotav1.NoticeKind_NOTICE_KIND_RECLAIM,
}

func (s *shown) fromNotice(n *account.Notice) *imquotav1.Notice {
	out := &imquotav1.Notice{
		NoticeId: n.ID, Kind: noticeKinds[n.Kind], AccountId: n.Account, AppId: n.App,
		NoticeTime: fromTime(n.At), DueTime: fromTime(n.Due), RenewalMonths: int32(n.Months), Message: n.Message,
	}
	if n.Bill != nil {
		out.Bill = s.fromBill(n.Bill)
	}
	return out
}
