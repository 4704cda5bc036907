package redisstore

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

func TestURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url string
		want      target
		tls       bool
		text      string
	}{
		{
			"a host", "redis://cache",
			target{addrs: []string{"cache:6379"}},
			false, "Redis at cache:6379",
		},
		{
			"a port, a database and a slash", "redis://cache:7000/3/",
			target{addrs: []string{"cache:7000"}, db: 3},
			false, "Redis at cache:7000",
		},
		{
			"an IPv6 address", "redis://[::1]:7000",
			target{addrs: []string{"[::1]:7000"}},
			false, "Redis at [::1]:7000",
		},
		{
			"an IPv6 address without a port", "redis://[::1]/1",
			target{addrs: []string{"[::1]:6379"}, db: 1},
			false, "Redis at [::1]:6379",
		},
		{
			"a user and a password", "redis://quota:s3cret@cache",
			target{addrs: []string{"cache:6379"}, user: "quota", password: "s3cret"},
			false, "Redis at cache:6379",
		},
		{
			"a password with escaped separators", "rediss://:s%2Fe%3Fc%40ret%25@cache",
			target{addrs: []string{"cache:6379"}, password: "s/e?c@ret%"},
			true, "Redis at cache:6379",
		},
		{
			"a password with a hash sign and an at sign", "redis://:12#s3c@ret@cache",
			target{addrs: []string{"cache:6379"}, password: "12#s3c@ret"},
			false, "Redis at cache:6379",
		},
		{
			"all options", "redis://cache?prefix=other&pool_size=8&timeout=250ms&max_clock_skew=1m&wait=2&wait_timeout=50ms",
			target{
				addrs: []string{"cache:6379"}, prefix: "other", pool: 8, timeout: 250 * time.Millisecond, skew: time.Minute,
				wait: 2, waitTimeout: 50 * time.Millisecond,
			},
			false, "Redis at cache:6379",
		},
		{
			"a timeout that leaves less for replicas", "redis://cache?timeout=80ms&prefix=imq&pool_size=1&max_clock_skew=1s&wait=1",
			target{
				addrs: []string{"cache:6379"}, prefix: "imq", pool: 1, timeout: 80 * time.Millisecond, skew: time.Second,
				wait: 1, waitTimeout: 40 * time.Millisecond,
			},
			false, "Redis at cache:6379",
		},
		{
			"Sentinels", "redis+sentinel://:s3cret@a,b:26380,c/quotas?db=2",
			target{master: "quotas", addrs: []string{"a:26379", "b:26380", "c:26379"}, password: "s3cret", db: 2},
			false,
			`the Redis primary "quotas" of the Sentinels at a:26379, b:26380, c:26379`,
		},
		{
			"Sentinels with TLS", "rediss+sentinel://a/quotas",
			target{master: "quotas", addrs: []string{"a:26379"}},
			true, `the Redis primary "quotas" of the Sentinels at a:26379`,
		},
		{
			"a cluster", "redis+cluster://:s3cret@a,b:7001/",
			target{cluster: true, addrs: []string{"a:6379", "b:7001"}, password: "s3cret"},
			false, "the Redis Cluster at a:6379, b:7001",
		},
		{
			"a cluster with TLS, of one host", "rediss+cluster://a",
			target{cluster: true, addrs: []string{"a:6379"}},
			true, "the Redis Cluster at a:6379",
		},
		{
			"a Unix socket", "redis+unix:///run/redis/redis.sock",
			target{addrs: []string{"/run/redis/redis.sock"}},
			false, "Redis at /run/redis/redis.sock",
		},
		{
			"a Unix socket, a user and a database", "redis+unix://quota:s3cret@/run/a%20b.sock?db=2",
			target{addrs: []string{"/run/a b.sock"}, user: "quota", password: "s3cret", db: 2},
			false, "Redis at /run/a b.sock",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.want.prefix == "" {
				tt.want.prefix, tt.want.pool, tt.want.timeout, tt.want.skew = "imq", 32, time.Second, 5*time.Second
			}
			if tt.want.waitTimeout == 0 {
				tt.want.waitTimeout = 100 * time.Millisecond
			}
			got, err := parseURL(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmp.AllowUnexported(target{}), cmpopts.IgnoreFields(target{}, "tls")); diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
			if (got.tls != nil) != tt.tls {
				t.Errorf("TLS %v, want %v", got.tls != nil, tt.tls)
			}
			if got.String() != tt.text {
				t.Errorf("named %q, want %q", got, tt.text)
			}
			if !IsURL(tt.url) {
				t.Error("the URL is not recognised as this driver's")
			}
		})
	}
}

func TestBrokenURL(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, url, want string }{
		{"no scheme", "s3cret@cache:6379", "begins with redis://"},
		{"another scheme", "http://:s3cret@cache", "begins with redis://"},
		{"a password before the scheme", "s3cret@redis://cache", "begins with redis://"},
		{"another kind", "redis+proxy://:s3cret@cache", "begins with redis://"},
		{"no host", "redis://:s3cret@", "names no host"},
		{"an empty host in a list", "redis+cluster://:s3cret@a,,b", "names no host"},
		{"a list without a kind", "redis://:s3cret@a,b", "names one host"},
		{"a port that is no number", "redis://:s3cret@cache:port", "not a host and port"},
		{"an empty port", "redis://cache:", "not a host and port"},
		{"a port out of range", "redis://cache:70000", "not a host and port"},
		{"a password with a slash", "redis://:top/s3cret@cache", "%2F"},
		{"a password with a question mark", "redis://:top?s3cret@cache", "%3F"},
		{"a password with a broken escape", "redis://:s3cret%zz@cache", "not properly escaped"},
		{"a database that is no number", "redis://:s3cret@cache/one", `"one" is not the number of a database`},
		{"a negative database", "redis://cache/-1", "not the number of a database"},
		{"two databases", "redis://cache/1/2", "not the number of a database"},
		{"a database of a cluster", "redis+cluster://cache/1", "no database number"},
		{"Sentinels without a name", "redis+sentinel://:s3cret@a,b", "needs the name of the primary"},
		{"Sentinels with two names", "redis+sentinel://a/b/c", "needs the name of the primary"},
		{"an unknown option", "redis://:s3cret@cache?pool=3", `unknown option "pool"`},
		{"an option twice", "redis://cache?pool_size=3&pool_size=4", "given twice"},
		{"an option that is not escaped", "redis://cache?prefix=%zz", "not a path and options"},
		{"a fragment", "redis://cache/0#1", "not a path and options"},
		{"a database as an option", "redis://cache?db=1", "belongs to redis+sentinel://"},
		{"a broken database as an option", "redis+sentinel://a/b?db=x", "not the number of a database"},
		{"an empty prefix", "redis://cache?prefix=", "must not be empty"},
		{"a prefix with a hash tag", "redis://cache?prefix={a}", "must not be empty or hold braces"},
		{"a pool of none", "redis://cache?pool_size=0", "from 1 to 10000"},
		{"a pool that is no number", "redis://cache?pool_size=many", "invalid syntax"},
		{"a timeout without a unit", "redis://cache?timeout=5", "missing unit"},
		{"too many replicas", "redis://:s3cret@cache?wait=17", "from 0 to 16"},
		{"a negative number of replicas", "redis://cache?wait=-1", "from 0 to 16"},
		{"replicas that are no number", "redis://cache?wait=all", "invalid syntax"},
		{"no time for replicas", "redis://cache?wait=1&wait_timeout=0s", "at least 1ms"},
		{"all of the time for replicas", "redis://cache?wait=1&wait_timeout=1s", "less than the timeout"},
		{"time for no replicas", "redis://cache?wait_timeout=10ms", "without the option wait"},
		{"a timeout too long", "redis://cache?timeout=2m", "from 1ms to 1m"},
		{"a socket without a path", "redis+unix://", "needs the path of the socket"},
		{"a socket of a host", "redis+unix://:s3cret@cache/run/redis.sock", "names a path, not a host"},
		{"a socket with TLS", "rediss+unix:///run/redis.sock", "has no TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), tt.url, Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %q tells the password", err)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.sock")
	server := redistest.Standalone(t, "--unixsocket", path)
	s := initialized(t, "redis+unix://"+path+"?db=3")
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, addEach("friends", 2, "alice")))
	conn := server.Client().Conn()
	defer func() { _ = conn.Close() }()
	if err := conn.Select(t.Context(), 3).Err(); err != nil {
		t.Fatal(err)
	}
	if conn.Exists(t.Context(), s.headerKey(app.ID)).Val() != 1 {
		t.Error("what was counted over the socket is not in the server's database 3")
	}
	server.Kill()
	wantReason(t, applyOne(t.Context(), s, txnOf(app, addEach("friends", 2, "alice"))).Err, account.StoreUnavailable)
}

func TestIsURL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bolt:data/quota.db", "redistribution", "", "http://redis:6379"} {
		if IsURL(name) {
			t.Errorf("%q is taken for a URL of this driver", name)
		}
	}
}

func TestPasswordIsNeverTold(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, "--requirepass", "right-s3cret")
	for name, url := range map[string]string{
		"a wrong password": "redis://:wrong-s3cret@" + server.Addr,
		"a wrong user":     "redis://somebody:right-s3cret@" + server.Addr,
		"no password":      "redis://" + server.Addr,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, url)
			_, _, initErr := s.Init(t.Context(), false)
			_, appErr := s.App(t.Context(), 1)
			for what, err := range map[string]error{"Ready": s.Ready(t.Context()), "Init": initErr, "App": appErr} {
				wantReason(t, err, "STORE_UNAVAILABLE")
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s tells the password: %v", what, err)
				}
			}
			if strings.Contains(s.String(), "s3cret") {
				t.Errorf("the store's name tells the password: %s", s)
			}
		})
	}
	t.Run("the right password", func(t *testing.T) {
		t.Parallel()
		s := initialized(t, "redis://:right-s3cret@"+server.Addr)
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
