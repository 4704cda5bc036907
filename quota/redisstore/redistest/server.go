// Package redistest starts real Redis servers for tests, on free ports of the
// loopback interface, and stops them when the test is over.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a running redis-server.
type Server struct {
	Addr string

	t    testing.TB
	dir  string
	args []string
	log  *safeBuffer
	cmd  *exec.Cmd
	done chan struct{}

	loading bool // is good enough
}

// startTimeout bounds how long a server may take until it answers.
const startTimeout = time.Minute

// Standalone starts a server without persistence. args are more options of
// redis-server, such as "--maxmemory", "4mb".
func Standalone(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, "redis-server", t.TempDir(), func(port int) []string {
		return append([]string{"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no"}, args...)
	})
}

// Replica starts a server that follows this one, and waits until it does.
func (s *Server) Replica() *Server {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	r := Standalone(s.t, "--replicaof", host+" "+port)
	r.Await("the replica to follow", linkUp(r.Client()))
	primary := s.Client()
	s.Await("the replica to acknowledge", func(ctx context.Context) error {
		if n, err := primary.Wait(ctx, 1, time.Second).Result(); err != nil || n < 1 {
			return errors.Join(errors.New("none does yet"), err)
		}
		return nil
	})
	return r
}

// start runs a server on a free port, on another one when somebody else was
// faster.
func start(t testing.TB, program, dir string, options func(port int) []string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: `make test` installs it, or says how", program)
	}
	for range 10 {
		port := freePort(t)
		s := &Server{
			Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), t: t, dir: dir,
			args: append([]string{path}, options(port)...),
		}
		s.args = append(s.args, "--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no", "--protected-mode", "no")
		if err := s.run(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
		t.Logf("%s on port %d: %s", program, port, s.log)
	}
	t.Fatalf("%s did not start", program)
	return nil
}

func (s *Server) run() error {
	s.log, s.done = &safeBuffer{}, make(chan struct{})
	s.cmd = exec.CommandContext(context.Background(), s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	return s.await("a PING answered", func(ctx context.Context) error {
		err := client.Ping(ctx).Err()
		if redis.HasErrorPrefix(err, "NOAUTH") || s.loading && redis.HasErrorPrefix(err, "LOADING") {
			return nil
		}
		return err
	})
}

// Await polls until check succeeds; the test ends when the server dies first or
// time is up.
func (s *Server) Await(what string, check func(ctx context.Context) error) {
	s.t.Helper()
	if err := s.await(what, check); err != nil {
		s.t.Fatal(err)
	}
}

// await polls until check succeeds, the server dies or time is up.
func (s *Server) await(what string, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return poll(ctx, s.done, what, check)
}

func poll(ctx context.Context, died <-chan struct{}, what string, check func(ctx context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-died:
			return fmt.Errorf("the server stopped while waiting for %s", what)
		case <-ctx.Done():
			return fmt.Errorf("waited too long for %s: %w", what, err)
		case <-tick.C:
		}
	}
}

// Client returns a client of this server alone.
func (s *Server) Client() *redis.Client {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the process as a crash would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Pause stops the process without ending it, as a half-open connection or a
// stalled machine looks; Resume lets it go on.
func (s *Server) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Restart starts a killed server again on its port and directory.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatalf("restart: %v: %s", err, s.log)
	}
}

// RestartWith starts a killed server again with more options, without waiting
// for more than that it listens: it may be loading its data.
func (s *Server) RestartWith(args ...string) {
	s.t.Helper()
	s.args = append(s.args, args...)
	s.loading = true
	s.Restart()
}

// freePort finds a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, text, _ := net.SplitHostPort(l.Addr().String())
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// safeBuffer keeps what a process says while others read it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
