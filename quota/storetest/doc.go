// Package storetest is the contract of a store as tests that every driver
// passes. Time is a value of each transaction, so nothing here waits.
//
// Model is the contract in its plainest form: maps and a lock. Property tests
// compare a driver with it, step by step.
package storetest
