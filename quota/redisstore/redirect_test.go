package redisstore

import (
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestLostReplyAfterRedirect: a pipeline whose commands another node has by now
// is sent there, and a reply that is lost there is an unknown outcome, counted
// once. It must not be taken for the first node's refusal.
func TestLostReplyAfterRedirect(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(t *testing.T, c *redistest.ClusterServers, slot int){
		"moved": func(t *testing.T, c *redistest.ClusterServers, slot int) {
			from, to := *c.Nodes[0], *c.Nodes[1]
			c.BeginMove(t, slot, &from, &to).Finish()
		},
		"still moving": func(t *testing.T, c *redistest.ClusterServers, slot int) {
			m := c.BeginMove(t, slot, c.Nodes[0], c.Nodes[1])
			for m.MoveKeys(100) > 0 {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := redistest.Cluster(t, 2, 0)
			proxy := c.Behind(t, 1)
			s := initialized(t, "redis+cluster://"+c.Nodes[0].Addr)
			var apps []*account.App
			for id := uint32(1); len(apps) < 2; id++ {
				if owner, _ := c.Owner(t, s.headerKey(id)); owner == c.Nodes[0] {
					apps = append(apps, newApp(t, s, id))
				}
			}
			txns := []quota.Txn{txnOf(apps[0], add("users", 1)), txnOf(apps[1], add("users", 1))}
			mustApply(t, s, txns...)
			for _, app := range apps {
				_, slot := c.Owner(t, s.headerKey(app.ID))
				move(t, c, slot)
			}
			elsewhere := newAppOn(t, c, s, c.Nodes[1]) // so that the node knows the script
			mustApply(t, s, txnOf(elsewhere, add("users", 1)))
			proxy.DropReplyTo("fcall")
			for i, o := range s.Apply(t.Context(), txns) {
				wantReason(t, o.Err, account.OutcomeUnknown)
				if got := used(t, s, apps[i], "users"); got != 2 {
					t.Errorf("app %d: counted %d, want 2", i, got)
				}
			}
		})
	}
}

// newAppOn creates an app whose keys lie on a node.
func newAppOn(t *testing.T, c *redistest.ClusterServers, s *Store, node *redistest.Server) *account.App {
	t.Helper()
	for id := uint32(1000); ; id++ {
		if owner, _ := c.Owner(t, s.headerKey(id)); owner == node {
			return newApp(t, s, id)
		}
	}
}
