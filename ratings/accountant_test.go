package ratings_test

import (
	"math/big"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/shopspring/decimal"
)

// accountant knows FACTS §6 and §7 and nothing else. He reckons in fractions and
// counts months on the calendar.
type accountant struct {
	zone      *time.Location
	list      map[string]*big.Rat // price of a month, by edition
	literal   bool                // the used value by the words of the source
	wholeDays bool
}

// shows is what the clocks of the zone show, in seconds since they would have
// shown the beginning of 1970.
func (a *accountant) shows(at time.Time) int64 {
	_, east := at.In(a.zone).Zone()
	return at.Unix() + int64(east)
}

// first is the first instant at which the clocks show a time or a later one. It
// looks at each quarter of an hour: clocks are not changed within one.
func (a *accountant) first(shown int64) time.Time {
	const quarter = 15 * 60
	from := shown - 16*3600
	for from -= from % quarter; a.shows(time.Unix(from+quarter-1, 0)) < shown; from += quarter {
	}
	return time.Unix(from+max(0, shown-a.shows(time.Unix(from, 0))), 0)
}

// plus turns so many pages of the calendar.
func (a *accountant) plus(anchor time.Time, months int) time.Time {
	if months == 0 {
		return anchor
	}
	shown := a.shows(anchor)
	y, m, d := time.Unix(shown, 0).UTC().Date()
	ofDay := shown % 86400
	for range months {
		if m++; m > time.December {
			y, m = y+1, time.January
		}
	}
	days := []int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m-1]
	if m == time.February && y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		days++
	}
	return a.first(time.Date(y, m, min(d, days), 0, 0, 0, 0, time.UTC).Unix() + ofDay)
}

// month is the calendar month that an instant is in.
func (a *accountant) month(at time.Time) (from, until time.Time) {
	y, m, _ := time.Unix(a.shows(at), 0).UTC().Date()
	return a.first(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix()), a.first(time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).Unix())
}

// days is how many days have begun before an instant, the first at an instant
// before it, each when the clocks show the same time again.
func (a *accountant) days(from, until time.Time) int64 {
	n := max(0, (until.Unix()-from.Unix())/86400-1)
	for a.first(a.shows(from) + n*86400).Before(until) {
		n++
	}
	return n
}

// part is how much of a month was used between two instants in it. A day that
// has begun is used when whole days count.
func (a *accountant) part(from, until, begin, end time.Time) *big.Rat {
	switch {
	case !until.After(from):
		return new(big.Rat)
	case a.wholeDays:
		days := a.days(begin, end)
		return big.NewRat(min(a.days(from, until), days), days)
	}
	return big.NewRat(until.Unix()-from.Unix(), end.Unix()-begin.Unix())
}

// serviceMonths are where the months of an order begin, and where the last ends.
// The order continues those that end where the next begins, up to one that was
// returned, and keeps the day of the first.
func (a *accountant) serviceMonths(orders []account.Order, i int) []time.Time {
	first, before := i, 0
	for first > 0 && orders[first-1].Refunded.IsZero() && orders[first-1].End.Equal(orders[first].Start) {
		first--
		before += orders[first].Months
	}
	o, anchor := &orders[i], orders[first].Start
	if !a.plus(anchor, before+o.Months).Equal(o.End) { // not bought here
		anchor, before = o.Start, 0
	}
	months := []time.Time{o.Start}
	for n := range o.Months {
		months = append(months, a.plus(anchor, before+n+1))
	}
	return months
}

// passed is how many service months of an order are over at an instant, the
// running one by its part.
func (a *accountant) passed(months []time.Time, at time.Time) *big.Rat {
	sum := new(big.Rat)
	for i, from := range months[:len(months)-1] {
		until := months[i+1]
		if !at.Before(until) {
			sum.Add(sum, big.NewRat(1, 1))
			continue
		}
		return sum.Add(sum, a.part(from, at, from, until))
	}
	return sum
}

// passedOfMonth is the part of the calendar month of now for which an order was
// used until an instant not after now.
func (a *accountant) passedOfMonth(o *account.Order, now, at time.Time) *big.Rat {
	begin, end := a.month(now)
	from := begin
	if o.Start.After(from) {
		from = o.Start
	}
	return a.part(from, at, begin, end)
}

// used is what an order was used for, in cents: of each edition in turn.
func (a *accountant) used(orders []account.Order, i int, at time.Time) (total int64, parts []int64) {
	o := &orders[i]
	months := a.serviceMonths(orders, i)
	part := func(until time.Time) *big.Rat {
		if a.literal {
			return a.passedOfMonth(o, at, until)
		}
		return a.passed(months, until)
	}
	sum, before, edition := new(big.Rat), new(big.Rat), o.Edition
	until := func(end time.Time) {
		now := part(end)
		if now.Cmp(before) > 0 {
			sum.Add(sum, times(a.list[edition], new(big.Rat).Sub(now, before)))
			if more := halfUp(sum) - total; more > 0 {
				parts = append(parts, more)
			}
			total, before = halfUp(sum), now
		}
	}
	for _, u := range o.Upgrades {
		until(u.At)
		edition = u.Edition
	}
	until(at)
	return total, parts
}

// payback is what an order brings when it is returned, in cents.
type payback struct {
	Order                    string
	Cash, Credit, Paid, Used int64
	Parts                    []int64 // of Used
}

// paysBack is what all orders bring that have not ended.
func (a *accountant) paysBack(orders []account.Order, at time.Time) (total int64, all []payback) {
	var debt int64
	for i := range orders {
		o := &orders[i]
		if !isLeft(o, at) {
			continue
		}
		cash, credit := paid(o)
		p := payback{Order: o.ID, Paid: cash + credit}
		p.Used, p.Parts = a.used(orders, i, at)
		debt += p.Used
		eaten := min(debt, p.Paid)
		debt -= eaten
		p.Cash, p.Credit = split(p.Paid-eaten, cash, credit)
		total += p.Paid - eaten
		all = append(all, p)
	}
	return total, all
}

// upgraded is what a dearer edition costs for what is left of each order, in cents.
func (a *accountant) upgraded(orders []account.Order, edition string, at time.Time) map[string]int64 {
	prices := make(map[string]int64)
	for i := range orders {
		o := &orders[i]
		more := new(big.Rat).Sub(a.list[edition], a.list[lastEdition(o)])
		if !isLeft(o, at) || more.Sign() <= 0 {
			continue
		}
		left := new(big.Rat).Sub(big.NewRat(int64(o.Months), 1), a.passed(a.serviceMonths(orders, i), at))
		prices[o.ID] = halfUp(times(more, left))
	}
	return prices
}

// price is what so many months cost, in cents.
func (a *accountant) price(edition string, months int, percent *big.Rat, voucher int64) int64 {
	list := times(a.list[edition], big.NewRat(int64(months), 1))
	return halfUp(list) - halfUp(times(list, times(percent, big.NewRat(1, 100)))) - voucher
}

// standing is how the plan of an app stands.
type standing string

const (
	noPlan   standing = "no plan"
	inForce  standing = "in force"
	inGrace  standing = "in grace"
	ended    standing = "ended"
	returned standing = "returned"
)

// standing reads the orders, none of which is returned later than at the instant.
// last is the order in force, or the last that was.
func (a *accountant) standing(orders []account.Order, at time.Time) (s standing, last int) {
	s, last = noPlan, -1
	for i := range orders {
		o := &orders[i]
		if !o.Refunded.IsZero() {
			s, last = returned, i
			continue
		}
		if o.Start.After(at) {
			break
		}
		last = i
		switch {
		case at.Before(o.End):
			return inForce, i
		case at.Sub(o.End) < 24*time.Hour:
			s = inGrace
		default:
			s = ended
		}
	}
	return s, last
}

// renewed is the period of so many months more, and their edition, which the app
// must have had: not that of an order that was returned before it began.
func (a *accountant) renewed(orders []account.Order, at time.Time, months int) (from, until time.Time, edition string, ok bool) {
	s, i := a.standing(orders, at)
	switch s {
	case noPlan:
		return from, until, "", false
	case ended, returned:
		if o := &orders[i]; s == returned && !o.Start.Before(o.Refunded) {
			return from, until, "", false
		}
		return at, a.plus(at, months), lastEdition(&orders[i]), true
	}
	for i+1 < len(orders) && orders[i+1].Start.Equal(orders[i].End) {
		i++
	}
	last, first, before := i, i, orders[i].Months
	for first > 0 && orders[first-1].Refunded.IsZero() && orders[first-1].End.Equal(orders[first].Start) {
		first--
		before += orders[first].Months
	}
	from, edition = orders[last].End, lastEdition(&orders[last])
	if a.plus(orders[first].Start, before).Equal(from) {
		return from, a.plus(orders[first].Start, before+months), edition, true
	}
	return from, a.plus(from, months), edition, true
}

func isLeft(o *account.Order, at time.Time) bool { return o.Refunded.IsZero() && at.Before(o.End) }

// lastEdition is the edition that an order ends in.
func lastEdition(o *account.Order) string {
	if len(o.Upgrades) == 0 {
		return o.Edition
	}
	return o.Upgrades[len(o.Upgrades)-1].Edition
}

// paid is what was paid for an order, in cents.
func paid(o *account.Order) (cash, credit int64) {
	cash, credit = inCents(o.Cash), inCents(o.Credit)
	for _, u := range o.Upgrades {
		cash, credit = cash+inCents(u.Cash), credit+inCents(u.Credit)
	}
	return cash, credit
}

// split parts an amount by what was paid in cash and in credit: the cent that is
// left goes where more of it is missing, to the cash when that is the same.
func split(amount, cash, credit int64) (inCash, inCredit int64) {
	if amount == 0 {
		return 0, 0
	}
	of := func(part int64) (whole int64, rest *big.Int) {
		w, r := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(amount), big.NewInt(part)), big.NewInt(cash+credit), new(big.Int))
		return w.Int64(), r
	}
	inCash, ofCash := of(cash)
	inCredit, ofCredit := of(credit)
	if inCash+inCredit < amount {
		if ofCash.Cmp(ofCredit) >= 0 {
			inCash++
		} else {
			inCredit++
		}
	}
	return inCash, inCredit
}

// halfUp rounds an amount, which is not below zero, to cents.
func halfUp(amount *big.Rat) int64 {
	n := new(big.Rat).Add(times(amount, big.NewRat(100, 1)), big.NewRat(1, 2))
	return new(big.Int).Quo(n.Num(), n.Denom()).Int64()
}

func times(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func inCents(d decimal.Decimal) int64 { return d.Shift(2).IntPart() }

func ofCents(n int64) decimal.Decimal { return decimal.New(n, -2) }

func rat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}
