package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// Nothing lists the accounts, as directories list the apps: a walk over those that
// have a record searches the keys of one primary after the other. That costs the
// servers a millisecond for each few thousand keys, and is for backups.

// keysLookedAt is how many keys a primary looks at in one step.
const keysLookedAt = 1000

// accountPlace is where a walk over all accounts goes on: at a cursor that means
// something to one primary alone. When there are others by then, or the slots lie
// elsewhere, the walk begins anew.
type accountPlace struct {
	servers uint64 // which there were, and which slots lay together
	server  int    // of them, in their sequence
	cursor  uint64
}

func (p accountPlace) String() string { return fmt.Sprintf("%x:%d:%d", p.servers, p.server, p.cursor) }

func parseAccountPlace(text string) (p accountPlace, err error) {
	if text == "" {
		return p, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) == 3 {
		var errs [3]error
		p.servers, errs[0] = strconv.ParseUint(parts[0], 16, 64)
		p.server, errs[1] = strconv.Atoi(parts[1])
		p.cursor, errs[2] = strconv.ParseUint(parts[2], 10, 64)
		if cmp.Or(errs[:]...) == nil && p.server >= 0 {
			return p, nil
		}
	}
	return p, &account.InvalidError{Field: "page_token", Description: "is not a token of this service"}
}

// WalkAccounts implements account.Registry.
func (s *Store) WalkAccounts(ctx context.Context, cursor string, limit int) (account.OwnerPage, error) {
	p, err := parseAccountPlace(cursor)
	if err != nil {
		return account.OwnerPage{}, err
	}
	if err := s.admit(ctx); err != nil {
		return account.OwnerPage{}, err
	}
	servers, sum, err := s.primaries(ctx)
	if err != nil {
		return account.OwnerPage{}, s.faultOf(err, false)
	}
	if p.servers != sum {
		p = accountPlace{servers: sum}
	}
	var page account.OwnerPage
	limit = max(1, limit)
	for p.server < len(servers) && len(page.Accounts) < limit {
		if err := ctx.Err(); err != nil {
			return account.OwnerPage{}, gone(err)
		}
		keys, next, err := servers[p.server].Scan(ctx, p.cursor, s.ownerPattern(), int64(min(max(limit, 10), keysLookedAt))).Result()
		if err != nil {
			return account.OwnerPage{}, s.faultOf(err, false)
		}
		for _, key := range keys {
			page.Accounts = append(page.Accounts, s.accountOf(key))
		}
		if p.cursor = next; next == 0 {
			p.server++
		}
	}
	if p.server < len(servers) {
		page.Next = p.String()
	}
	return page, nil
}

// primary is a server that is asked for its own keys.
type primary interface {
	Scan(ctx context.Context, cursor uint64, match string, count int64) *redis.ScanCmd
}

// primaries returns the servers that have keys, in a sequence that is theirs, and
// a number that is another one when they are others, or were started anew.
func (s *Store) primaries(ctx context.Context) ([]primary, uint64, error) {
	sum := fnv.New64a()
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		id, err := runID(ctx, s.client)
		_, _ = fmt.Fprint(sum, id) // never fails
		return []primary{s.client}, sum.Sum64(), err
	}
	shards, err := cluster.ClusterShards(ctx).Result()
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(shards, func(a, b redis.ClusterShard) int { return slices.CompareFunc(a.Slots, b.Slots, bySlot) })
	for _, shard := range shards {
		_, _ = fmt.Fprintln(sum, shard.Slots)
	}
	type server struct {
		id     string
		client *redis.Client
	}
	var mu sync.Mutex
	var found []server
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		id, err := runID(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		found = append(found, server{id, c})
		return err
	})
	slices.SortFunc(found, func(a, b server) int { return cmp.Compare(a.id, b.id) })
	servers := make([]primary, len(found))
	for i, f := range found {
		servers[i] = f.client
		_, _ = fmt.Fprintln(sum, f.id)
	}
	return servers, sum.Sum64(), err
}

func bySlot(a, b redis.SlotRange) int { return cmp.Compare(a.Start, b.Start) }

// runID is what a server is called for as long as it runs.
func runID(ctx context.Context, c redis.Cmdable) (string, error) {
	text, err := c.Info(ctx, "server").Result()
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id), err
		}
	}
	return "", err
}

// ownerPattern matches the keys of records of accounts.
func (s *Store) ownerPattern() string {
	plain := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
	return plain.Replace(s.prefix) + ":{acct:*}:rec"
}

// accountOf returns the account whose record has a key.
func (s *Store) accountOf(key string) string {
	name := strings.TrimPrefix(key, strings.TrimSuffix(s.ownerKey(""), "}:rec"))
	return strings.TrimSuffix(name, "}:rec")
}
