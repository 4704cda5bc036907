package ratings

import (
	"fmt"

	"github.com/imquota/imquota/account"
)

// QuoteRenewal quotes more months of the edition that an app has, or had (FACTS
// §6). Errors: as of QuotePurchase.
func QuoteRenewal(s Subject, t Terms) (*Quote, error) {
	if err := t.check(s.Catalog.Account()); err != nil {
		return nil, err
	}
	if s.State.Plan == account.NoPlan {
		return nil, s.noPlan("renew")
	}
	from, until, edition := s.App.Renewed(s.State, s.At, t.Months, s.Catalog.Zone())
	e, err := editionOf(s.Catalog, edition)
	if err != nil {
		return nil, err
	}
	if e.IsFree() {
		return nil, s.noPlan("renew") // what was returned had not begun
	}
	q := s.quote(Renewal, e.Key, "renewal_state", "renewal_after_suspension")
	if err := s.buy(q, e, t, from, until, fmt.Sprintf("%s plan, %s", e.Title, plural(t.Months, "more month"))); err != nil {
		return nil, err
	}
	return q, nil
}
