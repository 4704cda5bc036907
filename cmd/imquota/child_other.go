//go:build !unix

package main

import "os/exec"

// setApart has nothing to do where there are no process groups.
func setApart(*exec.Cmd) {}
