package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// target is what a store's URL says.
type target struct {
	cluster  bool
	master   string // of Sentinel
	addrs    []string
	user     string
	password string
	db       int
	tls      *tls.Config
	prefix   string
	pool     int
	timeout  time.Duration
	skew     time.Duration // how far the clocks may be apart; zero: not compared

	wait        int           // for how many replicas; zero: for none
	waitTimeout time.Duration // and for how long
}

// Defaults of a URL's options.
const (
	defaultPrefix  = "imq"
	defaultPool    = 32
	defaultTimeout = time.Second
	dialTimeout    = 500 * time.Millisecond
	// An app's clock never runs backwards: one sidecar whose clock is a day
	// ahead would take all of them to tomorrow's windows.
	defaultSkew = 5 * time.Second
	// A replica is a round trip away from its primary.
	defaultWaitTimeout = 100 * time.Millisecond
)

// maxWait is more replicas than any primary has.
const maxWait = 16

// parseURL reads
//
//	redis://[USER:PASSWORD@]HOST:PORT[/DB]     rediss:// for TLS
//	redis+sentinel://H1,H2,H3/NAME[?db=DB]     rediss+sentinel:// for TLS
//	redis+cluster://H1,H2                      rediss+cluster:// for TLS
//	redis+unix://[USER:PASSWORD@]/PATH[?db=DB] a Unix socket of this machine
//
// with the options prefix, pool_size, timeout, max_clock_skew, wait and
// wait_timeout. Its errors never hold the password.
func parseURL(text string) (*target, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	t := &target{prefix: defaultPrefix, pool: defaultPool, timeout: defaultTimeout, skew: defaultSkew, waitTimeout: defaultWaitTimeout}
	switch base {
	case "redis":
	case "rediss":
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, errScheme
	}
	// The hosts are a list, which url.Parse does not allow: it is cut out.
	hosts, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		hosts, tail = rest[:i], rest[i:]
	}
	if strings.Contains(tail, "@") { // or its second half would be told as a wrong path
		return nil, errors.New("an @ stands after the hosts: write / as %2F, ? as %3F in a password, @ as %40 elsewhere")
	}
	hosts, err := t.readUser(hosts)
	if err != nil {
		return nil, err
	}
	if err := t.readHosts(hosts, kind); err != nil {
		return nil, err
	}
	u, err := url.Parse(tail)
	if err != nil || u.Fragment != "" {
		return nil, errTail
	}
	if err := t.readPath(u.Path, kind); err != nil {
		return nil, err
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errTail
	}
	if err := t.readOptions(given); err != nil {
		return nil, err
	}
	return t, t.checkWait(given.Has("wait_timeout"))
}

// checkWait holds the time for replicas against that for the whole reply.
func (t *target) checkWait(isGiven bool) error {
	switch {
	case t.waitTimeout < t.timeout:
	case isGiven:
		return fmt.Errorf("option wait_timeout: %v must be less than the timeout, %v", t.waitTimeout, t.timeout)
	default:
		t.waitTimeout = t.timeout / 2
	}
	if isGiven && t.wait == 0 {
		return errors.New("option wait_timeout: nothing is waited for without the option wait")
	}
	return nil
}

var (
	errScheme = errors.New("a store's URL begins with redis://, rediss://, redis+sentinel://, redis+cluster:// or redis+unix://")
	errTail   = errors.New("what follows the hosts is not a path and options")
)

// readUser cuts the user and password off the hosts.
func (t *target) readUser(hosts string) (string, error) {
	i := strings.LastIndex(hosts, "@")
	if i < 0 {
		return hosts, nil
	}
	user, password, _ := strings.Cut(hosts[:i], ":")
	var errUser, errPassword error
	t.user, errUser = url.PathUnescape(user)
	t.password, errPassword = url.PathUnescape(password)
	if errUser != nil || errPassword != nil {
		return "", errors.New("the user and password are not properly escaped")
	}
	return hosts[i+1:], nil
}

func (t *target) readHosts(hosts, kind string) error {
	port := "6379"
	switch {
	case kind == "sentinel":
		port = "26379"
	case kind == unixKind && hosts != "":
		return errors.New("redis+unix:// names a path, not a host: redis+unix:///run/redis.sock")
	case kind == unixKind:
		return nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return errors.New("the URL names no host, or an empty one")
		}
		if name := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"); !strings.Contains(name, ":") || net.ParseIP(name) != nil {
			host = net.JoinHostPort(name, port)
		}
		_, number, err := net.SplitHostPort(host)
		if n, portErr := strconv.ParseUint(number, 10, 16); err != nil || portErr != nil || n == 0 {
			return fmt.Errorf("%q is not a host and port", host)
		}
		t.addrs = append(t.addrs, host)
	}
	if kind == "" && len(t.addrs) > 1 {
		return errors.New("redis:// names one host: use redis+cluster:// or redis+sentinel:// for several")
	}
	return nil
}

// unixKind is what a URL is of whose server listens on a Unix socket.
const unixKind = "unix"

func (t *target) readPath(given, kind string) error {
	path := strings.Trim(given, "/")
	switch kind {
	case "":
		return t.readDB(path)
	case "cluster":
		t.cluster = true
		if path != "" {
			return errors.New("a cluster has no database number")
		}
	case "sentinel":
		if t.master = path; path == "" || strings.Contains(path, "/") {
			return errors.New("redis+sentinel:// needs the name of the primary after the hosts: redis+sentinel://h1,h2/NAME")
		}
	case unixKind:
		switch {
		case path == "":
			return errors.New("redis+unix:// needs the path of the socket: redis+unix:///run/redis.sock")
		case t.tls != nil:
			return errors.New("a Unix socket has no TLS: redis+unix://")
		}
		t.addrs = []string{given} // go-redis takes what begins with a slash for a path
	default:
		return errScheme
	}
	return nil
}

// isUnix reports whether the server listens on a Unix socket.
func (t *target) isUnix() bool { return strings.HasPrefix(t.addrs[0], "/") }

func (t *target) readDB(text string) error {
	if text == "" {
		return nil
	}
	db, err := strconv.Atoi(text)
	if err != nil || db < 0 {
		return fmt.Errorf("%q is not the number of a database", text)
	}
	t.db = db
	return nil
}

func (t *target) readOptions(q url.Values) error {
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if len(q[key]) > 1 {
			return fmt.Errorf("option %s is given twice", key)
		}
		switch {
		case !slices.Contains(options, key):
			return fmt.Errorf("unknown option %q: %s are known", key, strings.Join(options, ", "))
		case key == "db" && t.master == "" && !t.isUnix():
			return errors.New("the option db belongs to redis+sentinel:// and redis+unix://; elsewhere the path is the database")
		}
		if err := t.readOption(key, q[key][0]); err != nil {
			return fmt.Errorf("option %s=%q: %w", key, q[key][0], err)
		}
	}
	return nil
}

var options = []string{"prefix", "pool_size", "timeout", "max_clock_skew", "wait", "wait_timeout", "db"}

func (t *target) readOption(key, value string) (err error) {
	switch key {
	case "prefix":
		t.prefix = value
		if value == "" || strings.ContainsAny(value, "{}: ") {
			err = errors.New("it must not be empty or hold braces, colons or spaces")
		}
	case "pool_size":
		t.pool, err = strconv.Atoi(value)
		if err == nil && (t.pool < 1 || t.pool > 10_000) {
			err = errors.New("it must be from 1 to 10000")
		}
	case "timeout":
		t.timeout, err = time.ParseDuration(value)
		if err == nil && (t.timeout < time.Millisecond || t.timeout > time.Minute) {
			err = errors.New("it must be from 1ms to 1m")
		}
	case "max_clock_skew":
		t.skew, err = time.ParseDuration(value)
		if err == nil && (t.skew < 0 || t.skew > 24*time.Hour || t.skew > 0 && t.skew < time.Second) {
			err = errors.New("it must be from 1s to 24h, or 0 for any")
		}
	case "wait":
		t.wait, err = strconv.Atoi(value)
		if err == nil && (t.wait < 0 || t.wait > maxWait) {
			err = fmt.Errorf("it must be from 0 to %d", maxWait)
		}
	case "wait_timeout":
		t.waitTimeout, err = time.ParseDuration(value)
		if err == nil && t.waitTimeout < time.Millisecond {
			err = errors.New("it must be at least 1ms")
		}
	case "db":
		err = t.readDB(value)
	}
	return err
}

// String names the target without its password.
func (t *target) String() string {
	switch {
	case t.cluster:
		return "the Redis Cluster at " + strings.Join(t.addrs, ", ")
	case t.master != "":
		return fmt.Sprintf("the Redis primary %q of the Sentinels at %s", t.master, strings.Join(t.addrs, ", "))
	}
	return "Redis at " + t.addrs[0]
}

// client makes a client that never sends twice what may have run: what is sent
// again is decided in send.go.
func (t *target) client() redis.UniversalClient {
	o := &redis.UniversalOptions{
		Addrs: slices.Clone(t.addrs), MasterName: t.master, IsClusterMode: t.cluster, DB: t.db,
		Username: t.user, Password: t.password, TLSConfig: t.tls,
		Dialer: t.dial, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: t.timeout, WriteTimeout: t.timeout, PoolTimeout: t.timeout,
		PoolSize: t.pool, DisableIdentity: true, Protocol: 2,
	}
	if !t.cluster {
		return redis.NewUniversalClient(o)
	}
	cluster := o.Cluster()
	cluster.MaxRedirects = 3              // for MOVED and ASK: commands are of the kind once
	cluster.DisableRoutingPolicies = true // every command names its keys
	client := redis.NewClusterClient(cluster)
	client.OnNewNode(func(node *redis.Client) { node.AddHook(afresh{}) })
	return client
}

// afresh has a node's pipeline begin without errors. A command that go-redis
// sends on to another node keeps the MOVED or ASK of the one before, and a
// reply that is lost there does not replace it: what may have run would be
// taken for what was refused, and sent once more.
type afresh struct{}

// DialHook implements redis.Hook.
func (afresh) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (afresh) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (afresh) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			c.SetErr(nil)
		}
		return next(ctx, cmds)
	}
}
