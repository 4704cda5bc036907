package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quoteID finds the ids of quotes, which are drawn.
var quoteID = regexp.MustCompile(`\b(\d+)-[a-z2-7]{16}\b`)

// subscription writes an app that need not exist, for the command line.
func subscription(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGoldenQuotes shows quotes as a person checks them by hand: FACTS §7 by its
// vectors, and the life of a plan.
func TestGoldenQuotes(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "golden.db"))
	v2 := subscription(t, `{"orders": [{"orderId": "year", "edition": "premium", "months": 12, "startTime": "2024-01-01T00:00:00+08:00",
		"cash": {"currencyCode": "USD", "amount": "8000"}, "credit": {"currencyCode": "USD", "amount": "388"}}]}`)
	v5b := subscription(t, `{"orders": [
		{"orderId": "june", "edition": "standard", "months": 1, "startTime": "2024-06-01T00:00:00+08:00", "cash": {"currencyCode": "USD", "amount": "399"}},
		{"orderId": "summer", "edition": "standard", "months": 2, "startTime": "2024-07-01T00:00:00+08:00", "cash": {"currencyCode": "USD", "amount": "798"}}]}`)
	v3 := subscription(t, `{"orders": [{"orderId": "sale", "edition": "standard", "months": 3, "startTime": "2024-06-01T00:00:00+08:00",
		"cash": {"currencyCode": "USD", "amount": "857.60"}, "voucher": {"currencyCode": "USD", "amount": "100"}}]}`)
	empty := subscription(t, `{"edition": "premium", "createTime": "2024-01-01T00:00:00+08:00"}`)
	got := p.session(
		"quote refund --subscription "+v2+" --as-of 2024-06-11T00:00:00+08:00",
		"quote upgrade --subscription "+v5b+" --edition premium --as-of 2024-06-16T00:00:00+08:00",
		"quote refund --subscription "+v3+" --as-of 2024-08-16T00:00:00+08:00",
		"quote purchase --subscription "+subscription(t, `{}`)+" --edition standard --months 3 --discount 20 --voucher 100 --renewal automatic --as-of 2024-01-31T00:00:00+08:00",
		"quote renew --subscription "+v2+" --months 2 --as-of 2024-06-11T00:00:00+08:00",
		"quote bill --subscription "+empty+" --used free_mau=10003 --peak 500 --month 2024-06 --as-of 2024-07-01T00:00:00+08:00",
		"quote bill --subscription "+empty+" --used free_mau=10003 --as-of 2024-06-30T23:59:59+08:00",
		"quote refund --app 1400000001",
		"quote purchase --app 1400000001 --edition developer --months 1",
		"quote purchase --app 1400000001 --edition premium --months 25",
		"quote purchase --app 1400000001 --edition premium --months 1 --voucher 700",
		"quote renew --app 1400000001 --app 1400000005 --months 1",
		"quote bill --account demo --month 2999-01",
		"quote show 1400000001-none",
	)
	got = regexp.MustCompile(`--subscription \S+`).ReplaceAllString(got, "--subscription app.json")
	golden(t, "quotes.txt", quoteID.ReplaceAllString(ofThisYear.ReplaceAllString(got, "INSTANT"), "$1-QUOTE"))
}

// TestQuoteToOrder goes from a quote to an order and back, as a biller does.
func TestQuoteToOrder(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	quote := func(args ...string) string {
		t.Helper()
		got := p.ask(append([]string{"quote"}, args...)...)
		if _, id, ok := strings.Cut(got.out, "imquota quote accept "); ok && got.code == exitFine {
			return quoteID.FindString(id)
		}
		t.Fatalf("%v: %+v", args, got)
		return ""
	}
	bought := quote("purchase", "--app", "1400000001", "--edition", "standard", "--months", "1")
	session := p.session(
		"quote accept "+bought+" --cash 398",
		"quote accept "+bought+" --cash 300 --credit 99 --request-id r1 --actor ann",
		"quote accept "+bought+" --cash 300 --credit 99 --request-id r1 --actor ann",
		"quote accept "+bought+" --cash 399 --actor ann",
		"quote show "+bought,
	)
	// An order that has not begun is worth the same from second to second.
	p.create(77, "shop", `{"orders": [{"orderId": "o1", "edition": "standard", "months": 1, "startTime": "2999-01-01T00:00:00+08:00",
		"cash": {"currencyCode": "USD", "amount": "300"}, "credit": {"currencyCode": "USD", "amount": "99"}}]}`)
	back := quote("refund", "--app", "77")
	session += p.session(
		"quote reject "+back+" --reason again --actor bob",
		"quote accept "+back,
		"quote reject "+back+" --withdraw --actor bob",
	)
	back = quote("refund", "--app", "77")
	session += p.session("quote accept "+back, "app orders --app 77", "app orders --app 1400000003", "app orders --app 8", "app get --app 77")
	golden(t, "quote_to_order.txt", quoteID.ReplaceAllString(ofThisYear.ReplaceAllString(session, "INSTANT"), "$1-QUOTE"))
}

// TestQuotesOfNobody: what is about nobody is wrong usage, and not a success.
func TestQuotesOfNobody(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"quote purchase --edition standard --months 1", "quote refund", "quote upgrade --edition premium", "quote renew --months 1", "quote bill",
		"quote refund --app 7 --subscription x.json", "quote bill --app 7 --account x", "quote refund --app 7 --server nowhere",
		"quote purchase --app 7 --edition standard --months 1 --renewal-months 3", "quote bill --app 7 --peak 3",
	} {
		if got := run(t, strings.Fields(line)...); got.code != exitFault || got.err == "" || got.out != "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// TestPanicIsNoSuccess: a defect ends the program as one.
func TestPanicIsNoSuccess(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a panic passed for success")
		}
	}()
	Run(t.Context(), []string{"version"}, panicking{}, panicking{})
}

type panicking struct{}

// Write implements io.Writer.
func (panicking) Write([]byte) (int, error) { panic("a defect") }

// TestUsageHistory: what was used by the month, as a person sees it.
func TestUsageHistory(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	for _, args := range [][]string{
		{"check", "login", "--app", "1400000003", "--user", "alice"},
		{"usage", "online", "--app", "1400000003", "--gateway", "gw-1", "--users", "500"},
		{"usage", "online", "--app", "1400000003", "--gateway", "gw-2", "--users", "70", "--lease", "30s"},
	} {
		if got := p.ask(args...); got.code != exitFine {
			t.Fatalf("%v: %+v", args, got)
		}
	}
	got := p.ask("usage", "history", "--app", "1400000003", "--months", "2")
	if want := regexp.MustCompile(`^  MONTH    FREE_MAU  MOST ONLINE  EDITIONS\n  \d{4}-\d\d +1 +570  premium   not final\n  \d{4}-\d\d +0 +0  (-|premium)\n$`); got.code != exitFine || !want.MatchString(got.out) {
		t.Errorf("%+v", got)
	}
	if got := p.ask("usage", "show", "--app", "1400000003", "--quota", "users"); !strings.Contains(got.out, "570 users online, at most 570 at once this month") {
		t.Errorf("%+v", got)
	}
	if got := p.ask("usage", "history", "--app", "1400000003", "--months", "14"); got.code != exitFault || !strings.Contains(got.err, "--months") {
		t.Errorf("%+v", got)
	}
	if got := p.ask("catalog", "served"); got.code != exitFine || !strings.Contains(got.out, "Price of a month") || !strings.Contains(got.out, "699.00") {
		t.Errorf("%+v", got)
	}
}
