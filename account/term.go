package account

import "time"

// ServiceMonths returns where the service months of an order begin and, last,
// where they end: Months+1 instants, the first its Start, the last its End.
//
// They keep the day of the month on which the chain of orders began that the
// order continues (FACTS §6, §7). The months of an order that ends elsewhere, as
// an imported one may, are counted from its own start, and the last ends with it;
// where they do not fit at all, they are of equal length.
func ServiceMonths(orders []Order, i int, zone *time.Location) []time.Time {
	o := &orders[i]
	anchor, before := o.Start, 0
	if c := chainAt(orders[:i], o.Start); c.end.Equal(o.Start) &&
		AddMonths(c.anchor, c.months, zone).Equal(o.Start) && AddMonths(c.anchor, c.months+o.Months, zone).Equal(o.End) {
		anchor, before = c.anchor, c.months
	}
	fits := AddMonths(anchor, before+o.Months-1, zone).Before(o.End)
	bounds := make([]time.Time, 0, o.Months+1)
	bounds = append(bounds, o.Start)
	for k := 1; k < o.Months; k++ {
		if fits {
			bounds = append(bounds, AddMonths(anchor, before+k, zone))
		} else {
			bounds = append(bounds, o.Start.Add(o.End.Sub(o.Start)/time.Duration(o.Months)*time.Duration(k)))
		}
	}
	return append(bounds, o.End)
}
