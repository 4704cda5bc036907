package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// printQuote prints a quote so that a person can check it by hand: quantity by
// unit price is the amount, and the amounts come to the total.
func printQuote(w io.Writer, q *imquotav1.Quote) {
	_, _ = fmt.Fprintln(w, quoteTitle(q))
	t := &table{right: map[int]bool{1: true, 3: true, 4: true}}
	t.add("LINE", "QUANTITY", "UNIT", "UNIT PRICE", "AMOUNT")
	for _, l := range q.GetLines() {
		about := l.GetDescription()
		if q.GetAppId() == 0 && l.GetAppId() != 0 {
			about = fmt.Sprintf("app %d: %s", l.GetAppId(), about)
		}
		t.add(about, l.GetQuantity(), l.GetUnit(), l.GetUnitPrice().GetAmount(), l.GetAmount().GetAmount())
	}
	t.add(totalText(q), "", "", q.GetTotal().GetCurrencyCode(), q.GetTotal().GetAmount())
	t.write(w)
	printLegs(w, q)
	for _, o := range q.GetOrders() {
		_, _ = fmt.Fprintf(w, "  %s\n", quotedOrderText(q, o))
	}
	if q.GetRenewal() != nil {
		_, _ = fmt.Fprintf(w, "  renewal: %s\n", renewalText(q.GetRenewal()))
	}
	_, _ = fmt.Fprintf(w, "  %s\n  by catalog %s%s\n", quoteStateText(q), q.GetCatalogVersion(), policiesText(q.GetPolicies()))
}

func quoteTitle(q *imquotav1.Quote) string {
	about := "an app that need not exist"
	switch {
	case q.GetAppId() != 0:
		about = fmt.Sprintf("app %d", q.GetAppId())
	case q.GetAccountId() != "":
		about = "account " + q.GetAccountId()
	}
	text := fmt.Sprintf("%s of %s", lower(q.GetKind(), "QUOTE_KIND_"), about)
	if q.GetEdition() != "" {
		text += ", " + q.GetEdition() + " edition"
	}
	if q.GetMonth() != "" {
		text += ", " + q.GetMonth()
		if !q.GetFinal() {
			text += " (not final: the month is not over)"
		}
	}
	return text + ", as of " + instant(q.GetAsOf())
}

func totalText(q *imquotav1.Quote) string {
	if q.GetKind() == imquotav1.QuoteKind_QUOTE_KIND_REFUND {
		return "to be paid back"
	}
	return "to be paid"
}

func printLegs(w io.Writer, q *imquotav1.Quote) {
	if len(q.GetLegs()) == 0 {
		return
	}
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true}}
	t.add("PAID BACK FOR ORDER", "PAID", "USED", "CASH", "CREDIT", "VOUCHER, NOT PAID BACK")
	for _, l := range q.GetLegs() {
		t.add(l.GetOrderId(), l.GetPaid().GetAmount(), l.GetUsed().GetAmount(), l.GetCash().GetAmount(), l.GetCredit().GetAmount(), l.GetVoucher().GetAmount())
	}
	t.write(w)
}

// quotedOrderText is an order as it is when the quote is accepted.
func quotedOrderText(q *imquotav1.Quote, o *imquotav1.Order) string {
	text := "order"
	if o.GetOrderId() != "" {
		text += " " + o.GetOrderId()
	}
	text += fmt.Sprintf(": %s, %s to %s", o.GetCurrentEdition(), timeText(o.GetStartTime()), timeText(o.GetEndTime()))
	if q.GetKind() == imquotav1.QuoteKind_QUOTE_KIND_UPGRADE {
		text += ", in this edition from " + instant(q.GetAsOf())
	}
	if at := o.GetRefundTime(); at != nil {
		text += ", returned at " + instant(at)
	}
	if o.GetNonRefundable() {
		text += ", not refundable"
	}
	return text
}

func quoteStateText(q *imquotav1.Quote) string {
	switch q.GetState() {
	case imquotav1.QuoteState_QUOTE_STATE_OPEN:
		how := " --cash AMOUNT --credit AMOUNT"
		if q.GetKind() == imquotav1.QuoteKind_QUOTE_KIND_REFUND || q.GetTotal().GetAmount() == "0.00" {
			how = ""
		}
		return fmt.Sprintf("open until %s: imquota quote accept %s%s", instant(q.GetExpireTime()), q.GetQuoteId(), how)
	case imquotav1.QuoteState_QUOTE_STATE_ACCEPTED:
		return "quote " + q.GetQuoteId() + " was accepted at " + timeText(q.GetAcceptTime())
	case imquotav1.QuoteState_QUOTE_STATE_EXPIRED:
		return "quote " + q.GetQuoteId() + " expired at " + timeText(q.GetExpireTime())
	case imquotav1.QuoteState_QUOTE_STATE_OUTDATED:
		return "quote " + q.GetQuoteId() + " is outdated: the app was changed since"
	case imquotav1.QuoteState_QUOTE_STATE_REJECTED:
		return "quote " + q.GetQuoteId() + ": the return was rejected: " + q.GetRejectReason()
	case imquotav1.QuoteState_QUOTE_STATE_UNSPECIFIED:
	}
	if q.GetKind() == imquotav1.QuoteKind_QUOTE_KIND_BILL {
		return "a bill is not accepted: record it with imquota account bill when it is pushed"
	}
	return "a what-if: it cannot be accepted"
}

func policiesText(policies map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		text.WriteString(", " + name + " " + policies[name])
	}
	return text.String()
}
