package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imquota/imquota/catalog"
)

// NewApp describes an app to be created.
type NewApp struct {
	ID            uint32 // zero: one is chosen
	Account       string
	Name          string
	Region        string // empty: the catalog's first
	ExpectedUsers int64  // zero: a million
	AcceptLoss    bool   // create it although its counters were lost

	// What an existing customer brings along.
	Edition   string  // empty: the catalog's default
	Orders    []Order // in any sequence
	Approvals []Grant // of features
	AddOns    []Grant
	Created   time.Time // zero: now
	Catalog   string    // version that a legacy app goes by; empty: the one in force
}

// Grant is an approval or activation that was made elsewhere.
type Grant struct {
	Key string
	At  time.Time // zero: now
}

// Create creates an app. With a request that is known it answers the app that
// the request created before.
func (s *Apps) Create(ctx context.Context, n NewApp, by Origin) (*App, error) {
	app, err := s.record(n, "import.", s.Now())
	if err != nil {
		// What makes no sense any more may have been done when it did.
		if before, _ := s.createdBefore(ctx, &App{ID: n.ID, Account: n.Account}, by.Change); before != nil {
			return before, nil
		}
		return nil, err
	}
	if owner := s.Registry.Accounts(ctx, []string{n.Account})[0]; owner.Err != nil {
		return nil, forAccount(n.Account, owner.Err) // nobody could say how the app stands
	}
	app.Creation = by.Change
	for attempt := range uint32(chooseAttempts) {
		if n.ID == 0 {
			app.ID = chooseID(n.Account, by.Change, attempt)
		}
		event, err := by.Event("CreateApp", s.Now(), nil, app)
		if err != nil {
			return nil, err
		}
		err = s.Registry.CreateApp(ctx, app, event, s.Catalog().Account().MaxApps, n.AcceptLoss)
		if err == nil {
			return app, nil
		}
		if !errors.Is(err, ErrAppExists) {
			return nil, ForApp(app.ID, err)
		}
		if before, err := s.createdBefore(ctx, app, by.Change); before != nil || err != nil {
			return before, err
		}
		if n.ID != 0 {
			break
		}
	}
	return nil, ForApp(app.ID, ErrAppExists)
}

// chooseAttempts bounds the search for a free id; with a million apps the
// first one is taken once in a hundred times.
const chooseAttempts = 64

// Chosen ids lie in a range of their own, clear of small hand-made numbers.
const (
	firstChosenID = 1_400_000_000
	chosenIDs     = 100_000_000
)

// chooseID draws an id: the same one for the same request, so that repeating
// it finds the app that it created.
func chooseID(account string, change Change, attempt uint32) uint32 {
	var draw [8]byte
	if change.RequestID == "" {
		_, _ = rand.Read(draw[:]) // never fails
	} else {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", attempt, account, change.RequestID))
		copy(draw[:], sum[:])
	}
	return firstChosenID + uint32(binary.BigEndian.Uint64(draw[:])%chosenIDs)
}

// createdBefore returns the existing app, if this change created it.
func (s *Apps) createdBefore(ctx context.Context, app *App, change Change) (*App, error) {
	if change.RequestID == "" {
		return nil, nil
	}
	id := app.ID
	if id == 0 {
		id = chooseID(app.Account, change, 0)
	}
	existing, err := s.Registry.App(ctx, id)
	if err != nil {
		return nil, err
	}
	if existing.Account != app.Account {
		return nil, nil
	}
	known, err := existing.Remembered(change)
	if !known || err != nil {
		return nil, err
	}
	return existing, nil
}

// Imagine makes the record of an app that need not exist, as it would be at an
// instant; it goes nowhere. Its fields are called "subscription." and so on. Unless
// that is said, it was created when its first order began, or at the instant.
func (s *Apps) Imagine(n NewApp, at time.Time) (*App, error) {
	n.DefaultCreated(at)
	// What is to happen after the instant may be said, and has not happened yet.
	end := time.Date(lastYear, 1, 1, 0, 0, 0, 0, time.UTC)
	app, err := (&Apps{Catalog: s.Catalog, Now: func() time.Time { return end }}).record(n, "subscription.", at)
	if err != nil {
		return nil, err
	}
	return app.AsOf(at), nil
}

// DefaultCreated has an app that does not say when it was created be there at an instant:
// since then, or since its first order when that began before.
func (n *NewApp) DefaultCreated(at time.Time) {
	if !n.Created.IsZero() {
		return
	}
	n.Created = at
	for i := range n.Orders {
		if start := n.Orders[i].Start; start.Before(n.Created) {
			n.Created = start
		}
	}
}

// record checks a new app and makes its record. What it brings along is below the
// path; its edition is the one at an instant.
func (s *Apps) record(n NewApp, path string, at time.Time) (*App, error) {
	cat, now := s.Catalog(), s.Now()
	app := &App{
		ID: n.ID, Account: n.Account, Name: n.Name, Region: n.Region, Edition: n.Edition, Created: n.Created,
		FanoutBits: FanoutBitsFor(n.ExpectedUsers), Orders: slices.Clone(n.Orders),
	}
	if app.Created.IsZero() {
		app.Created = now
	}
	app.Created = app.Created.UTC()
	if app.Created.After(now) {
		return nil, &InvalidError{path + "create_time", "lies in the future"}
	}
	if err := app.pin(n.Catalog, cat, path); err != nil {
		return nil, err
	}
	cat = app.RulesIn(cat)
	if app.Region == "" {
		app.Region = cat.Regions()[0]
	}
	if !cat.HasRegion(app.Region) {
		return nil, unknown("region", "region", app.Region, strings.Join(cat.Regions(), ", "))
	}
	if app.Edition == "" {
		app.Edition = cat.DefaultEdition().Key
	}
	if _, ok := cat.Edition(app.Edition); !ok {
		return nil, unknown(path+"edition", "edition", app.Edition, cat.EditionNames())
	}
	if err := checkOrders(cat, path, app.Orders, now); err != nil {
		return nil, err
	}
	if len(app.Orders) > 0 {
		// Orders say which edition is in force; before the first it is the
		// default one.
		app.Edition = cat.DefaultEdition().Key
	}
	edition := app.StateAt(at, nil, cat).Edition
	if n.Edition != "" && n.Edition != edition {
		return nil, &InvalidError{path + "edition", fmt.Sprintf("is %q, but by the orders it is %q", n.Edition, edition)}
	}
	for i, g := range n.Approvals {
		if err := s.approve(app, fmt.Sprintf("%sapprovals[%d].", path, i), g); err != nil {
			return nil, err
		}
	}
	for i, g := range n.AddOns {
		if err := s.activate(app, edition, fmt.Sprintf("%sadd_ons[%d].", path, i), g); err != nil {
			return nil, err
		}
	}
	return app, nil
}

// pin has a new app go by a catalog, if it is in the legacy billing mode.
func (a *App) pin(version string, inForce *catalog.Snapshot, path string) error {
	isLegacy := a.IsLegacy(inForce.Account())
	switch _, ok := inForce.Pinned(version); {
	case version != "" && !isLegacy:
		return &InvalidError{path + "catalog_version", "is for apps in the legacy billing mode; this one goes by the catalog in force"}
	case version != "" && !ok:
		return &InvalidError{path + "catalog_version", fmt.Sprintf("%q is not there; give its file as --pinned-catalog", version)}
	case isLegacy:
		a.Catalog = cmp.Or(version, inForce.Version())
	}
	return nil
}

// checkOrders checks what an existing customer brings along, gives orders the
// ends that were left out, and sorts them.
func checkOrders(cat *catalog.Snapshot, path string, orders []Order, now time.Time) error {
	most := cat.Account().MaxOrderMonths
	places := make(map[string]int, len(orders)) // by id
	for i := range orders {
		o := &orders[i]
		field := orderField(path, i)
		bought, ok := cat.Edition(o.Edition)
		_, isTwice := places[o.ID]
		switch {
		case !ok:
			return unknown(field+"edition", "edition", o.Edition, cat.EditionNames())
		case bought.IsFree():
			return &InvalidError{field + "edition", "the " + o.Edition + " edition is free and cannot be ordered"}
		case isTwice:
			return &InvalidError{field + "order_id", fmt.Sprintf("order %q is given twice", o.ID)}
		case o.Months < 1 || o.Months > most:
			return &InvalidError{field + "months", fmt.Sprintf("is %d: an order has 1 to %d months", o.Months, most)}
		case o.Cash.IsNegative():
			return &InvalidError{field + "cash", "is negative"}
		case o.Credit.IsNegative():
			return &InvalidError{field + "credit", "is negative"}
		case o.Discount.Add(o.Voucher).GreaterThan(o.List) && !o.List.IsZero():
			return &InvalidError{field + "list_amount", "is less than the discount and the voucher together"}
		case o.Refunded.After(now):
			return &InvalidError{field + "refund_time", "lies in the future"}
		}
		if err := checkUpgrades(cat, field, o, now); err != nil {
			return err
		}
		places[o.ID] = i
	}
	slices.SortStableFunc(orders, func(a, b Order) int { return a.Start.Compare(b.Start) })
	for i := range orders {
		o := &orders[i]
		if o.End.IsZero() {
			o.End = endOf(orders[:i], o, cat.Zone())
		}
		o.Start, o.End = o.Start.UTC(), o.End.UTC() // as the log shows them
		field := orderField(path, places[o.ID])
		switch {
		case !o.Start.Before(o.End):
			return &InvalidError{field + "end_time", "is not after the start"}
		case o.End.Year()-o.Start.Year() > longestOrder:
			return &InvalidError{field + "end_time", fmt.Sprintf("is more than %d years after the start", longestOrder)}
		case o.End.Year() > lastYear:
			return &InvalidError{field + "end_time", fmt.Sprintf("lies beyond the year %d", lastYear)}
		case o.isReturned() && !o.Refunded.Before(o.End):
			return &InvalidError{field + "refund_time", "is not before the end"}
		case len(o.Upgrades) > 0 && !o.Upgrades[len(o.Upgrades)-1].At.Before(o.End):
			return &InvalidError{fmt.Sprintf("%supgrades[%d].upgrade_time", field, len(o.Upgrades)-1), "is not before the end of the order"}
		}
	}
	if err := SortOrders(orders); err != nil {
		return &InvalidError{path + "orders", err.Error()}
	}
	return nil
}

// checkUpgrades checks the upgrades of an order that an existing customer brings
// along.
func checkUpgrades(cat *catalog.Snapshot, order string, o *Order, now time.Time) error {
	before, at := o.Edition, time.Time{}
	for i := range o.Upgrades {
		u := &o.Upgrades[i]
		u.At = u.At.UTC()
		field := fmt.Sprintf("%supgrades[%d].", order, i)
		to, ok := cat.Edition(u.Edition)
		from, _ := cat.Edition(before)
		switch {
		case !ok:
			return unknown(field+"edition", "edition", u.Edition, cat.EditionNames())
		case !to.MonthlyPrice.GreaterThan(from.MonthlyPrice):
			return &InvalidError{field + "edition", fmt.Sprintf("%s is not dearer than %s", u.Edition, before)}
		case u.At.Before(at):
			return &InvalidError{field + "upgrade_time", "is before that of the upgrade before"}
		case u.At.After(now):
			return &InvalidError{field + "upgrade_time", "lies in the future"}
		case o.isReturned() && u.At.After(o.Refunded):
			return &InvalidError{field + "upgrade_time", "is after the order was returned"}
		case u.Cash.IsNegative():
			return &InvalidError{field + "cash", "is negative"}
		case u.Credit.IsNegative():
			return &InvalidError{field + "credit", "is negative"}
		}
		before, at = u.Edition, u.At
	}
	return nil
}

// lastYear is the last one that an instant can be written in (RFC 3339), a grace
// and the days for which data is kept included.
const lastYear = 9000

// longestOrder is how many years an order may last whose end is told by itself:
// more is a slip of the pen, and an instant too far to compute a duration to.
const longestOrder = 100

func orderField(path string, i int) string { return fmt.Sprintf("%sorders[%d].", path, i) }

// endOf returns where an order ends that says only how long it is. It goes on
// with the chain of the orders before that end where it starts.
func endOf(before []Order, o *Order, zone *time.Location) time.Time {
	if c := chainAt(before, o.Start); c.end.Equal(o.Start) {
		return c.after(o.Months, zone)
	}
	return AddMonths(o.Start, o.Months, zone)
}
