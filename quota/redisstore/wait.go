package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/imquota/imquota/quota"
	"github.com/redis/go-redis/v9"
)

// Redis answers a write before its replicas have it. With the URL's option wait
// a WAIT follows what was written, last in the same pipeline and so on the same
// connection, whose writes it is about. That it is not answered, or by too few
// replicas in time, takes nothing back of what the scripts answered: it is on
// the primary, and may be lost with it.

// waits reports whether what a command writes is waited for: counts, records
// and the steps of creations and deletions; not what is written once more if it
// is lost.
func (c *command) waits() bool {
	return c.writes || c.kept || c.script != nil && c.script.waits
}

// key is the first of the command.
func (c *command) key() string {
	if c.script != nil {
		return c.keys[0]
	}
	key, _ := c.args[1].(string)
	return key
}

// durability is what the command's writes survive.
func (c *command) durability() quota.Durability {
	if c.replicated {
		return quota.DurabilityReplicated
	}
	return quota.DurabilityPrimary
}

// patience is how long replicas are waited for: half of the time at most that the
// caller has, or that of several who has least, for the scripts take some too. Zero:
// not at all.
func (s *Store) patience(ctx context.Context, commands []*command) time.Duration {
	patience := s.target.waitTimeout
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	for _, c := range commands {
		if !c.ends.IsZero() {
			patience = min(patience, time.Until(c.ends)/2)
		}
	}
	return patience.Truncate(time.Millisecond)
}

// dispatchWaiting sends those commands that are waited for, and what else goes
// to the same server; it returns the others, unsent.
func (s *Store) dispatchWaiting(ctx context.Context, commands []*command) []*command {
	patience := s.patience(ctx, commands)
	if patience <= 0 || !slices.ContainsFunc(commands, (*command).waits) { // WAIT takes 0 for ever
		return commands
	}
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		s.sendWaiting(ctx, s.client, commands, patience)
		return nil
	}
	// WAIT has no key that would lead it to a node: the node is looked for here.
	var others []*command
	nodes := make(map[*redis.Client][]*command)
	for _, c := range commands {
		// Only the cluster's client follows an ASK, and tells why there is no node.
		if c.waits() && !c.detours {
			if node, err := cluster.MasterForKey(ctx, c.key()); err == nil {
				nodes[node] = append(nodes[node], c)
				continue
			}
		}
		others = append(others, c)
	}
	var sending sync.WaitGroup
	for node, group := range nodes {
		sending.Go(func() { s.sendWaiting(ctx, node, group, patience) })
	}
	sending.Wait()
	return others
}

// sendWaiting sends commands to one server and waits for its replicas.
func (s *Store) sendWaiting(ctx context.Context, server redis.UniversalClient, commands []*command, patience time.Duration) {
	pipe := server.Pipeline()
	for _, c := range commands {
		_ = pipe.Process(ctx, c.prepare(ctx)) // only queues it
	}
	wait := redis.NewIntCmd(ctx, "wait", s.target.wait, patience.Milliseconds())
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx) // each command has its own error
	acknowledged, err := wait.Result()
	for _, c := range commands {
		c.replicated = err == nil && acknowledged >= int64(s.target.wait)
	}
}
