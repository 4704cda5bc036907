package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
)

// accountCmd is what billers do.
type accountCmd struct {
	Show    accountShowCmd    `cmd:"" help:"Show an account: its standing, its apps and its bills."`
	Bill    accountBillCmd    `cmd:"" help:"Record a bill that was pushed. Open for too long, it suspends all apps of the account."`
	Pay     accountPayCmd     `cmd:"" help:"Record that a bill was paid."`
	Notices accountNoticesCmd `cmd:"" help:"List what owners are to be told, and what the biller is to do."`
}

// accountFlags are what commands about one account have.
type accountFlags struct {
	clientFlags
	Account string `help:"The account." required:"" placeholder:"ID"`
}

// withAccount is an answer that carries an account.
type withAccount interface{ GetAccount() *imquotav1.Account }

func accountTable[T withAccount](w io.Writer, out T) {
	a := out.GetAccount()
	_, _ = fmt.Fprintf(w, "account %s\n", a.GetAccountId())
	standing := lower(a.GetStanding(), "ACCOUNT_STANDING_")
	if since := a.GetOverdueSince(); since != nil {
		standing += " since " + instant(since) + ": all its apps are suspended"
	}
	t := &table{}
	t.add("standing", standing)
	t.add("apps", fmt.Sprintf("%d of %d", a.GetAppCount(), a.GetMaxApps()))
	t.write(w)
	if len(a.GetBills()) == 0 {
		_, _ = fmt.Fprintln(w, "  no bills")
		return
	}
	bills := &table{right: map[int]bool{2: true}}
	bills.add("BILL", "MONTH", "AMOUNT", "PUSHED", "STATE")
	for _, b := range a.GetBills() {
		bills.add(b.GetBillId(), b.GetMonth(), b.GetAmount().GetAmount()+" "+b.GetAmount().GetCurrencyCode(), timeText(b.GetPushTime()), billText(b))
	}
	_, _ = fmt.Fprintln(w)
	bills.write(w)
}

func billText(b *imquotav1.Bill) string {
	if b.GetState() == imquotav1.BillState_BILL_STATE_PAID {
		return "paid at " + timeText(b.GetPayTime()) + byText(b.GetPaidBy())
	}
	return "open, overdue from " + timeText(b.GetOverdueTime()) + byText(b.GetRecordedBy())
}

// byText is who recorded what stands before it.
func byText(who string) string {
	if who == "" {
		return ""
	}
	return ", recorded by " + who
}

type accountShowCmd struct {
	accountFlags
}

// Run carries the command out.
func (c *accountShowCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetAccountResponse, error) {
			return conn.billing.GetAccount(ctx, &imquotav1.GetAccountRequest{AccountId: c.Account})
		}, accountTable)
	return err
}

type accountBillCmd struct {
	accountFlags
	actorFlag
	RequestID string `help:"Id that makes a repeated call take effect once." placeholder:"ID"`
	Bill      string `help:"The biller's id of the bill." required:"" placeholder:"ID"`
	Amount    string `help:"The amount, such as 12.30. A bill of nothing is paid when it is pushed." required:"" placeholder:"N"`
	Currency  string `help:"The amount's currency, which is the catalog's." default:"USD"`
	Month     string `help:"The month that is billed, such as 2024-06." placeholder:"MONTH"`
	Pushed    string `help:"When it was pushed; now when it is not given." placeholder:"INSTANT"`
}

// Run carries the command out.
func (c *accountBillCmd) Run(ctx context.Context, s *streams) error {
	pushed, err := parseTime("--pushed", c.Pushed)
	if err != nil {
		return err
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.RecordBillResponse, error) {
			return conn.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{
				AccountId: c.Account, RequestId: c.RequestID, BillId: c.Bill, Month: c.Month, PushTime: pushed, Actor: c.actor(),
				Amount: &imquotav1.Money{CurrencyCode: c.Currency, Amount: c.Amount},
			})
		}, accountTable)
	return err
}

type accountPayCmd struct {
	accountFlags
	actorFlag
	RequestID string `help:"Id that makes a repeated call take effect once." placeholder:"ID"`
	Bill      string `help:"The biller's id of the bill." required:"" placeholder:"ID"`
	At        string `help:"When it was paid; now when it is not given." placeholder:"INSTANT"`
}

// Run carries the command out.
func (c *accountPayCmd) Run(ctx context.Context, s *streams) error {
	at, err := parseTime("--at", c.At)
	if err != nil {
		return err
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.RecordPaymentResponse, error) {
			return conn.billing.RecordPayment(ctx, &imquotav1.RecordPaymentRequest{AccountId: c.Account, RequestId: c.RequestID, BillId: c.Bill, PayTime: at, Actor: c.actor()})
		},
		func(w io.Writer, out *imquotav1.RecordPaymentResponse) {
			accountTable(w, out)
			for _, b := range out.GetAccount().GetBills() {
				if b.GetBillId() == c.Bill && at != nil && !proto.Equal(b.GetPayTime(), at) {
					_, _ = fmt.Fprintf(w, "bill %s was paid before, and the first payment holds: nothing changed\n", c.Bill)
				}
			}
		})
	return err
}

type accountNoticesCmd struct {
	clientFlags
	Account *string `help:"Only of this account and its apps." xor:"whose" placeholder:"ID"`
	App     *uint32 `help:"Only of this app." xor:"whose" placeholder:"ID"`
	AsOf    string  `help:"The instant that they are derived for; now when it is not given." placeholder:"INSTANT"`
}

// Help is printed below the summary.
func (*accountNoticesCmd) Help() string {
	return `Without --account and --app of all accounts. A notice has the same id whenever it
is listed: who keeps the ids sends none twice.`
}

// Validate refuses what a server would take for "all".
func (c *accountNoticesCmd) Validate() error {
	if err := c.clientFlags.Validate(); err != nil {
		return err
	}
	switch {
	case c.Account != nil && c.App != nil: // by their variables
		return errors.New("--account and --app can't be used together")
	case c.Account != nil && *c.Account == "":
		return errors.New("--account: is empty")
	case c.App != nil && *c.App == 0:
		return errors.New("--app: must be greater than zero")
	}
	return nil
}

// Run carries the command out: all pages, as one answer.
func (c *accountNoticesCmd) Run(ctx context.Context, s *streams) error {
	at, err := parseTime("--as-of", c.AsOf)
	if err != nil {
		return err
	}
	in := &imquotav1.ListNoticesRequest{AsOf: at}
	if c.Account != nil {
		in.AccountId = *c.Account
	}
	if c.App != nil {
		in.AppId = *c.App
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ListNoticesResponse, error) {
			all := &imquotav1.ListNoticesResponse{}
			for {
				page, err := conn.billing.ListNotices(ctx, in)
				if err != nil {
					return nil, err
				}
				all.Notices = append(all.Notices, page.GetNotices()...)
				if in.PageToken = page.GetNextPageToken(); in.GetPageToken() == "" {
					all.Notices = sorted(all.GetNotices())
					return all, nil
				}
			}
		}, printNotices)
	return err
}

// sorted puts notices of several pages in their sequence, each once.
func sorted(notices []*imquotav1.Notice) []*imquotav1.Notice {
	seen := make(map[string]bool, len(notices))
	notices = slices.DeleteFunc(notices, func(n *imquotav1.Notice) bool {
		known := seen[n.GetNoticeId()]
		seen[n.GetNoticeId()] = true
		return known
	})
	slices.SortStableFunc(notices, func(a, b *imquotav1.Notice) int {
		return a.GetNoticeTime().AsTime().Compare(b.GetNoticeTime().AsTime())
	})
	return notices
}

func printNotices(w io.Writer, out *imquotav1.ListNoticesResponse) {
	if len(out.GetNotices()) == 0 {
		_, _ = fmt.Fprintln(w, "nobody is to be told anything")
		return
	}
	t := &table{}
	t.add("NOTICE", "WHEN", "DUE", "ID", "MESSAGE")
	for _, n := range out.GetNotices() {
		t.add(lower(n.GetKind(), "NOTICE_KIND_"), timeText(n.GetNoticeTime()), timeText(n.GetDueTime()), n.GetNoticeId(), n.GetMessage())
	}
	t.write(w)
}
