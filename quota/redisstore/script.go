package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

//go:embed apply.lua
var applyLua string

//go:embed create.lua
var createLua string

//go:embed update.lua
var updateLua string

//go:embed place.lua
var placeLua string

//go:embed init.lua
var initLua string

// script is a Lua script and the name that Redis knows it by.
type script struct{ source, sha string }

// newScript declares the flags that decide when Redis runs a script at all.
func newScript(flags, body string) script {
	source := "#!lua" + flags + "\n" + body
	sum := sha1.Sum([]byte(source)) // the name that Redis gives scripts
	return script{source, hex.EncodeToString(sum[:])}
}

// A full Redis refuses what grows; what only judges or gives back still runs.
const evenIfFull = " flags=allow-oom"

var (
	applyScript   = newScript("", applyLua)
	releaseScript = newScript(evenIfFull, applyLua)
	createScript  = newScript("", createLua)
	updateScript  = newScript("", updateLua)
	placeScript   = newScript("", placeLua)
)

// run evaluates a script by its name, loading it first where it is unknown.
func (s *Store) run(ctx context.Context, sc script, keys []string, args ...any) (reply any, err error) {
	err = s.send(ctx, true,
		func(ctx context.Context) error {
			reply, err = s.client.EvalSha(ctx, sc.sha, keys, args...).Result()
			return err
		},
		func(ctx context.Context) error { return s.load(ctx, sc, keys[0]) })
	return reply, err
}

// load makes a script known to the node that holds a key.
func (s *Store) load(ctx context.Context, sc script, key string) error {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return err
		}
		return node.ScriptLoad(ctx, sc.source).Err()
	}
	return s.client.ScriptLoad(ctx, sc.source).Err()
}
