//go:build !unix

package bench

import (
	"errors"
	"time"
)

// UsedCPU returns the processor time that this process has used.
func UsedCPU() (time.Duration, error) {
	return 0, errors.ErrUnsupported
}
