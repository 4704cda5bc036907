package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// healthCmd asks a server for its health.
type healthCmd struct {
	clientFlags
}

// Help is printed below the summary.
func (*healthCmd) Help() string {
	return `Exit codes: 0 the server decides, 1 it does not, or nobody answers. Its log, and
/readyz over HTTP, say why not.`
}

// errNotServing ends the command when the server cannot decide.
var errNotServing = errors.New("the server is up and cannot decide: its store cannot be trusted")

// Run carries the command out.
func (c *healthCmd) Run(ctx context.Context, s *streams) error {
	out, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*healthpb.HealthCheckResponse, error) {
			return conn.health.Check(ctx, &healthpb.HealthCheckRequest{})
		},
		func(w io.Writer, out *healthpb.HealthCheckResponse) {
			_, _ = fmt.Fprintln(w, strings.ToLower(out.GetStatus().String()))
		})
	if err == nil && out.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return errNotServing
	}
	return err
}
