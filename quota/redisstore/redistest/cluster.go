package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// ClusterServers is a running cluster.
type ClusterServers struct {
	Nodes []*Server // the primaries first
	Addrs []string
}

const slots = 16384

// Cluster starts a cluster of primaries with replicas each, and waits until
// every node agrees that it is whole.
func Cluster(t testing.TB, primaries, replicas int) *ClusterServers {
	t.Helper()
	c := &ClusterServers{}
	for range primaries * (1 + replicas) {
		n := start(t, "redis-server", t.TempDir(), func(port int) []string {
			return []string{
				"--port", strconv.Itoa(port), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)),
				"--cluster-node-timeout", "1000", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
			}
		})
		c.Nodes, c.Addrs = append(c.Nodes, n), append(c.Addrs, n.Addr)
	}
	if err := c.join(t.Context(), primaries); err != nil {
		t.Fatal(err)
	}
	return c
}

// join introduces the nodes to each other and deals out slots and roles.
func (c *ClusterServers) join(ctx context.Context, primaries int) error {
	clients := make([]*redis.Client, len(c.Nodes))
	for i, n := range c.Nodes {
		clients[i] = n.Client()
	}
	for i, client := range clients {
		if i < primaries {
			from, to := i*slots/primaries, (i+1)*slots/primaries-1
			if err := client.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
				return err
			}
		}
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if i > 0 {
			host, port, _ := net.SplitHostPort(c.Nodes[i].Addr)
			if err := clients[0].Do(ctx, "CLUSTER", "MEET", host, port, c.busPort(i)).Err(); err != nil {
				return err
			}
		}
	}
	first := c.Nodes[0]
	err := first.await("nodes to meet", func(ctx context.Context) error {
		for _, client := range clients {
			known, err := client.ClusterNodes(ctx).Result()
			if err != nil {
				return err
			}
			if n := strings.Count(known, "connected"); strings.Count(known, "\n") != len(clients) || n != len(clients) {
				return fmt.Errorf("%d of %d nodes known", n, len(clients))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := primaries; i < len(clients); i++ {
		id, err := clients[i%primaries].Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		err = first.await("a replica to attach", func(ctx context.Context) error { return clients[i].ClusterReplicate(ctx, id).Err() })
		if err != nil {
			return err
		}
	}
	return first.await("the cluster to be whole", func(ctx context.Context) error { return whole(ctx, clients, primaries) })
}

// busPort is the port that a node was given for the cluster's own traffic.
func (c *ClusterServers) busPort(i int) string {
	args := c.Nodes[i].args
	for k := range args {
		if args[k] == "--cluster-port" {
			return args[k+1]
		}
	}
	return ""
}

// whole reports whether every node sees all slots served and every replica
// follows its primary.
func whole(ctx context.Context, clients []*redis.Client, primaries int) error {
	for i, client := range clients {
		info, err := client.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_assigned:16384") {
			return errors.New("a node does not see the cluster whole")
		}
		if i < primaries {
			continue
		}
		replication, err := client.Info(ctx, "replication").Result()
		if err != nil {
			return err
		}
		if !strings.Contains(replication, "master_link_status:up") {
			return errors.New("a replica does not follow yet")
		}
	}
	return nil
}
