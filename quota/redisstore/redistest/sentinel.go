package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// SentinelServers is a primary with a replica, watched by three Sentinels.
type SentinelServers struct {
	Primary, Replica *Server
	Sentinels        []*Server
	Addrs            []string // of the Sentinels
	MasterName       string
}

// Sentinel starts them and waits until every Sentinel knows the others and the
// replica.
func Sentinel(t testing.TB) *SentinelServers {
	t.Helper()
	s := &SentinelServers{MasterName: "quotas"}
	s.Primary = Standalone(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(s.Primary.Addr)
	// A Sentinel asks the primary for its replicas when it starts and then
	// every ten seconds: the replica must be there by the first time.
	s.Replica = s.Primary.Replica()
	for range 3 {
		dir := t.TempDir()
		conf := filepath.Join(dir, "sentinel.conf")
		text := "sentinel monitor " + s.MasterName + " " + host + " " + port + " 2\n" +
			"sentinel down-after-milliseconds " + s.MasterName + " 500\n" +
			"sentinel failover-timeout " + s.MasterName + " 3000\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n := start(t, "redis-server", dir, func(port int) []string {
			return []string{conf, "--sentinel", "--port", strconv.Itoa(port)}
		})
		s.Sentinels, s.Addrs = append(s.Sentinels, n), append(s.Addrs, n.Addr)
	}
	for _, n := range s.Sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: n.Addr})
		t.Cleanup(func() { _ = client.Close() })
		err := n.await("the Sentinels to agree", func(ctx context.Context) error {
			facts, err := client.Master(ctx, s.MasterName).Result()
			if err != nil {
				return err
			}
			if facts["num-other-sentinels"] != "2" || facts["num-slaves"] != "1" || strings.Contains(facts["flags"], "down") {
				return fmt.Errorf("a Sentinel knows %s others, %s replicas, the primary as %s",
					facts["num-other-sentinels"], facts["num-slaves"], facts["flags"])
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// FailOver makes the Sentinels promote the replica and waits until it is the
// primary for all of them; Primary and Replica change places.
func (s *SentinelServers) FailOver(t testing.TB) {
	t.Helper()
	first := redis.NewSentinelClient(&redis.Options{Addr: s.Sentinels[0].Addr})
	defer func() { _ = first.Close() }()
	err := s.Sentinels[0].await("the fail-over", func(ctx context.Context) error {
		addr, err := first.GetMasterAddrByName(ctx, s.MasterName).Result()
		if err != nil {
			return err
		}
		if net.JoinHostPort(addr[0], addr[1]) == s.Replica.Addr {
			return nil
		}
		// It is given up while little is known of the replica, and refused
		// while it is under way.
		if err := first.Failover(ctx, s.MasterName).Err(); err != nil {
			return err
		}
		return errors.New("the fail-over has begun")
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Primary, s.Replica = s.Replica, s.Primary
	s.AwaitPrimary(t)
}

// AwaitPrimary waits until all Sentinels name Primary as the primary, and it is.
func (s *SentinelServers) AwaitPrimary(t testing.TB) {
	t.Helper()
	primary := s.Primary.Client()
	for _, n := range s.Sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: n.Addr})
		err := n.await("the fail-over", func(ctx context.Context) error {
			addr, err := client.GetMasterAddrByName(ctx, s.MasterName).Result()
			if err != nil {
				return err
			}
			if net.JoinHostPort(addr[0], addr[1]) != s.Primary.Addr {
				return fmt.Errorf("a Sentinel still names %s", addr)
			}
			return isPrimary(ctx, primary)
		})
		_ = client.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func isPrimary(ctx context.Context, c *redis.Client) error {
	info, err := c.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "role:master") {
		return errors.New("the replica is not promoted yet")
	}
	return nil
}

// linkUp reports whether a replica follows its primary.
func linkUp(c *redis.Client) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		info, err := c.Info(ctx, "replication").Result()
		if err != nil {
			return err
		}
		if !strings.Contains(info, "master_link_status:up") {
			return errors.New("the replica does not follow yet")
		}
		return nil
	}
}
