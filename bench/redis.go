package bench

import (
	"context"
	_ "embed" // of the script
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed floor.lua
var floorSource string

var floorScript = redis.NewScript(floorSource)

// Redis is a Redis that something is counted in.
type Redis struct {
	client *redis.Client
	prefix string // of all keys
}

// redisPatience is how long Redis may take to answer.
const redisPatience = 10 * time.Second

// OpenRedis returns the Redis of a URL, redis://… or rediss://…, of which imquota's
// own options are left out. Keys begin with the prefix and a colon.
func OpenRedis(url, prefix string, connections int) (*Redis, error) {
	address, _, _ := strings.Cut(url, "?")
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	o.PoolSize, o.MaxRetries, o.DisableIdentity, o.Protocol = connections, -1, true, 2
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = redisPatience, redisPatience, redisPatience
	return &Redis{client: redis.NewClient(o), prefix: prefix + ":"}, nil
}

// Close closes its connections.
func (r *Redis) Close() error { return r.client.Close() }

// ProcessID returns the id of the server's process.
func (r *Redis) ProcessID(ctx context.Context) (int, error) {
	values, err := r.info(ctx, "server")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(values["process_id"])
}

// RedisUse is what a Redis has used since it was started.
type RedisUse struct {
	CPU   time.Duration
	Reads int64 // of sockets: a command alone, or a pipeline of them, is one
}

// Use asks for it.
func (r *Redis) Use(ctx context.Context) (RedisUse, error) {
	values, err := r.info(ctx, "cpu", "stats")
	if err != nil {
		return RedisUse{}, err
	}
	var seconds float64
	for _, key := range []string{"used_cpu_user", "used_cpu_sys"} {
		s, err := strconv.ParseFloat(values[key], 64)
		if err != nil {
			return RedisUse{}, fmt.Errorf("%s of INFO: %w", key, err)
		}
		seconds += s
	}
	reads, err := strconv.ParseInt(values["total_reads_processed"], 10, 64)
	if err != nil {
		return RedisUse{}, fmt.Errorf("total_reads_processed of INFO: %w", err)
	}
	return RedisUse{CPU: time.Duration(seconds * float64(time.Second)), Reads: reads}, nil
}

func (r *Redis) info(ctx context.Context, sections ...string) (map[string]string, error) {
	text, err := r.client.Info(ctx, sections...).Result()
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[key] = value
		}
	}
	return values, nil
}

// floorBuckets has a counter of a million users lie in a bucket of about 60.
const floorBuckets = 1 << 14

// redisCaller runs the floor's script for what imquota would count.
type redisCaller struct{ *Redis }

// Caller returns a Caller that counts two counters for each check.
func (r *Redis) Caller() Caller { return redisCaller{r} }

// Call implements Caller.
func (r redisCaller) Call(ctx context.Context, c *Call) (Outcome, error) {
	keys, args := make([]string, 0, 2*c.Size()), make([]any, 1, 1+2*c.Size())
	args[0] = floorLimit
	for _, p := range pairsOf(c) {
		keys = append(keys, r.bucket(p.app, p.a), r.bucket(p.app, p.b))
		args = append(args, p.a, p.b)
	}
	return Outcome{}, floorScript.EvalSha(ctx, r.client, keys, args...).Err()
}

// bucket is the key that a counter lies in.
func (r redisCaller) bucket(app uint32, subject string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(subject))
	b := append([]byte(r.prefix), "floor:{"...)
	b = strconv.AppendUint(b, uint64(app), 10)
	b = append(b, '}')
	return string(strconv.AppendUint(b, uint64(h.Sum32()%floorBuckets), 10))
}

// Prepare loads the floor's script.
func (r *Redis) Prepare(ctx context.Context) error {
	return floorScript.Load(ctx, r.client).Err()
}

// scanCount is how many keys are looked at in one step.
const scanCount = 1000

// Remove deletes all keys that begin with the prefix: those that the floor has
// counted in, and those of a store that goes by the same prefix.
func (r *Redis) Remove(ctx context.Context) error {
	keys := r.client.Scan(ctx, 0, r.prefix+"*", scanCount).Iterator()
	found := make([]string, 0, scanCount)
	for keys.Next(ctx) {
		if found = append(found, keys.Val()); len(found) < scanCount {
			continue
		}
		if err := r.client.Unlink(ctx, found...).Err(); err != nil {
			return err
		}
		found = found[:0]
	}
	if err := keys.Err(); err != nil || len(found) == 0 {
		return err
	}
	return r.client.Unlink(ctx, found...).Err()
}
