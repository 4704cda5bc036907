package client_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/imquota/imquota/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// childAddress makes the test binary another process: a group service that asks
// the sidecar at this address.
const childAddress = "CLIENT_TEST_CHILD"

// reserveUntilKilled creates a group for ever.
func reserveUntilKilled(address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	d, err := client.New(conn, client.Options{ID: "child"}).Reserve(context.Background(), group("g1"), func(context.Context) error {
		_, _ = fmt.Fprintln(os.Stdout, "creating")
		select {}
	})
	return fmt.Errorf("it ended: %v, %w", d, err)
}

// TestProcessKilled between reserving and committing: the whole limit is free
// again when the hold ends, and not before.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childAddress+"="+s.address())
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		if !said.Scan() || said.Text() != "creating" {
			t.Errorf("the child said %q", said.Text())
		}
		_ = child.Process.Kill()
		_ = child.Wait()

		s.clock.Advance(30*time.Second - time.Millisecond)
		s.wantJoined(limit-1, 1)
		if d, err := s.client().Reserve(t.Context(), group("g2"), never); err != nil || d.GetAllowed() {
			t.Errorf("while it is held: %v, %v", d, err)
		}
		s.clock.Advance(time.Millisecond)
		s.wantJoined(limit-1, 0)
		d, err := s.client().Reserve(t.Context(), group("g1"), func(context.Context) error { return nil })
		if err != nil || !d.GetAllowed() {
			t.Errorf("afterwards: %v, %v", d, err)
		}
		s.wantJoined(limit, 0)
	})
}
