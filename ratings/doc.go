// Package ratings says what plans cost: a purchase, a renewal, an upgrade, a
// refund, a month's usage (FACTS §5 to §7). It computes exactly and rounds once;
// time comes in as a value. Only its Ledger does I/O: it quotes stored apps,
// keeps the quotes, and carries out those that are accepted.
package ratings
