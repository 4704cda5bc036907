//go:build race

package ratings_test

import "flag"

// The race detector makes reckoning slow and has little to find in pure functions:
// it gets fewer random subscriptions than `make test` draws without it.
func init() { _ = flag.Set("rapid.checks", "20") } // a flag on the command line wins
