package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestServerBeginsAnewWithTimerSlack(t *testing.T) {
	p := serve(t, "--store", "bolt:quota.db")
	if got := slackOf(t, p); got != timerSlack {
		t.Errorf("timers may be %v late, want %v", got, timerSlack)
	}
	if got := about(t, p, "comm"); got != "imquota" {
		t.Errorf("the process is called %q", got)
	}
	if got, want := strings.ReplaceAll(about(t, p, "cmdline"), "\x00", " "), strings.Join(p.cmd.Args, " ")+" "; got != want {
		t.Errorf("the command line is %q, want %q", got, want)
	}
}

func TestServerKeepsTheSlackItIsGiven(t *testing.T) {
	for _, given := range []time.Duration{time.Microsecond, 10 * time.Millisecond} {
		t.Run(given.String(), func(t *testing.T) {
			runtime.LockOSThread() // whose slack the process inherits
			defer runtime.UnlockOSThread()
			if err := setSlack(given); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := setSlack(stockSlack); err != nil {
					t.Error(err)
				}
			}()
			if got := slackOf(t, serve(t, "--store", "bolt:quota.db")); got != given {
				t.Errorf("timers may be %v late, want %v", got, given)
			}
		})
	}
}

// Where slack does not outlast the beginning, there is one beginning more, and no
// other.
func TestServerBeginsAnewOnce(t *testing.T) {
	t.Setenv(slackVariable, "1")
	if got := slackOf(t, serve(t, "--store", "bolt:quota.db")); got != stockSlack {
		t.Errorf("timers may be %v late, want %v", got, stockSlack)
	}
}

func slackOf(t *testing.T, p *process) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(about(t, p, "timerslack_ns") + "ns")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// about reads what the system tells about a process.
func about(t *testing.T, p *process, what string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, what))
	if errors.Is(err, os.ErrPermission) {
		t.Skip("needs CAP_SYS_NICE: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
