package proof

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// operator is who works on a server while it is in use.
type operator struct {
	t      testing.TB
	server *redistest.Server
}

// session opens a connection of the operator's, which outlasts what is done to
// those of others.
func (o operator) session() (do func(commands ...[]any), end func()) {
	o.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: o.server.Addr, MaxRetries: -1})
	conn := client.Conn()
	do = func(commands ...[]any) {
		for _, args := range commands {
			if err := conn.Do(context.Background(), args...).Err(); err != nil {
				o.t.Errorf("%v: %v", args, err)
			}
		}
	}
	return do, func() { _, _ = conn.Close(), client.Close() }
}

// between is a fault that begins with some commands and ends with others.
func (o operator) between(begin, end [][]any) fault {
	return func(*rand.Rand) func() {
		do, leave := o.session()
		do(begin...)
		return func() {
			do(end...)
			leave()
		}
	}
}

var killClients = []any{"CLIENT", "KILL", "TYPE", "normal"}

// faults are what a server refuses, and what is done to it.
func (o operator) faults() map[string]fault {
	set := func(name string, value any) []any { return []any{"CONFIG", "SET", name, value} }
	window := func(begin, end []any) fault { return o.between([][]any{begin}, [][]any{end}) }
	forget := [][]any{{"SCRIPT", "FLUSH"}, {"FUNCTION", "FLUSH"}}
	return map[string]fault{
		"scripts forgotten":      o.between(forget, forget),
		"clients killed":         window(killClients, killClients),
		"writes paused":          window([]any{"CLIENT", "PAUSE", 10_000, "WRITE"}, []any{"CLIENT", "UNPAUSE"}),
		"full":                   window(set("maxmemory", 1), set("maxmemory", 0)),
		"too few replicas":       window(set("min-replicas-to-write", 1), set("min-replicas-to-write", 0)),
		"a replica for a while":  window([]any{"REPLICAOF", "127.0.0.1", 1}, []any{"REPLICAOF", "NO", "ONE"}),
		"too many clients":       o.between([][]any{set("maxclients", 1), killClients}, [][]any{set("maxclients", 10_000)}),
		"another password":       o.between([][]any{set("requirepass", "x"), killClients}, [][]any{set("requirepass", "")}),
		"nothing may be run":     window([]any{"ACL", "SETUSER", "default", "-@scripting"}, []any{"ACL", "SETUSER", "default", "+@all"}),
		"no function may be run": window([]any{"ACL", "SETUSER", "default", "-fcall"}, []any{"ACL", "SETUSER", "default", "+@all"}),
		"nothing may be read":    window([]any{"ACL", "SETUSER", "default", "-@read"}, []any{"ACL", "SETUSER", "default", "+@all"}),
		"nothing may be dropped": window([]any{"ACL", "SETUSER", "default", "-hdel", "-unlink", "-pexpire"}, []any{"ACL", "SETUSER", "default", "+@all"}),
		"a script without end":   o.stuck,
		"nothing can be saved":   o.unsaved,
	}
}

// stuck has a script run until it is killed.
func (o operator) stuck(*rand.Rand) func() {
	do, leave := o.session()
	do([]any{"CONFIG", "SET", "busy-reply-threshold", 1})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		client := redis.NewClient(&redis.Options{Addr: o.server.Addr, MaxRetries: -1, ReadTimeout: -1})
		defer func() { _ = client.Close() }()
		_ = client.Do(context.Background(), "EVAL", "while true do end", 0).Err() // it is killed
	}()
	return func() {
		client := o.server.Client()
		eventually(o.t, "the script to be killed", func(ctx context.Context) error {
			select {
			case <-ended:
				return nil
			default:
				_ = client.ScriptKill(ctx).Err() // as long as there is one
				return errors.New("it runs on")
			}
		})
		do([]any{"CONFIG", "SET", "busy-reply-threshold", 5000})
		leave()
	}
}

// unsaved has no snapshot succeed, after which the server refuses writes.
func (o operator) unsaved(*rand.Rand) func() {
	do, leave := o.session()
	dir, err := o.server.Client().ConfigGet(context.Background(), "dir").Result()
	if err != nil {
		o.t.Error(err)
	}
	inTheWay := filepath.Join(dir["dir"], "dump.rdb")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		o.t.Error(err)
	}
	do([]any{"CONFIG", "SET", "save", "3600 1000000"}, []any{"BGSAVE"})
	return func() {
		do([]any{"CONFIG", "SET", "save", ""})
		leave()
		_ = os.Remove(inTheWay)
	}
}
