package quota

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// outlook is what follows from the records of an app and its account and from the
// catalog: what all requests have in common that are decided by them. It is found
// once, and many read it at once.
type outlook struct {
	// What every request looks at lies together, in what the processor fetches at once.
	owner   *kept[*account.Account]
	inForce *catalog.Snapshot
	last    atomic.Pointer[stretch] // that was asked for: most who ask are in it
	changed time.Time               // the later of both records
	err     error

	app *account.App
	// catalog is the one that the app goes by. Where that is not there it is the one
	// in force, for what is known without, and err says so unless the app is gone.
	catalog *catalog.Snapshot
	common  *common // of inForce
}

// stretch is a stretch of time in which an app is in one state. What is decided in
// it without a counter, and for no client in particular, is decided once.
type stretch struct {
	state     account.State
	decisions *answers // of what nothing but the state denies
	err       error    // the catalog has no such edition
	// edition is whichever for an app that is gone, to which everything is denied.
	edition *catalog.Edition
	outlook *outlook

	denial   atomic.Pointer[[]Violation]               // why the state denies whatever is asked for
	features atomic.Pointer[[]atomic.Pointer[refusal]] // by Feature.Index
}

// common is what all apps in service of an edition have in common that go by the
// catalog in force: however many there are, what they are told is at hand.
type common struct {
	catalog  *catalog.Snapshot
	editions []answers // by Edition.Index
}

// commonOf returns what is common to apps that go by a catalog in force.
func (c *records) commonOf(inForce *catalog.Snapshot) *common {
	known := c.common.Load()
	if known == nil || known.catalog != inForce {
		known = &common{inForce, make([]answers, len(inForce.Editions()))}
		c.common.Store(known)
	}
	return known
}

func newOutlook(app *account.App, owner *kept[*account.Account], inForce *common) *outlook {
	o := &outlook{
		app: app, owner: owner, inForce: inForce.catalog, common: inForce,
		changed: account.Latest(time.Time{}, app, owner.record),
	}
	o.catalog, o.err = catalogOf(app, inForce.catalog)
	return o
}

// catalogOf returns the catalog that an app goes by. Where that is not there it is
// the one in force, and an error too, unless the app is gone: it needs none.
func catalogOf(app *account.App, inForce *catalog.Snapshot) (*catalog.Snapshot, error) {
	own, err := app.CatalogIn(inForce)
	switch {
	case err == nil:
		return own, nil
	case app.IsNotedGone():
		return inForce, nil
	}
	return inForce, account.ForApp(app.ID, err)
}

func (o *outlook) editionIn(state *account.State) (*catalog.Edition, error) {
	edition, ok := o.catalog.Edition(state.Edition)
	switch {
	case ok:
		return edition, nil
	case state.IsGone():
		return o.catalog.DefaultEdition(), nil
	}
	return nil, unknownEdition(o.app.ID, state.Edition, o.catalog)
}

// at returns the stretch that holds an instant, or when a record was changed last.
// Who did that may have had a clock that is ahead.
func (o *outlook) at(now time.Time) *stretch {
	if now.Before(o.changed) {
		now = o.changed
	}
	if s := o.last.Load(); s != nil && s.state.Holds(now) {
		return s
	}
	s := &stretch{outlook: o, state: *o.app.StateAt(now, o.owner.record, o.inForce)}
	s.edition, s.err = o.editionIn(&s.state)
	if s.state.Stage == account.Active && s.err == nil && o.catalog == o.inForce {
		s.decisions = &o.common.editions[s.edition.Index]
	} else {
		s.decisions = &answers{}
	}
	o.last.Store(s)
	return s
}

// inService is how apps stand that are in full service.
var inService = &account.State{Stage: account.Active}

// told is what a decision tells of the state.
func (s *stretch) told() *account.State {
	if s.state.Stage == account.Active {
		return inService
	}
	return &s.state
}

// denies reports whether the state denies what is asked for. What is given back is
// accepted as long as counters are kept.
func (s *stretch) denies(release bool) bool {
	switch s.state.Stage {
	case account.Active, account.Grace:
		return false
	case account.Suspended:
		return !release
	case account.Reclaimed, account.Deleted:
	}
	return true
}

// violations are why it does. They are shared.
func (s *stretch) violations() []Violation {
	if known := s.denial.Load(); known != nil {
		return *known
	}
	vs := slices.Clip(violateState(s.outlook.app.ID, &s.state, s.outlook.catalog))
	s.denial.Store(&vs)
	return vs
}

// refusal is why a feature may not be used, whoever asks for it: the reasons,
// which say how it was judged, and in full.
type refusal struct {
	reasons    reasons
	violations []Violation
	decisions  answers
}

// refuse returns the refusal of a feature for reasons that are not the client's.
func (s *stretch) refuse(c *featureCase, f *catalog.Feature, why reasons) *refusal {
	features := s.features.Load()
	if features == nil {
		all := make([]atomic.Pointer[refusal], len(s.outlook.catalog.Features()))
		s.features.CompareAndSwap(nil, &all)
		features = s.features.Load()
	}
	place := &(*features)[f.Index]
	if known := place.Load(); known != nil && known.reasons == why {
		return known
	}
	r := &refusal{reasons: why, violations: slices.Clip(c.explain(nil, f, why))}
	place.Store(r)
	return r
}

// answers are decisions that many requests get: from the cache or degraded, in the
// BASIC view or the FULL one.
type answers [2][2]atomic.Pointer[Decision]

func (a *answers) place(isDegraded, isBasic bool) *atomic.Pointer[Decision] {
	i, k := 0, 0
	if isDegraded {
		i = 1
	}
	if isBasic {
		k = 1
	}
	return &a[i][k]
}
