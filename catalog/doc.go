// Package catalog holds what is sold: editions, quotas and their limits,
// features and their conditions, group types, add-ons, prices and policies.
//
// A catalog is a YAML file. Parse turns it into a Snapshot, which is complete,
// consistent and never changes; a catalog that breaks a rule is refused with
// every broken rule named. The rules that ship with imquota are default.yaml;
// their sources are named in its comments.
package catalog
