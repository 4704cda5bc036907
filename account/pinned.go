package account

import (
	"errors"
	"fmt"

	"github.com/imquota/imquota/catalog"
)

// ErrUnknownCatalog says that the catalog that an app goes by is not there.
var ErrUnknownCatalog = errors.New("the app goes by a catalog that is not there; give its file as --pinned-catalog")

// CatalogIn returns the catalog that the app goes by: the one that it pinned, as
// long as it is in the legacy billing mode (FACTS §5), else the one in force.
// Errors: ErrUnknownCatalog.
func (a *App) CatalogIn(inForce *catalog.Snapshot) (*catalog.Snapshot, error) {
	if a.Catalog == "" || !a.IsLegacy(inForce.Account()) {
		return inForce, nil
	}
	if own, ok := inForce.Pinned(a.Catalog); ok {
		return own, nil
	}
	return nil, fmt.Errorf("catalog %q: %w", a.Catalog, ErrUnknownCatalog)
}

// RulesIn is CatalogIn for what must be told in any case, such as how an app
// stands: by the catalog in force when its own is not there.
func (a *App) RulesIn(inForce *catalog.Snapshot) *catalog.Snapshot {
	if own, err := a.CatalogIn(inForce); err == nil {
		return own
	}
	return inForce
}
