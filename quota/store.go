package quota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Store keeps counters and judges charges against limits. quota/storetest is
// its contract in executable form.
type Store interface {
	// Apply carries out transactions and returns one outcome for each, in
	// order. Every transaction is atomic and isolated; those of one app take
	// effect in their order, and one that fails does not disturb the others.
	// What Apply has answered is as durable as the store can make it. All of one
	// app have one Now. A transaction whose outcome is no error is its caller's
	// again, and all that it refers to: the store has copied what it keeps of it.
	//
	// A transaction is carried out like this:
	//
	//  1. The app's record must have Txn.Version, else ErrStale; nothing is
	//     written. A missing app is ErrStale too: its registry knows more.
	//  2. The time is the later of Txn.Now and the app's clock, which never runs
	//     backwards and is kept with whatever the step writes. If it has reached Txn.WindowEnd, the charges name
	//     a window that is over: a *WindowPassedError, and nothing is written.
	//  3. Txn.Request, if any, is looked up before anything is judged. Known
	//     with the same fingerprint: nothing is written, the outcome is Replayed
	//     and shows the counters as they are. With another: ErrRequestReused.
	//  4. All counters are read, and what reservations hold of them. One that
	//     holds no number is a fault of reason UsageUnknown.
	//  5. In ModeConsume and ModeReserve every charge must fit its limit: used,
	//     held and delta together; else nothing is written. A charge that does
	//     not grow its counter always fits. A hold that has ended by the app's
	//     clock holds nothing, whether or not anybody noticed.
	//  6. In ModeConsume and ModeForce all of it is written, with Txn.Request and
	//     Txn.Hold. In ModeReserve only these two are.
	Apply(ctx context.Context, txns []Txn) []Outcome

	// Sweep removes what an app counted that is gone for good, a bounded part of
	// it: go on with Swept.Next until that is zero. It may be repeated, and by
	// several at once. Errors: ErrStale when the record has another version than
	// Sweep.Version, and nothing was removed. A zero Version is that of an app
	// without a record.
	Sweep(ctx context.Context, s Sweep) (Swept, error)

	// Export reads what an app counted, a part at a time, beside all that goes on:
	// every entry is as it was when its part was read, and one that is there from
	// the first part to the last is read once. Errors: ErrStale when the record has
	// another version; an *account.InvalidError of page_token when Export.From is
	// no place in this export; an *account.Fault.
	Export(ctx context.Context, e Export) (Exported, error)

	// Restore writes entries of an app that has no record, and that nobody can
	// ask about therefore: they count from its creation on. What is there already
	// is written over; Sweep with a zero Version takes away what an earlier life or
	// a restoration that broke off has left. Errors: account.ErrAppExists when it
	// has a record, and nothing was written; an *account.Fault. It may be repeated.
	Restore(ctx context.Context, r Restoration) error

	// Lease reports whether this process, of all that use the store, is the one
	// to do the named work for so long from now on. The one that has it renews
	// it. Work that two do at once, because a lease was lost with a store's
	// tail, must still come out right.
	Lease(ctx context.Context, name string, lasts time.Duration) (bool, error)
}

// Sweep says what to remove of an app: all its users, groups and request ids,
// and counters. Monthly counters of the app as a whole stay in any case, for
// bills are made from them.
type Sweep struct {
	App        uint32
	FanoutBits uint8
	Version    account.Version
	// Counters are all that go. Whatever else the app counted may go too.
	Counters []Counter
	From     int64 // Swept.Next of the call before; zero to begin
	Limit    int   // about how many stored keys are looked at
}

// Swept says how far a sweep is.
type Swept struct {
	Next    int64 // zero: nothing is left
	Removed int64 // stored keys, in this call
}

// TxnMode says whether a transaction writes.
type TxnMode uint8

// The modes.
const (
	ModeJudge   TxnMode = iota // read only
	ModeConsume                // write if every charge fits its limit
	ModeForce                  // write in any case
	ModeReserve                // hold if every charge fits its limit; with HoldPlace
)

// Txn is one atomic step on the counters of one app: what happens to the set
// of users, to one group, to the users that are online, to one reservation, and
// to counters.
type Txn struct {
	App        uint32
	FanoutBits uint8
	Version    account.Version
	Now        time.Time
	// WindowEnd is the first instant at which a window named by the charges, or
	// Users.Month, or Group.Day, or the running one of Online.Months is over; zero when nothing depends on windows.
	WindowEnd time.Time
	Mode      TxnMode
	Request   RequestKey
	Users     UserStep
	Group     GroupStep
	Online    OnlineStep
	Hold      HoldStep
	// Charges are on distinct counters: each begins from what was there before.
	Charges []Charge
}

// newTxn begins a transaction of an app, which judges.
func newTxn(app *account.App, now time.Time) Txn {
	return Txn{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Now: now}
}

// RequestKey identifies a request that takes effect at most once. The zero
// value is not remembered. Stores remember a key for RequestHorizon at least.
type RequestKey struct {
	Hash        [16]byte // of the caller and its request id
	Fingerprint [8]byte  // of what was asked
}

// IsZero reports whether there is no request id.
func (k RequestKey) IsZero() bool { return k == RequestKey{} }

// RequestHorizon is how long a request id is remembered at least.
const RequestHorizon = 10 * time.Minute

// UserOp says what happens to the set of registered users.
type UserOp uint8

// The operations on users.
const (
	UsersNone     UserOp = iota
	UsersRegister        // each unknown user becomes known
	UsersLogin           // the same, and each becomes active in Month
	UsersDelete          // each known user becomes unknown; Drop is forgotten
	UsersActive          // each becomes active in Month, known or not
)

// UserStep changes the set of registered users, of whom the store keeps the
// last month they were active in: a login counts in a later month alone, and
// so never twice in one. A user who is deleted and comes back in the same month
// was active in it once.
type UserStep struct {
	Op    UserOp
	IDs   []string  // distinct
	Month int32     // catalog.Month; of all but UsersRegister
	Drop  []Counter // UsersDelete: user-scoped counters, Subject empty, dropped for each id
}

// GroupOp says what happens to one group's record.
type GroupOp uint8

// The operations on a group.
const (
	GroupNone     GroupOp = iota
	GroupRead             // nothing
	GroupCreate           // it must not exist (ErrGroupExists), and does then
	GroupTouch            // a record without a known day of creation is made if there is none
	GroupLeave            // nothing, if there is none
	GroupDissolve         // it exists no more, and on Day and the next no touch makes it
)

// NoDay stands for the unknown day of creation of a group that was created
// before the store heard of it.
const NoDay int32 = -1 << 31

// AnyDay is the Day of a touch that makes a record even of a group that was
// dissolved a moment ago: an operator's word.
const AnyDay int32 = 1<<31 - 1

// GroupStep changes one group's record: type, day of creation, members.
//
// A group that was dissolved is remembered for two days at least: a join that
// comes late must not make it again, or it would be dissolved, and counted,
// twice.
type GroupStep struct {
	Op GroupOp
	ID string
	// Type is the catalog.GroupType.Code that the caller says the group has;
	// a record of another type is ErrGroupType. Zero: not said.
	Type byte
	Day  int32 // catalog.Day of now, or AnyDay; GroupCreate, GroupTouch, GroupDissolve, Charge.SameDay
}

// Basis says what a charge's delta is multiplied by, or measured from.
type Basis uint8

// The bases.
const (
	PerTxn       Basis = iota // once
	PerNewUser                // by the users that become known
	PerNewActive              // by the users that become active in the month
	PerGoneUser               // by the users that become unknown
	Absolute                  // Delta is the new value
)

// Counter names one counter. Subject is a user or group id, by the quota's
// scope, or empty for the app.
type Counter struct {
	Quota  string
	Scope  catalog.Scope
	Window catalog.Window
}

// Charge adds Delta to one counter for each of Subjects, within a limit that
// holds for each of them.
type Charge struct {
	Counter
	// Subjects are distinct user or group ids; nil for an app-scoped counter.
	Subjects []string
	Delta    int64
	Basis    Basis
	Limit    catalog.Limit
	// Signed counters may fall below zero; others stop there.
	Signed bool

	// Members: the counter is the member count in the record of Txn.Group.
	// Subjects is nil. The charge does not apply when there is no record after
	// the group step, before a dissolution.
	Members bool
	// Types restricts the charge to groups whose record has one of these codes
	// (of GroupStep.Type for a group being made); empty: any, or no group.
	Types string
	// SameDay restricts it to a group created on Group.Day.
	SameDay bool
}

// Outcome is what became of a transaction. When Err is set nothing else is,
// and nothing was written unless the fault is OutcomeUnknown.
type Outcome struct {
	Err error
	// Applied: the charges have been written.
	Applied bool
	// Replayed: the request had been applied before.
	Replayed bool
	// Durability is that of what was applied.
	Durability Durability
	// TailLost is when this process last noticed that the store had lost what it
	// acknowledged for the app; zero: it noticed nothing.
	TailLost time.Time
	// Clock is the app's clock after the step.
	Clock time.Time
	// Group is the record before the step.
	Group GroupRecord
	// Online is as it is after the step, or would be.
	Online OnlineOutcome
	// Hold is the reservation after the step.
	Hold HoldRecord
	// Charges has one entry for every charge.
	Charges []ChargeOutcome
}

// ChargeOutcome is what a charge found and would do, or did.
type ChargeOutcome struct {
	// Used is the counter before the step, for each subject; one entry for an
	// app or a member count. Nil, and Delta zero, when the charge did not apply
	// to this group.
	Used []int64
	// Held is what reservations hold of each counter after the step; without the
	// one that a commit is about, or a cancellation. Nil: nothing of any.
	Held []int64
	// Delta is what the charge adds to each counter: Basis resolved, floors at
	// zero not taken off. For Absolute it has one entry's difference.
	Delta int64
}

// heldOf is what is held of the charge's counter of a subject.
func (o *ChargeOutcome) heldOf(subject int) int64 {
	if subject >= len(o.Held) {
		return 0
	}
	return o.Held[subject]
}

// GroupRecord is what a store knows of a group.
type GroupRecord struct {
	Found   bool
	Type    byte
	Day     int32 // of creation; NoDay when unknown
	Members int64
}

// What a store answers about a transaction. Anything else is an
// *account.Fault.
var (
	ErrStale         = errors.New("the app's record has another version")
	ErrRequestReused = errors.New("the request id was used for another request")
	ErrGroupExists   = errors.New("a group of this id exists")
	ErrGroupType     = errors.New("the group is of another type")
	ErrGateways      = fmt.Errorf("%d gateways of the app report already", MaxGateways)
	ErrOverflow      = errors.New("the counter would leave the range of exact numbers")
)

// WindowPassedError says that the app's clock has reached the end of a window
// that the transaction names: it must be planned again for Clock.
type WindowPassedError struct{ Clock time.Time }

// Error says so.
func (e *WindowPassedError) Error() string { return "the transaction's window is over" }
