//go:build unix && !linux

package main

import (
	"os/exec"
	"syscall"
)

// setApart has a child not be interrupted with this process, which stops it itself.
func setApart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
