package main

import (
	"context"
	"fmt"
	"io"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

type appOrdersCmd struct {
	appFlag
	clientFlags
}

// Run carries the command out: all pages, as one answer.
func (c *appOrdersCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ListOrdersResponse, error) {
			all := &imquotav1.ListOrdersResponse{}
			for token := ""; ; {
				page, err := conn.billing.ListOrders(ctx, &imquotav1.ListOrdersRequest{AppId: c.App, PageToken: token})
				if err != nil {
					return nil, err
				}
				all.Orders = append(all.Orders, page.GetOrders()...)
				if token = page.GetNextPageToken(); token == "" {
					return all, nil
				}
			}
		}, func(w io.Writer, out *imquotav1.ListOrdersResponse) {
			if len(out.GetOrders()) == 0 {
				_, _ = fmt.Fprintf(w, "app %d has no orders\n", c.App)
				return
			}
			printOrders(w, out.GetOrders())
		})
	return err
}

// printOrders prints a row for an order, and one below for each upgrade, refund
// and rejection.
func printOrders(w io.Writer, orders []*imquotav1.Order) {
	t := &table{right: map[int]bool{4: true, 5: true, 6: true}}
	t.add("ORDER", "EDITION", "FROM", "TO", "CASH", "CREDIT", "VOUCHER", "CURRENCY", "NOTES")
	for _, o := range orders {
		note := months(o.GetMonths())
		if o.GetNonRefundable() {
			note += ", not refundable"
		}
		t.add(o.GetOrderId(), o.GetEdition(), timeText(o.GetStartTime()), timeText(o.GetEndTime()),
			o.GetCash().GetAmount(), o.GetCredit().GetAmount(), o.GetVoucher().GetAmount(), o.GetCash().GetCurrencyCode(), note)
		for _, u := range o.GetUpgrades() {
			t.add("  upgrade", u.GetEdition(), timeText(u.GetUpgradeTime()), "", u.GetCash().GetAmount(), u.GetCredit().GetAmount(), "", "", "")
		}
		if at := o.GetRefundTime(); at != nil {
			cash, credit := "", ""
			if r := o.GetRefund(); r != nil {
				cash, credit = "-"+r.GetCash().GetAmount(), "-"+r.GetCredit().GetAmount()
			}
			t.add("  returned", "", timeText(at), "", cash, credit, "", "", "")
		}
		if r := o.GetReturnRejection(); r != nil {
			t.add("  return rejected", "", timeText(r.GetRejectTime()), "", "", "", "", "", r.GetReason()+byText(r.GetActor()))
		}
	}
	t.write(w)
}
