// Package account holds who bought what: apps, their edition, orders,
// approvals, add-ons and overrides, and the state that follows from them at an
// instant. It is pure but for Registry, the interface that stores implement.
package account
