package account

import "fmt"

// InvalidError says that a field of a request makes no sense.
type InvalidError struct {
	Field       string // such as "group_type" or "import.orders[1].edition"
	Description string
}

// Error names the field and what is wrong with it.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Description }

// unknown says that there is nothing of a name, and what there is.
func unknown(field, what, name, names string) *InvalidError {
	return &InvalidError{field, fmt.Sprintf("unknown %s %q; there are %s", what, name, names)}
}
