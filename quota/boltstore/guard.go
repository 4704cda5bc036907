package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// damageError is what bbolt does on damaged pages, as an error.
type damageError struct{ cause any }

// Error returns the cause.
func (e damageError) Error() string { return fmt.Sprintf("it is damaged: %v", e.cause) }

func isDamage(err error) bool {
	_, ok := errors.AsType[damageError](err)
	return ok
}

// guard turns what bbolt does on damaged pages, which is to panic or to read
// where there is no memory, into a damageError.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = damageError{cause}
		}
	}()
	return f()
}
