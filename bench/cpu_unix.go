//go:build unix

package bench

import (
	"syscall"
	"time"
)

// UsedCPU returns the processor time that this process has used.
func UsedCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
