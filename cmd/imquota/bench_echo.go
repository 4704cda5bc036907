package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/imquota/imquota/bench"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
)

// benchEchoCmd serves the echo that imquota bench compares with.
type benchEchoCmd struct {
	Listen     []string `help:"Address to serve on: HOST:PORT or unix:PATH; may be repeated." default:"127.0.0.1:0" env:"IMQUOTA_BENCH_ECHO_LISTEN"`
	OwnOptions bool     `help:"Serve with all that imquota serve asks of gRPC, of Go's runtime and of the system, not with their defaults."`
}

// Run carries the command out.
func (c *benchEchoCmd) Run(ctx context.Context, s *streams) error {
	var options []grpc.ServerOption
	if c.OwnOptions {
		options = transportOptions(server.MaxMessageBytes, 0)
		defer runtime.KeepAlive(reserveHeap())
		var governing sync.WaitGroup
		defer governing.Wait()
		governed, stop := context.WithCancel(ctx)
		defer stop()
		governing.Go(func() { useFewProcessors(governed) })
	}
	g := grpc.NewServer(options...)
	(&bench.Echo{}).Register(g)
	failed := make(chan error, len(c.Listen))
	defer g.Stop()
	for _, address := range c.Listen {
		opened, err := listen(ctx, address)
		if err != nil {
			return fmt.Errorf("--listen %s: %w", address, err)
		}
		_, _ = fmt.Fprintln(s.out, listeningOn+(&listener{Listener: opened}).address())
		go func() { failed <- g.Serve(opened) }()
	}
	_, _ = fmt.Fprintln(s.out, echoIsReady)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
}

// What the echo says, and the process that started it listens to.
const (
	listeningOn = "listening on "
	echoIsReady = "ready"
)
