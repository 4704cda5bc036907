package account

// InvalidError says that a field of a request makes no sense.
type InvalidError struct {
	Field       string // such as "group_type" or "import.orders[1].edition"
	Description string
}

// Error names the field and what is wrong with it.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Description }
