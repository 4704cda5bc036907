package quota

import (
	"encoding/binary"
	"slices"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Action is what a caller is about to do, or undoes, in its own words. The
// types of this package that implement it are all there are.
type Action interface {
	// plan adds the action's conditions and charges.
	plan(p *planner) error
	// canonical appends bytes that tell this action from every other.
	canonical(b []byte) []byte
}

// UseFeature uses a feature of the plan. It counts nothing.
type UseFeature struct {
	Feature   string
	GroupType string // name or alias; empty: unknown
	GroupID   string // empty: unknown
}

// RegisterUsers registers users; known ones change nothing.
type RegisterUsers struct{ UserIDs []string }

// Login registers the user, if unknown, and counts a monthly active user at
// the first login of the month. Which one that is the store says each time: that
// a user was counted is not known any more once somebody else may have deleted
// them, once another process's clock may have taken the app into the next month,
// or once the store may have lost its tail.
type Login struct{ UserID string }

// AddFriend counts a friend for both users, or for UserID alone.
// Reservations store it.
type AddFriend struct {
	UserID   string `json:"userId"`
	FriendID string `json:"friendId"`
	OneWay   bool   `json:"oneWay,omitempty"`
}

// CreateGroup counts a group, its members and what they have joined.
// Reservations store it.
type CreateGroup struct {
	GroupID   string   `json:"groupId"`
	GroupType string   `json:"groupType"`
	OwnerID   string   `json:"ownerId,omitempty"` // empty: none
	MemberIDs []string `json:"memberIds,omitempty"`
}

// JoinGroup counts one who joins.
type JoinGroup struct{ GroupID, GroupType, UserID string }

// AddGroupMembers counts members added by others.
// Reservations store it.
type AddGroupMembers struct {
	GroupID   string   `json:"groupId"`
	GroupType string   `json:"groupType"`
	UserIDs   []string `json:"userIds"`
}

// UseQuota counts on one quota that the catalog marks direct.
type UseQuota struct {
	Quota, Subject string
	Amount         int64
}

func (a *UseFeature) plan(p *planner) error {
	f, ok := p.catalog.Feature(a.Feature)
	if !ok {
		return &account.InvalidError{Field: "feature", Description: unknown("feature", a.Feature, p.catalog.FeatureNames())}
	}
	var t *catalog.GroupType
	if a.GroupType != "" {
		var err error
		if t, err = p.groupType(a.GroupType); err != nil {
			return err
		}
	}
	p.feature(f, t)
	if a.GroupID != "" && (f.GroupSize != nil || f.GroupTypes != nil && t == nil) {
		p.readGroup(a.GroupID, t, f)
	}
	return nil
}

func (a *RegisterUsers) plan(p *planner) error {
	p.expect(1)
	p.txn.Users = UserStep{Op: UsersRegister, IDs: a.UserIDs}
	p.charge(p.builtin(catalog.Users), Charge{Delta: 1, Basis: PerNewUser})
	return nil
}

func (a *Login) plan(p *planner) error {
	p.expect(2)
	p.txn.Users = UserStep{Op: UsersLogin, IDs: p.lone(a.UserID), Month: p.month()}
	p.charge(p.builtin(catalog.Users), Charge{Delta: 1, Basis: PerNewUser})
	p.charge(p.builtin(catalog.FreeMAU), Charge{Delta: 1, Basis: PerNewActive})
	return nil
}

func (a *AddFriend) plan(p *planner) error {
	p.befriend(a.UserID, a.FriendID, a.OneWay, 1)
	return nil
}

// befriend charges a friend more or less of both users, or of one.
func (p *planner) befriend(user, friend string, oneWay bool, delta int64) {
	p.expect(2)
	quota := p.builtin(catalog.Friends)
	p.pair = [...]string{user, friend}
	p.charge(quota, Charge{Subjects: p.pair[:1:1], Delta: delta})
	if !oneWay {
		p.chargeAs(catalog.RolePeer, quota, Charge{Subjects: p.pair[1:], Delta: delta})
	}
}

func (a *CreateGroup) plan(p *planner) error {
	t, err := p.groupType(a.GroupType)
	if err != nil {
		return err
	}
	if t.Requires != nil {
		p.feature(t.Requires, t)
	}
	p.txn.Group = GroupStep{Op: GroupCreate, ID: a.GroupID, Type: t.Code, Day: p.day()}
	p.expect(len(t.Counts) + 2)
	for _, q := range t.Counts {
		p.charge(q, Charge{Delta: 1})
	}
	if !t.HasMembers {
		if len(a.MemberIDs) > 0 {
			p.deny(OperationNotAllowed, a.GroupID, p.catalog.Codes().LiveInvite,
				"a "+t.Key+" group cannot be created with members: users join it by themselves")
		}
		return nil
	}
	members := a.MemberIDs
	if a.OwnerID != "" && !slices.Contains(members, a.OwnerID) {
		members = append([]string{a.OwnerID}, members...)
	}
	p.addMembers(t, members, catalog.RoleCreate)
	return nil
}

func (a *JoinGroup) plan(p *planner) error {
	t, err := p.groupType(a.GroupType)
	if err != nil {
		return err
	}
	p.expect(2)
	p.txn.Group = GroupStep{Op: GroupTouch, ID: a.GroupID, Type: t.Code, Day: p.day()}
	p.addMembers(t, p.lone(a.UserID), "")
	return nil
}

func (a *AddGroupMembers) plan(p *planner) error {
	t, err := p.groupType(a.GroupType)
	if err != nil {
		return err
	}
	p.expect(2)
	p.txn.Group = GroupStep{Op: GroupTouch, ID: a.GroupID, Type: t.Code, Day: p.day()}
	if !t.HasMembers {
		p.deny(OperationNotAllowed, a.GroupID, p.catalog.Codes().LiveInvite,
			"members cannot be added to a "+t.Key+" group: users join it by themselves")
	}
	p.addMembers(t, a.UserIDs, "")
	return nil
}

func (a *UseQuota) plan(p *planner) error {
	return p.direct(a.Quota, a.Subject, a.Amount)
}

// The first byte of a canonical form. They are stored: never change one.
const (
	canonUseFeature byte = iota + 1
	canonRegisterUsers
	canonLogin
	canonAddFriend
	canonCreateGroup
	canonJoinGroup
	canonAddGroupMembers
	canonUseQuota
	canonRemoveFriend
	canonLeaveGroup
	canonRemoveGroupMembers
	canonDissolveGroup
	canonDeleteUsers
	canonReturnQuota
	canonSetUsage
)

func (a *UseFeature) canonical(b []byte) []byte {
	return appendString(appendString(appendString(append(b, canonUseFeature), a.Feature), a.GroupType), a.GroupID)
}

func (a *RegisterUsers) canonical(b []byte) []byte {
	return appendSet(append(b, canonRegisterUsers), a.UserIDs)
}

func (a *Login) canonical(b []byte) []byte {
	return appendString(append(b, canonLogin), a.UserID)
}

func (a *AddFriend) canonical(b []byte) []byte {
	return appendBool(appendString(appendString(append(b, canonAddFriend), a.UserID), a.FriendID), a.OneWay)
}

func (a *CreateGroup) canonical(b []byte) []byte {
	b = appendString(appendString(append(b, canonCreateGroup), a.GroupID), a.GroupType)
	// The owner is a member, whether the list says so or not.
	others := a.MemberIDs
	if slices.Contains(others, a.OwnerID) {
		others = slices.DeleteFunc(slices.Clone(others), func(id string) bool { return id == a.OwnerID })
	}
	return appendSet(appendString(b, a.OwnerID), others)
}

func (a *JoinGroup) canonical(b []byte) []byte {
	return appendString(appendString(appendString(append(b, canonJoinGroup), a.GroupID), a.GroupType), a.UserID)
}

func (a *AddGroupMembers) canonical(b []byte) []byte {
	return appendSet(appendString(appendString(append(b, canonAddGroupMembers), a.GroupID), a.GroupType), a.UserIDs)
}

func (a *UseQuota) canonical(b []byte) []byte {
	b = appendString(appendString(append(b, canonUseQuota), a.Quota), a.Subject)
	return binary.AppendVarint(b, a.Amount)
}
