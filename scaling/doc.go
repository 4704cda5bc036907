// Package scaling works out how a population of apps spreads over the shards of
// a Redis Cluster: how many checks the hottest shard takes, how full the fullest
// is, and from how many shards on more of them no longer help.
//
// All keys of an app share the hash tag {app} and so a slot: an app is never
// split. Sizes of apps have a heavy tail, so what bounds a Cluster is the largest
// app rather than the sum of all. It is arithmetic: no clock, no server, and the
// same answer for the same input.
package scaling
