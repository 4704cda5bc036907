// Package quota decides what an app may do: an action becomes charges, the
// store judges and writes them in one step, and the outcome becomes a decision.
//
// The Enforcer holds all policy; a Store (quota/boltstore, quota/redisstore)
// holds all counters and knows nothing of editions or actions.
package quota
