package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
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
}

// Defaults of a URL's options.
const (
	defaultPrefix  = "imq"
	defaultPool    = 32
	defaultTimeout = time.Second
	dialTimeout    = 500 * time.Millisecond
)

// parseURL reads
//
//	redis://[USER:PASSWORD@]HOST:PORT[/DB]     rediss:// for TLS
//	redis+sentinel://H1,H2,H3/NAME[?db=DB]     rediss+sentinel:// for TLS
//	redis+cluster://H1,H2                      rediss+cluster:// for TLS
//
// with the options prefix, pool_size and timeout. Its errors never hold the
// password.
func parseURL(text string) (*target, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("a store's URL begins with redis://, rediss://, redis+sentinel:// or redis+cluster://")
	}
	t := &target{prefix: defaultPrefix, pool: defaultPool, timeout: defaultTimeout}
	base, kind, _ := strings.Cut(scheme, "+")
	if base == "rediss" {
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	} else if base != "redis" {
		return nil, fmt.Errorf("unknown scheme %q: redis, rediss, redis+sentinel and redis+cluster are known", scheme)
	}
	// The hosts are a list, which url.Parse does not allow: it is cut out.
	hosts, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		hosts, tail = rest[:i], rest[i:]
	}
	if i := strings.LastIndex(hosts, "@"); i >= 0 {
		user, err := url.Parse("redis://" + hosts[:i] + "@host")
		if err != nil {
			return nil, errors.New("the user and password are not properly escaped")
		}
		t.user = user.User.Username()
		t.password, _ = user.User.Password()
		hosts = hosts[i+1:]
	}
	u, err := url.Parse(tail)
	if err != nil {
		return nil, errors.New("what follows the hosts is not a path and options")
	}
	if err := t.readHosts(hosts, kind); err != nil {
		return nil, err
	}
	if err := t.readPath(strings.Trim(u.Path, "/"), kind); err != nil {
		return nil, err
	}
	return t, t.readOptions(u.Query())
}

func (t *target) readHosts(hosts, kind string) error {
	port := "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return errors.New("the URL names no host, or an empty one")
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		t.addrs = append(t.addrs, host)
	}
	if kind == "" && len(t.addrs) > 1 {
		return errors.New("redis:// names one host: use redis+cluster:// or redis+sentinel:// for several")
	}
	return nil
}

func (t *target) readPath(path, kind string) error {
	switch kind {
	case "":
		return t.readDB(path)
	case "cluster":
		t.cluster = true
		if path != "" {
			return errors.New("a cluster has no database number")
		}
	case "sentinel":
		if t.master = path; path == "" {
			return errors.New("redis+sentinel:// needs the name of the primary after the hosts: redis+sentinel://h1,h2/NAME")
		}
	default:
		return fmt.Errorf("unknown kind %q of Redis: sentinel and cluster are known", kind)
	}
	return nil
}

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
	for key, values := range q {
		value := values[len(values)-1]
		var err error
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
		case "db":
			if t.master == "" {
				return errors.New("the option db belongs to redis+sentinel://; elsewhere the path is the database")
			}
			err = t.readDB(value)
		default:
			return fmt.Errorf("unknown option %q: prefix, pool_size, timeout and db are known", key)
		}
		if err != nil {
			return fmt.Errorf("option %s=%q: %w", key, value, err)
		}
	}
	return nil
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
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: dialTimeout, ReadTimeout: t.timeout, WriteTimeout: t.timeout, PoolTimeout: t.timeout,
		PoolSize: t.pool, DisableIdentity: true, Protocol: 2,
	}
	if !t.cluster {
		return redis.NewUniversalClient(o)
	}
	cluster := o.Cluster()
	cluster.MaxRedirects = 3              // for MOVED and ASK: commands are of the kind once
	cluster.DisableRoutingPolicies = true // every command names its keys
	return redis.NewClusterClient(cluster)
}
