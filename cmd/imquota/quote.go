package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// quoteCmd asks what something costs, and accepts it.
type quoteCmd struct {
	Purchase quotePurchaseCmd `cmd:"" help:"Quote a plan for an app that has none."`
	Renew    quoteRenewCmd    `cmd:"" help:"Quote more months of the plan that an app has or had; of many apps at once."`
	Upgrade  quoteUpgradeCmd  `cmd:"" help:"Quote a dearer edition for what is left of the months paid for."`
	Refund   quoteRefundCmd   `cmd:"" help:"Quote the return of a plan, order by order."`
	Bill     quoteBillCmd     `cmd:"" help:"Bill a month's usage beyond what plans include, of an app or an account."`
	Accept   quoteAcceptCmd   `cmd:"" help:"Accept a quote: it is carried out once, exactly as it was quoted."`
	Show     quoteShowCmd     `cmd:"" help:"Show a quote, and whether it can be accepted."`
	Reject   quoteRejectCmd   `cmd:"" help:"Reject the return that was quoted, for a reason."`
}

// Help is printed below the summary.
func (*quoteCmd) Help() string {
	return `A quote has an id and holds for a while. With --as-of or --subscription it is a
what-if: it changes nothing and cannot be accepted. A bill is never accepted:
record it with imquota account bill.`
}

// ofFlags are whom a quote is for.
type ofFlags struct {
	App          *uint32 `help:"App id (SDKAppID)." xor:"of" placeholder:"ID"`
	Subscription *string `help:"JSON file with an app that need not exist, a Subscription such as {\"orders\": [...]}; - reads it from the standard input." xor:"of" placeholder:"FILE"`
	AsOf         string  `help:"The instant that it is quoted for, a what-if; now when it is not given." placeholder:"INSTANT"`
}

// check refuses what is about nobody, and a server that nobody can ask. A command
// has one Validate of the two parts that it is made of.
func (f *ofFlags) check(server *clientFlags) error {
	if err := server.Validate(); err != nil {
		return err
	}
	switch {
	case f.App != nil && f.Subscription != nil: // by their variables
		return errors.New("--app and --subscription can't be used together")
	case f.App == nil && f.Subscription == nil:
		return errors.New("--app or --subscription: one is needed")
	}
	return nil
}

// read returns the parts of a request.
func (f *ofFlags) read() (app uint32, sub *imquotav1.Subscription, asOf *timestamppb.Timestamp, err error) {
	if asOf, err = parseTime("--as-of", f.AsOf); err != nil {
		return 0, nil, nil, err
	}
	if f.App != nil {
		return *f.App, nil, asOf, nil
	}
	sub, err = readSubscription(*f.Subscription)
	return 0, sub, asOf, err
}

func readSubscription(path string) (*imquotav1.Subscription, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("--subscription: %w", err)
	}
	sub := &imquotav1.Subscription{}
	if err := protojson.Unmarshal(text, sub); err != nil {
		return nil, fmt.Errorf("--subscription %s: %w", path, err)
	}
	return sub, nil
}

// termFlags are how months are bought.
type termFlags struct {
	Months        int32  `help:"For how many months." required:"" placeholder:"N"`
	Discount      string `help:"Percent of the list price that are taken off, such as 12.5." placeholder:"PERCENT"`
	Voucher       string `help:"A voucher that is used up, such as 100.00." placeholder:"AMOUNT"`
	NonRefundable bool   `help:"The order can never be returned."`
	Currency      string `help:"The voucher's currency, which is the catalog's." default:"USD"`
}

func (f *termFlags) voucher() *imquotav1.Money { return amountOf(f.Voucher, f.Currency) }

// amountOf is an amount of a flag; nil when it is not given.
func amountOf(text, currency string) *imquotav1.Money {
	if text == "" {
		return nil
	}
	return &imquotav1.Money{CurrencyCode: currency, Amount: text}
}

type quotePurchaseCmd struct {
	clientFlags
	ofFlags
	termFlags
	Edition       string `help:"The edition, such as premium." required:"" placeholder:"KEY"`
	Renewal       string `help:"What happens when the plan ends: manual, automatic or none; as it is when it is not given." enum:",manual,automatic,none" default:"" placeholder:"MODE"`
	RenewalMonths int32  `help:"With --renewal automatic: for how many months; the catalog's number when it is not given." placeholder:"N"`
}

// Validate refuses what is about nobody, and months that nobody renews for.
func (c *quotePurchaseCmd) Validate() error {
	if c.RenewalMonths != 0 && c.Renewal != "automatic" {
		return errors.New("--renewal-months: needs --renewal automatic")
	}
	return c.check(&c.clientFlags)
}

// Run carries the command out.
func (c *quotePurchaseCmd) Run(ctx context.Context, s *streams) error {
	app, sub, asOf, err := c.read()
	if err != nil {
		return err
	}
	in := &imquotav1.QuotePurchaseRequest{
		Edition: c.Edition, Months: c.Months, DiscountPercent: c.Discount, Voucher: c.voucher(), NonRefundable: c.NonRefundable, AsOf: asOf,
	}
	if in.Subject = (&imquotav1.QuotePurchaseRequest_AppId{AppId: app}); sub != nil {
		in.Subject = &imquotav1.QuotePurchaseRequest_Subscription{Subscription: sub}
	}
	if c.Renewal != "" {
		mode := imquotav1.RenewalMode_value["RENEWAL_MODE_"+strings.ToUpper(c.Renewal)]
		in.Renewal = &imquotav1.Renewal{Mode: imquotav1.RenewalMode(mode), Months: c.RenewalMonths}
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.QuotePurchaseResponse, error) {
			return conn.billing.QuotePurchase(ctx, in)
		}, quoteTable)
	return err
}

type quoteRenewCmd struct {
	clientFlags
	termFlags
	App          []uint32 `help:"App id (SDKAppID); may be repeated." xor:"of" placeholder:"ID"`
	Subscription *string  `help:"As for a purchase." xor:"of" placeholder:"FILE"`
	AsOf         string   `help:"As for a purchase." placeholder:"INSTANT"`
}

// Validate refuses what is about nobody.
func (c *quoteRenewCmd) Validate() error {
	if err := c.clientFlags.Validate(); err != nil {
		return err
	}
	if (len(c.App) > 0) == (c.Subscription != nil) {
		return errors.New("--app or --subscription: one of the two is needed")
	}
	return nil
}

// Run carries the command out. It fails if any app could not be quoted.
func (c *quoteRenewCmd) Run(ctx context.Context, s *streams) error {
	asOf, err := parseTime("--as-of", c.AsOf)
	if err != nil {
		return err
	}
	in := &imquotav1.QuoteRenewalRequest{
		AppIds: c.App, Months: c.Months, DiscountPercent: c.Discount, Voucher: c.voucher(), NonRefundable: c.NonRefundable, AsOf: asOf,
	}
	if c.Subscription != nil {
		if in.Subscription, err = readSubscription(*c.Subscription); err != nil {
			return err
		}
	}
	out, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.QuoteRenewalResponse, error) {
			return conn.billing.QuoteRenewal(ctx, in)
		},
		func(w io.Writer, out *imquotav1.QuoteRenewalResponse) {
			for _, item := range out.GetItems() {
				if q := item.GetQuote(); q != nil {
					printQuote(w, q)
				}
			}
		})
	if err != nil {
		return err
	}
	failed := 0
	for _, item := range out.GetItems() {
		if e := item.GetError(); e != nil {
			failed++
			_, _ = fmt.Fprintf(s.err, "imquota: %s [%s]\n", e.GetMessage(), upper(e.GetReason(), "ERROR_REASON_"))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d apps could not be quoted", failed, len(out.GetItems()))
	}
	return nil
}

type quoteUpgradeCmd struct {
	clientFlags
	ofFlags
	Edition string `help:"The edition, such as premium." required:"" placeholder:"KEY"`
}

// Validate refuses what is about nobody.
func (c *quoteUpgradeCmd) Validate() error { return c.check(&c.clientFlags) }

// Run carries the command out.
func (c *quoteUpgradeCmd) Run(ctx context.Context, s *streams) error {
	app, sub, asOf, err := c.read()
	if err != nil {
		return err
	}
	in := &imquotav1.QuoteUpgradeRequest{Edition: c.Edition, AsOf: asOf}
	if in.Subject = (&imquotav1.QuoteUpgradeRequest_AppId{AppId: app}); sub != nil {
		in.Subject = &imquotav1.QuoteUpgradeRequest_Subscription{Subscription: sub}
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.QuoteUpgradeResponse, error) {
			return conn.billing.QuoteUpgrade(ctx, in)
		}, quoteTable)
	return err
}

type quoteRefundCmd struct {
	clientFlags
	ofFlags
}

// Validate refuses what is about nobody.
func (c *quoteRefundCmd) Validate() error { return c.check(&c.clientFlags) }

// Run carries the command out.
func (c *quoteRefundCmd) Run(ctx context.Context, s *streams) error {
	app, sub, asOf, err := c.read()
	if err != nil {
		return err
	}
	in := &imquotav1.QuoteRefundRequest{AsOf: asOf}
	if in.Subject = (&imquotav1.QuoteRefundRequest_AppId{AppId: app}); sub != nil {
		in.Subject = &imquotav1.QuoteRefundRequest_Subscription{Subscription: sub}
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.QuoteRefundResponse, error) {
			return conn.billing.QuoteRefund(ctx, in)
		}, quoteTable)
	return err
}

type quoteBillCmd struct {
	clientFlags
	App          *uint32          `help:"App id (SDKAppID)." xor:"of" placeholder:"ID"`
	Account      *string          `help:"The account, with all its apps, deleted ones too." xor:"of" placeholder:"ID"`
	Subscription *string          `help:"As for a purchase, with --used and --peak." xor:"of" placeholder:"FILE"`
	Month        string           `help:"The month, such as 2024-06; the running one when it is not given." placeholder:"MONTH"`
	Used         map[string]int64 `help:"With --subscription: what it used in the month, such as free_mau=25000." placeholder:"QUOTA=N"`
	Peak         int64            `help:"With --subscription: the most users that were online at once." placeholder:"N"`
	AsOf         string           `help:"The instant that the month is or is not over at; now when it is not given." placeholder:"INSTANT"`
}

// Validate refuses what is about nobody, and usage that is counted.
func (c *quoteBillCmd) Validate() error {
	if err := c.clientFlags.Validate(); err != nil {
		return err
	}
	given := 0
	for _, is := range []bool{c.App != nil, c.Account != nil, c.Subscription != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("--app, --account or --subscription: exactly one of them is needed")
	case c.Subscription == nil && (len(c.Used) > 0 || c.Peak != 0):
		return errors.New("--used and --peak need --subscription: what an app used is counted")
	}
	return nil
}

// Run carries the command out.
func (c *quoteBillCmd) Run(ctx context.Context, s *streams) error {
	asOf, err := parseTime("--as-of", c.AsOf)
	if err != nil {
		return err
	}
	in := &imquotav1.QuoteBillRequest{Month: c.Month, AsOf: asOf}
	switch {
	case c.App != nil:
		in.Subject = &imquotav1.QuoteBillRequest_AppId{AppId: *c.App}
	case c.Account != nil:
		in.Subject = &imquotav1.QuoteBillRequest_AccountId{AccountId: *c.Account}
	default:
		sub, err := readSubscription(*c.Subscription)
		if err != nil {
			return err
		}
		in.Subject = &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{
			Subscription: sub, Usage: &imquotav1.MonthUsage{Used: c.Used, PeakOnlineUsers: c.Peak},
		}}
	}
	_, err = ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.QuoteBillResponse, error) {
			return conn.billing.QuoteBill(ctx, in)
		}, quoteTable)
	return err
}

// quoteArg names a quote.
type quoteArg struct {
	Quote string `arg:"" help:"The quote's id."`
}

type quoteAcceptCmd struct {
	quoteArg
	clientFlags
	actorFlag
	RequestID string `help:"Id that makes a repeated call answer what was done before." placeholder:"ID"`
	Cash      string `help:"What is paid in cash. Cash and credit add up to the total; neither is given for a refund." placeholder:"AMOUNT"`
	Credit    string `help:"What is paid in credit." placeholder:"AMOUNT"`
	Currency  string `help:"The currency, which is the quote's." default:"USD"`
}

// Run carries the command out.
func (c *quoteAcceptCmd) Run(ctx context.Context, s *streams) error {
	in := &imquotav1.AcceptQuoteRequest{QuoteId: c.Quote, RequestId: c.RequestID, Actor: c.actor()}
	if c.Cash != "" || c.Credit != "" {
		in.Tender = &imquotav1.Tender{Cash: amountOf(c.Cash, c.Currency), Credit: amountOf(c.Credit, c.Currency)}
	}
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.AcceptQuoteResponse, error) {
			return conn.billing.AcceptQuote(ctx, in)
		},
		func(w io.Writer, out *imquotav1.AcceptQuoteResponse) {
			_, _ = fmt.Fprintf(w, "accepted at %s\n", timeText(out.GetQuote().GetAcceptTime()))
			printOrders(w, out.GetOrders())
			_, _ = fmt.Fprintf(w, "  app %d is %s: %s edition", out.GetApp().GetAppId(), stateText(out.GetApp()), out.GetApp().GetEdition())
			if end := out.GetApp().GetExpireTime(); end != nil {
				_, _ = fmt.Fprintf(w, ", until %s", instant(end))
			}
			_, _ = fmt.Fprintln(w)
		})
	return err
}

type quoteShowCmd struct {
	quoteArg
	clientFlags
}

// Run carries the command out.
func (c *quoteShowCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetQuoteResponse, error) {
			return conn.billing.GetQuote(ctx, &imquotav1.GetQuoteRequest{QuoteId: c.Quote})
		}, quoteTable)
	return err
}

type quoteRejectCmd struct {
	quoteArg
	clientFlags
	actorFlag
	RequestID string `help:"Id that makes a repeated call take effect once." placeholder:"ID"`
	Reason    string `help:"Why, for a person." placeholder:"TEXT"`
	Withdraw  bool   `help:"Take the rejection back."`
}

// Run carries the command out.
func (c *quoteRejectCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.RejectReturnResponse, error) {
			return conn.billing.RejectReturn(ctx, &imquotav1.RejectReturnRequest{
				QuoteId: c.Quote, RequestId: c.RequestID, Reason: c.Reason, Withdraw: c.Withdraw, Actor: c.actor(),
			})
		}, quoteTable)
	return err
}

// withQuote is an answer that carries a quote.
type withQuote interface {
	proto.Message
	GetQuote() *imquotav1.Quote
}

func quoteTable[T withQuote](w io.Writer, out T) { printQuote(w, out.GetQuote()) }
