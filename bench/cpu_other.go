//go:build !unix

package bench

import (
	"errors"
	"time"
)

// usedCPU returns the processor time that this process has used.
func usedCPU() (time.Duration, error) {
	return 0, errors.ErrUnsupported
}
