package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestCluster runs in order on one cluster, ending with the loss of a primary.
func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, 1)
	s := initialized(t, "redis+cluster://"+cluster.Addrs[4]) // one host is enough, a replica too
	apps := make([]*account.App, 64)
	for i := range apps {
		apps[i] = newApp(t, s, uint32(1_400_000_000+i))
	}
	all := func(name string) (txns []quota.Txn) {
		for _, app := range apps {
			txns = append(txns, txnOf(app, add(name, 1)))
		}
		return txns
	}
	t.Run("apps of all nodes are charged together", func(t *testing.T) {
		owners := make(map[string]int)
		for _, app := range apps {
			owner, _ := cluster.Owner(t, s.headerKey(app.ID))
			owners[owner.Addr]++
		}
		if len(owners) != 3 {
			t.Fatalf("the apps lie on %d nodes, want all 3", len(owners))
		}
		mustApply(t, s, all("users")...)
		for i, o := range mustApply(t, s, all("users")...) {
			if got := o.Charges[0].Used[0]; got != 1 {
				t.Errorf("users of app %d: %d, want 1", i, got)
			}
		}
	})
	t.Run("each node has flights of its own", func(t *testing.T) {
		queues := make(map[string]*queue)
		for _, app := range apps {
			owner, _ := cluster.Owner(t, s.headerKey(app.ID))
			q := s.queueOf(t.Context(), app.ID)
			if known := queues[owner.Addr]; known != nil && known != q {
				t.Errorf("app %d waits apart from others of its node", app.ID)
			}
			queues[owner.Addr] = q
		}
		distinct := make(map[*queue]bool)
		for _, q := range queues {
			distinct[q] = true
		}
		if len(distinct) != 3 || distinct[s.queue] {
			t.Errorf("%d queues for 3 nodes", len(distinct))
		}
	})
	for way, run := range forms {
		t.Run("nodes without the script are given it, "+way, func(t *testing.T) {
			run(s)
			defer forms["as a function"](s)
			for _, n := range cluster.Primaries(t) {
				flush(t, n.Client())
			}
			mustApply(t, s, all(way)...)
			mustApply(t, s, txnOf(apps[0], add(way, 1)))
			if got := used(t, s, apps[0], way); got != 2 {
				t.Errorf("counted %d, want 2", got)
			}
		})
	}
	t.Run("apps are listed from all nodes", func(t *testing.T) {
		listed, err := s.Apps(t.Context(), "acme", apps[9].ID, 5, false)
		if err != nil || len(listed) != 5 || listed[0].ID != apps[10].ID {
			t.Errorf("listed %d apps, %v", len(listed), err)
		}
	})
	t.Run("a slot moves under load", func(t *testing.T) { testSlotMove(t, cluster, s, apps) })
	t.Run("a slot moved while nobody looked", func(t *testing.T) {
		from, slot := cluster.Owner(t, s.headerKey(apps[2].ID))
		cluster.BeginMove(t, slot, from, otherThan(cluster.Primaries(t), from)).Finish()
		mustApply(t, s, txnOf(apps[2], add("moved", 1)), txnOf(apps[3], add("moved", 1)))
		if got := used(t, s, apps[2], "moved"); got != 1 {
			t.Errorf("counted %d, want 1", got)
		}
	})
	t.Run("a primary dies", func(t *testing.T) {
		mustApply(t, s, all("lost")...)
		primary, _ := cluster.Owner(t, s.headerKey(apps[5].ID))
		replica := cluster.ReplicaOf(t, primary)
		primary.Client().Wait(t.Context(), 1, time.Second)
		primary.Kill()
		cluster.AwaitPrimary(t, replica)
		eventually(t, 5*time.Second, "the store to answer", func() error {
			return applyOne(t.Context(), s, txnOf(apps[5], add("lost", 1))).Err
		})
		if got := used(t, s, apps[5], "lost"); got != 2 {
			t.Errorf("counted %d, want 2", got)
		}
		eventually(t, 5*time.Second, "the probe to find the store sound", func() error { return s.Ready(t.Context()) })
		mustApply(t, s, all("lost")...)
	})
}

func otherThan(nodes []*redistest.Server, not *redistest.Server) *redistest.Server {
	for _, n := range nodes {
		if n != not {
			return n
		}
	}
	return nil
}

// testSlotMove moves the slot of an app key by key while the app is charged,
// and compares what was counted with what was acknowledged.
func testSlotMove(t *testing.T, cluster *redistest.ClusterServers, s *Store, apps []*account.App) {
	t.Helper()
	app := apps[1]
	for i := range 200 { // keys to move
		mustApply(t, s, txnOf(app, addEach("friends", 1, fmt.Sprint("user", i))))
	}
	from, slot := cluster.Owner(t, s.headerKey(app.ID))
	var acknowledged, moving atomic.Int64
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	var load sync.WaitGroup
	for worker := range 3 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				txn := txnOf(app, add("moving", 1), addEach("friends", 1, fmt.Sprint("user", worker, i%200)))
				txn.Request = requestOf(fmt.Sprint(worker, " ", i))
				o := applyOne(context.WithoutCancel(ctx), s, txn)
				switch {
				case o.Applied:
					acknowledged.Add(1)
				case reasonOf(o.Err) == account.SlotMoving:
					moving.Add(1)
				default:
					t.Errorf("answered %+v", o)
					return
				}
			}
		})
	}
	eventually(t, 5*time.Second, "some load", func() error { return atLeast(&acknowledged, 50) })
	move := cluster.BeginMove(t, slot, from, otherThan(cluster.Primaries(t), from))
	for move.MoveKeys(10) > 0 {
		// A reader of one key is sent to where the key is.
		if got, err := s.App(t.Context(), app.ID); err != nil || got.ID != app.ID {
			t.Errorf("the app's record: %v", err)
		}
	}
	eventually(t, 5*time.Second, "a refusal", func() error { return atLeast(&moving, 1) })
	move.Finish()
	after := acknowledged.Load()
	eventually(t, 5*time.Second, "load after the move", func() error { return atLeast(&acknowledged, after+50) })
	cancel()
	load.Wait()
	if got := used(t, s, app, "moving"); got != acknowledged.Load() {
		t.Errorf("counted %d, acknowledged %d", got, acknowledged.Load())
	}
	t.Logf("%d acknowledged, %d refused while the slot moved", acknowledged.Load(), moving.Load())
}

func atLeast(n *atomic.Int64, want int64) error {
	if got := n.Load(); got < want {
		return fmt.Errorf("%d of %d", got, want)
	}
	return nil
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	servers := redistest.Sentinel(t)
	s := initialized(t, "redis+sentinel://"+servers.Addrs[0]+","+servers.Addrs[1]+"/"+servers.MasterName)
	app := newApp(t, s, 1)
	count := func(want int64) {
		t.Helper()
		eventually(t, 5*time.Second, "the store to answer", func() error {
			return applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err
		})
		if got := used(t, s, app, "users"); got != want {
			t.Errorf("users %d, want %d", got, want)
		}
	}
	count(1)
	servers.Primary.Client().Wait(t.Context(), 1, time.Second)
	servers.FailOver(t)
	count(2)
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
