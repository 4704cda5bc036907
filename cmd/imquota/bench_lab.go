package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imquota/imquota/bench"
)

// lab is a sidecar, its store, and echoes beside it, all of which go when it is
// closed.
type lab struct {
	dir     string
	prefix  string // of all keys in a Redis
	program string // imquota itself
	closers []func()

	redis *bench.Redis // what the sidecar counts in; nil: no Redis
}

// labPrefix begins the names of all that a run leaves behind until it ends.
const labPrefix = "imquota-bench-"

// openLab makes a place for what a run leaves behind until it ends.
func openLab(parent string) (*lab, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, labPrefix)
	if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	l := &lab{dir: dir, program: program, prefix: labPrefix + strings.ToLower(rand.Text()[:12])}
	l.closers = append(l.closers, func() { _ = os.RemoveAll(dir) })
	return l, nil
}

// close stops and removes everything, the newest first.
func (l *lab) close() {
	for len(l.closers) > 0 {
		last := l.closers[len(l.closers)-1]
		l.closers = l.closers[:len(l.closers)-1]
		last()
	}
}

// start starts a process that goes with the lab.
func (l *lab) start(ctx context.Context, name, path string, args []string, heard func(line string) bool) (*child, error) {
	c, err := startChild(ctx, name, path, args, heard)
	if err == nil {
		l.closers = append(l.closers, c.stop)
	}
	return c, err
}

// mostRedisConnections is how many callers of the floor have one of their own.
const mostRedisConnections = 512

// redisAttempts bounds how often a port is tried that somebody else may take first.
const redisAttempts = 10

// ownRedis starts a Redis that keeps nothing, and returns its URL.
func (l *lab) ownRedis(ctx context.Context) (url string, err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", errors.New("--store redis: redis-server is not installed; install it, name a running one with --store redis://HOST:PORT, or take --store bolt")
	}
	for range redisAttempts {
		var port int
		if port, err = freePort(ctx); err != nil {
			return "", err
		}
		args := []string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", l.dir,
			"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
		}
		var server *child
		server, err = l.start(ctx, "redis-server", path, args, func(line string) bool {
			return strings.Contains(line, "Ready to accept connections")
		})
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		url = "redis://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = l.openRedis(url); err != nil {
			return "", err
		}
		var id int
		if id, err = l.redis.ProcessID(ctx); err == nil && id == server.cmd.Process.Pid {
			return url, nil
		}
	}
	return "", fmt.Errorf("--store redis: %w", err)
}

// openRedis connects to the Redis of a URL, with a connection for each caller.
func (l *lab) openRedis(url string) error {
	opened, err := bench.OpenRedis(url, l.prefix, mostRedisConnections)
	if err != nil {
		return err
	}
	l.redis = opened
	l.closers = append(l.closers, func() { _ = opened.Close() })
	return nil
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is no address of TCP", l.Addr())
	}
	return address.Port, nil
}

// addresses are where a server of the lab listens.
type addresses struct{ tcp, unix, http string }

// over returns the address of a kind.
func (a *addresses) over(kind string) string {
	if kind == overUnix {
		return a.unix
	}
	return a.tcp
}

// The ways to reach a server on this machine.
const (
	overTCP  = "tcp"
	overUnix = "unix"
)

// note takes an address that a server says it listens on.
func (a *addresses) note(address, protocol string) {
	switch {
	case protocol == "HTTP":
		a.http = address
	case strings.HasPrefix(address, "unix:"):
		a.unix = address
	default:
		a.tcp = address
	}
}

// socket is a Unix socket of a name in the lab.
func (l *lab) socket(name string) string { return "unix:" + filepath.Join(l.dir, name) }

// sidecar starts imquota on a store.
func (l *lab) sidecar(ctx context.Context, name, store string) (*addresses, error) {
	where := &addresses{}
	args := []string{
		"serve", "--store", store, "--listen", "127.0.0.1:0", "--listen", l.socket(name), "--http-listen", "127.0.0.1:0",
		"--log-format", "json",
	}
	_, err := l.start(ctx, "imquota serve", l.program, args, func(line string) bool {
		var said struct {
			Msg      string `json:"msg"`
			Protocol string `json:"protocol"`
		}
		if json.Unmarshal([]byte(line), &said) != nil {
			return false
		}
		if address, ok := strings.CutPrefix(said.Msg, listeningOn); ok {
			where.note(address, said.Protocol)
		}
		return said.Msg == "ready"
	})
	return where, err
}

// echo starts an echo.
func (l *lab) echo(ctx context.Context, name string, args ...string) (*addresses, error) {
	where := &addresses{}
	args = append([]string{"bench-echo", "--listen", "127.0.0.1:0", "--listen", l.socket(name)}, args...)
	_, err := l.start(ctx, "the echo", l.program, args, func(line string) bool {
		if address, ok := strings.CutPrefix(line, listeningOn); ok {
			where.note(address, "")
		}
		return line == echoIsReady
	})
	return where, err
}

// initStore marks a Redis as imquota's under the lab's own prefix, and returns the
// URL of that. Its keys go with the lab.
func (l *lab) initStore(ctx context.Context, url string) (string, error) {
	mark := "?"
	if strings.Contains(url, "?") {
		mark = "&"
	}
	flag := storeFlag{Store: url + mark + "prefix=" + l.prefix}
	opened, _, err := flag.open(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = opened.Close() }()
	if _, _, err := initialize(ctx, opened, false); err != nil {
		return "", err
	}
	l.closers = append(l.closers, func() { _ = l.redis.Remove(context.WithoutCancel(ctx)) })
	return flag.Store, nil
}
