// Command billing shows what a dearer plan costs an app, and has it carried out
// once it is paid. With `imquota serve --demo` in another terminal:
//
//	go run ./examples/billing -app 1400000002 -edition premium
//	go run ./examples/billing -app 1400000002 -edition premium -pay
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "billing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("billing", flag.ExitOnError)
	server := flags.String("server", "127.0.0.1:7400", "imquota: HOST:PORT or unix:PATH")
	app := flags.Uint("app", 1400000002, "the app")
	edition := flags.String("edition", "premium", "the plan it is to have")
	pay := flags.Bool("pay", false, "take the payment, and carry it out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := grpc.NewClient(*server, append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	billing := imquotav1.NewBillingServiceClient(conn)

	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	quoted, err := billing.QuoteUpgrade(asking, &imquotav1.QuoteUpgradeRequest{
		Subject: &imquotav1.QuoteUpgradeRequest_AppId{AppId: uint32(*app)}, Edition: *edition,
	})
	if err != nil {
		return err
	}
	quote := quoted.GetQuote()
	show(out, quote)
	if !*pay {
		return nil
	}

	// Here the customer agrees and pays exactly the total. Then it is carried out as
	// it was quoted, or refused: see docs/billing.md for what refuses it.
	accept := &imquotav1.AcceptQuoteRequest{
		QuoteId: quote.GetQuoteId(), RequestId: rand.Text(), Actor: "examples/billing",
		Tender: &imquotav1.Tender{Cash: quote.GetTotal()},
	}
	accepted, err := billing.AcceptQuote(asking, accept)
	if client.IsUnanswered(err) { // perhaps it was; with the same request id it is once
		again, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		accepted, err = billing.AcceptQuote(again, accept, grpc.WaitForReady(true))
	}
	if err != nil {
		return err
	}
	for _, o := range accepted.GetOrders() {
		_, _ = fmt.Fprintf(out, "order %s is %s until %s\n", o.GetOrderId(), accepted.GetApp().GetEdition(), o.GetEndTime().AsTime().Format(time.DateOnly))
	}
	return nil
}

// show prints a quote as a customer is to see it: every line, and what they add up
// to.
func show(out io.Writer, q *imquotav1.Quote) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range q.GetLines() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t\n", l.GetDescription(), l.GetAmount().GetAmount())
	}
	_, _ = fmt.Fprintf(table, "total, %s\t%s\t\n", q.GetTotal().GetCurrencyCode(), q.GetTotal().GetAmount())
	_ = table.Flush()
	_, _ = fmt.Fprintln(out, "good until", q.GetExpireTime().AsTime().Format(time.DateTime), "UTC")
}
