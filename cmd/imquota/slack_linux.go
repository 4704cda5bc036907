package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the system may end a server's sleeps. A thread of Go's
// runtime that looks after the others sleeps 20 µs at a time for as long as calls
// come, which is 3000 interrupts a second, a tenth of the server's processor time
// at 64 callers and half of it at one. With so much slack it sleeps until the
// processor is interrupted anyway. With more, who waits behind a system call that
// takes long waits longer.
const timerSlack = 4 * time.Millisecond

// stockSlack is the slack of processes that nobody has given another, see prctl(2).
const stockSlack = 50 * time.Microsecond

// slackVariable is set in a process that has begun anew, so that it does not again
// where slack does not last.
const slackVariable = "IMQUOTA_HAS_TIMER_SLACK"

// beginWithSlack has the process begin anew, as the same one and with timerSlack, and
// does not return then: threads have the slack of the one that made them, and
// that thread is made before any code of ours runs. It returns where slack cannot be
// given, and where the operator has given another, as systemd does for
// TimerSlackNSec=.
func beginWithSlack() {
	if _, isAnew := os.LookupEnv(slackVariable); isAnew {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(slack) != stockSlack || setSlack(timerSlack) != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, append(os.Environ(), slackVariable+"=1")) // it returns only if it failed
	_ = setSlack(stockSlack)
}

// setSlack sets that of the thread that calls it.
func setSlack(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d.Nanoseconds()), 0, 0, 0)
}
