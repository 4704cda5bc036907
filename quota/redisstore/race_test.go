//go:build race

package redisstore

// withMutants is whether the suite is run on each mutant here: what makes Go slow
// finds nothing in a script, and `make test` runs them without it.
const withMutants = false
