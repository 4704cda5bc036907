package quota

import (
	"encoding/binary"

	"github.com/imquota/imquota/catalog"
)

// RemoveFriend undoes AddFriend.
type RemoveFriend struct {
	UserID, FriendID string
	OneWay           bool
}

// LeaveGroup undoes JoinGroup. The group may have been dissolved already.
type LeaveGroup struct{ GroupID, UserID string }

// RemoveGroupMembers undoes AddGroupMembers. The group may have been
// dissolved already.
type RemoveGroupMembers struct {
	GroupID string
	UserIDs []string
}

// DissolveGroup undoes CreateGroup, what its members have joined apart.
type DissolveGroup struct{ GroupID string }

// DeleteUsers undoes RegisterUsers and drops the users' own counters.
type DeleteUsers struct{ UserIDs []string }

// ReturnQuota undoes UseQuota.
type ReturnQuota struct {
	Quota, Subject string
	Amount         int64
}

func (a *RemoveFriend) plan(p *planner) error {
	p.release = true
	p.befriend(a.UserID, a.FriendID, a.OneWay, -1)
	return nil
}

func (a *LeaveGroup) plan(p *planner) error {
	return p.removeMembers(a.GroupID, []string{a.UserID})
}

func (a *RemoveGroupMembers) plan(p *planner) error {
	return p.removeMembers(a.GroupID, a.UserIDs)
}

func (a *DissolveGroup) plan(p *planner) error {
	p.release = true
	p.txn.Group = GroupStep{Op: GroupDissolve, ID: a.GroupID, Day: p.day()}
	// The store knows the group's type; the charges say which types they are
	// for, so that dissolving needs the id alone and takes one step.
	sameDay := p.catalog.Policies().DissolveCounts == catalog.DissolveSameDay
	for _, q := range p.catalog.Quotas() {
		var types []byte
		for _, t := range p.catalog.GroupTypes() {
			if t.CountsOn(q) {
				types = append(types, t.Code)
			}
		}
		if len(types) > 0 {
			p.charge(q, Charge{Delta: -1, Types: string(types), SameDay: sameDay && q.Kind != catalog.KindStock})
		}
	}
	return nil
}

func (a *DeleteUsers) plan(p *planner) error {
	p.release = true
	if !p.edition.MayDeleteUsers {
		p.deny(OperationNotAllowed, "", p.catalog.Codes().DeleteUsers,
			"apps of the "+p.edition.Key+" edition cannot delete users")
	}
	step := UserStep{Op: UsersDelete, IDs: a.UserIDs, Month: p.month()}
	for _, q := range p.catalog.Quotas() {
		if q.Scope == catalog.ScopeUser && q.Kind != catalog.KindStatic {
			step.Drop = append(step.Drop, Counter{Quota: q.Key, Scope: q.Scope, Window: p.window(q)})
		}
	}
	p.txn.Users = step
	p.charge(p.builtin(catalog.Users), Charge{Delta: -1, Basis: PerGoneUser})
	return nil
}

func (a *ReturnQuota) plan(p *planner) error {
	p.release = true
	return p.direct(a.Quota, a.Subject, -a.Amount)
}

func (a *RemoveFriend) canonical(b []byte) []byte {
	return appendBool(appendString(appendString(append(b, canonRemoveFriend), a.UserID), a.FriendID), a.OneWay)
}

func (a *LeaveGroup) canonical(b []byte) []byte {
	return appendString(appendString(append(b, canonLeaveGroup), a.GroupID), a.UserID)
}

func (a *RemoveGroupMembers) canonical(b []byte) []byte {
	return appendSet(appendString(append(b, canonRemoveGroupMembers), a.GroupID), a.UserIDs)
}

func (a *DissolveGroup) canonical(b []byte) []byte {
	return appendString(append(b, canonDissolveGroup), a.GroupID)
}

func (a *DeleteUsers) canonical(b []byte) []byte {
	return appendSet(append(b, canonDeleteUsers), a.UserIDs)
}

func (a *ReturnQuota) canonical(b []byte) []byte {
	b = appendString(appendString(append(b, canonReturnQuota), a.Quota), a.Subject)
	return binary.AppendVarint(b, a.Amount)
}
