package redistest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
	s.Replica = Standalone(t, "--replicaof", host+" "+port)
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
		client := n.Client()
		err := n.await("the Sentinels to agree", func(ctx context.Context) error {
			reply, err := client.Do(ctx, "SENTINEL", "MASTER", s.MasterName).Slice()
			if err != nil {
				return err
			}
			facts := make(map[string]string)
			for i := 0; i+1 < len(reply); i += 2 {
				facts[reply[i].(string)] = reply[i+1].(string)
			}
			if facts["num-other-sentinels"] != "2" || facts["num-slaves"] != "1" || strings.Contains(facts["flags"], "down") {
				return errors.New("a Sentinel does not know all others yet")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}
