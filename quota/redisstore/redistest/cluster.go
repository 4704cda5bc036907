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

	behind map[string]*Server // address of a proxy -> node
}

const slots = 16384

// Cluster starts a cluster of primaries with replicas each, and waits until
// every node agrees that it is whole.
func Cluster(t testing.TB, primaries, replicas int) *ClusterServers {
	t.Helper()
	c := &ClusterServers{behind: make(map[string]*Server)}
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

// ClusterOfOne starts a cluster of one node that tells its clients to reach it
// through a proxy.
func ClusterOfOne(t testing.TB) (*Server, *Proxy) {
	t.Helper()
	n := start(t, "redis-server", t.TempDir(), func(port int) []string {
		return []string{
			"--port", strconv.Itoa(port), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)),
			"--save", "", "--appendonly", "no",
		}
	})
	proxy := behindProxy(t, n)
	client := n.Client()
	if err := client.ClusterAddSlotsRange(t.Context(), 0, slots-1).Err(); err != nil {
		t.Fatal(err)
	}
	n.Await("the cluster to be whole", func(ctx context.Context) error { return seesWhole(ctx, client) })
	return n, proxy
}

// behindProxy has a node tell clients to reach it through a proxy.
func behindProxy(t testing.TB, n *Server) *Proxy {
	t.Helper()
	proxy := NewProxy(t, n.Addr)
	_, port, _ := net.SplitHostPort(proxy.Addr)
	for _, args := range [][]any{
		{"CONFIG", "SET", "cluster-announce-ip", "127.0.0.1"},
		{"CONFIG", "SET", "cluster-announce-port", port},
	} {
		if err := n.Client().Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	return proxy
}

// Behind puts a node behind a proxy and waits until the others tell clients so.
func (c *ClusterServers) Behind(t testing.TB, node int) *Proxy {
	t.Helper()
	proxy := behindProxy(t, c.Nodes[node])
	for _, n := range c.Nodes {
		n.Await("the node to be known by its proxy", func(ctx context.Context) error {
			known, err := n.Client().ClusterNodes(ctx).Result()
			if err == nil && !strings.Contains(known, proxy.Addr+"@") {
				err = errors.New("not yet")
			}
			return err
		})
	}
	c.behind[proxy.Addr] = c.Nodes[node]
	return proxy
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

// Owner returns the primary that serves a key's slot, and the slot.
func (c *ClusterServers) Owner(t testing.TB, key string) (*Server, int) {
	t.Helper()
	client := c.Nodes[0].Client()
	slot, err := client.ClusterKeySlot(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	known, err := client.ClusterNodes(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(known) { // id addr@bus flags primary ping pong epoch link slots...
		fields := strings.Fields(line)
		for _, text := range fields[min(8, len(fields)):] {
			first, last, isRange := strings.Cut(text, "-")
			if !isRange {
				last = first
			}
			from, fromErr := strconv.ParseInt(first, 10, 64)
			to, toErr := strconv.ParseInt(last, 10, 64)
			if fromErr == nil && toErr == nil && from <= slot && slot <= to {
				addr, _, _ := strings.Cut(fields[1], "@")
				return c.node(addr), int(slot)
			}
		}
	}
	t.Fatalf("nobody serves slot %d", slot)
	return nil, 0
}

func (c *ClusterServers) node(addr string) *Server {
	for _, n := range c.Nodes {
		if n.Addr == addr {
			return n
		}
	}
	return c.behind[addr]
}

// Primaries returns the nodes that are primaries now.
func (c *ClusterServers) Primaries(t testing.TB) []*Server {
	t.Helper()
	var primaries []*Server
	for _, n := range c.Nodes {
		if isPrimary(t.Context(), n.Client()) == nil {
			primaries = append(primaries, n)
		}
	}
	return primaries
}

// ReplicaOf returns the first replica of a primary.
func (c *ClusterServers) ReplicaOf(t testing.TB, primary *Server) *Server {
	t.Helper()
	_, port, _ := net.SplitHostPort(primary.Addr)
	for _, n := range c.Nodes {
		if n == primary {
			continue
		}
		info, err := n.Client().Info(t.Context(), "replication").Result()
		if err == nil && strings.Contains(info, "master_port:"+port+"\r\n") {
			return n
		}
	}
	t.Fatal("the primary has no replica")
	return nil
}

// AwaitPrimary waits until a node is a primary and sees the cluster whole.
func (c *ClusterServers) AwaitPrimary(t testing.TB, n *Server) {
	t.Helper()
	client := n.Client()
	err := n.await("the replica's promotion", func(ctx context.Context) error {
		if err := isPrimary(ctx, client); err != nil {
			return err
		}
		return seesWhole(ctx, client)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// SlotMove is a slot on its way from one primary to another, in the steps of
// redis-cli --cluster reshard.
type SlotMove struct {
	From, To *Server
	Slot     int

	t            testing.TB
	all          []*Server
	from, to     *redis.Client
	fromID, toID string
}

// BeginMove opens the move of a slot.
func (c *ClusterServers) BeginMove(t testing.TB, slot int, from, to *Server) *SlotMove {
	t.Helper()
	m := &SlotMove{From: from, To: to, Slot: slot, t: t, all: c.Primaries(t), from: from.Client(), to: to.Client()}
	m.fromID, m.toID = nodeID(t, m.from), nodeID(t, m.to)
	m.do(m.to, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.fromID)
	m.do(m.from, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.toID)
	return m
}

func nodeID(t testing.TB, c *redis.Client) string {
	t.Helper()
	id, err := c.Do(t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (m *SlotMove) do(c *redis.Client, args ...any) {
	m.t.Helper()
	if err := c.Do(m.t.Context(), args...).Err(); err != nil {
		m.t.Fatal(args, err)
	}
}

// MoveKeys moves at most n keys and returns how many there were.
func (m *SlotMove) MoveKeys(n int) int {
	m.t.Helper()
	keys, err := m.from.ClusterGetKeysInSlot(m.t.Context(), m.Slot, n).Result()
	if err != nil {
		m.t.Fatal(err)
	}
	if len(keys) == 0 {
		return 0
	}
	host, port, _ := net.SplitHostPort(m.To.Addr)
	args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
	for _, key := range keys {
		args = append(args, key)
	}
	m.do(m.from, args...)
	return len(keys)
}

// Finish moves what is left and makes the slot its new primary's.
func (m *SlotMove) Finish() {
	m.t.Helper()
	for m.MoveKeys(100) > 0 {
	}
	m.do(m.to, "CLUSTER", "SETSLOT", m.Slot, "NODE", m.toID)
	m.do(m.from, "CLUSTER", "SETSLOT", m.Slot, "NODE", m.toID)
	for _, n := range m.all {
		if n != m.From && n != m.To {
			m.do(n.Client(), "CLUSTER", "SETSLOT", m.Slot, "NODE", m.toID)
		}
	}
}

func seesWhole(ctx context.Context, client *redis.Client) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_assigned:16384") {
		return errors.New("a node does not see the cluster whole")
	}
	return nil
}

// whole reports whether every node sees all slots served and every replica
// follows its primary.
func whole(ctx context.Context, clients []*redis.Client, primaries int) error {
	for i, client := range clients {
		if err := seesWhole(ctx, client); err != nil {
			return err
		}
		if i < primaries {
			continue
		}
		if err := linkUp(client)(ctx); err != nil {
			return err
		}
	}
	return nil
}
