//go:build !linux

package main

// beginWithSlack does nothing: other systems have no such slack to give.
func beginWithSlack() {}
