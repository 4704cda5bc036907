package storetest

import (
	"fmt"
	"strconv"

	"github.com/imquota/imquota/quota"
)

// Workload is a stream of requests of one kind, to measure a store by.
type Workload struct {
	Name string
	// Request is the n-th, of an app with so many users. Those of a number are
	// the same each time.
	Request func(app uint32, n, users int) *quota.Request
}

// Workloads are what stores are measured by: what a gateway and a group service
// ask, with a request id where a retry would count twice without one.
var Workloads = []Workload{
	{"add_friend", func(app uint32, n, users int) *quota.Request {
		return &quota.Request{App: app, ID: requestID(n), Action: &quota.AddFriend{UserID: UserID(spread(n, users)), FriendID: UserID(spread(n+1, users))}}
	}},
	{"login_first", func(app uint32, n, _ int) *quota.Request {
		return &quota.Request{App: app, Action: &quota.Login{UserID: "new" + UserID(n)}}
	}},
	{"login_again", func(app uint32, n, users int) *quota.Request {
		return &quota.Request{App: app, Action: &quota.Login{UserID: UserID(spread(n, users))}}
	}},
	{"create_group", func(app uint32, n, users int) *quota.Request {
		return &quota.Request{App: app, ID: requestID(n), Action: &quota.CreateGroup{
			GroupID: fmt.Sprintf("group%015d", n), GroupType: "work", OwnerID: UserID(spread(n, users)),
		}}
	}},
}

// UserID is the id of a user of a workload, of 20 bytes.
func UserID(n int) string { return fmt.Sprintf("user%016d", n) }

func requestID(n int) string { return "request-" + strconv.Itoa(n) }

// spread visits all users before it comes back to one, no two of neighbouring ids
// in a row.
func spread(n, users int) int { return int(int64(n) * 7919 % int64(users)) }
