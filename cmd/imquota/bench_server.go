package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/bench"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// server is the target, or one that is started on a store of its own.
func (c *BenchCmd) server(ctx context.Context, l *lab, heard *benchProgress) (*measured, error) {
	if c.Target != "" {
		return c.targeted(ctx, l)
	}
	heard.tell("starting imquota on " + c.Store)
	store, err := l.store(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	at, err := l.sidecar(ctx, "imquota", store)
	if err != nil {
		return nil, err
	}
	return l.serving(at, c.Over, c.Connections)
}

// floors makes ready what imquota is compared with.
func (c *BenchCmd) floors(ctx context.Context, l *lab, on *measured) error {
	if c.NoFloors {
		return nil
	}
	if on.redis != nil {
		if err := on.redis.Prepare(ctx); err != nil {
			return fmt.Errorf("the floor's script: %w", err)
		}
		if c.Target != "" { // a store of the lab is removed with all else in it
			l.closers = append(l.closers, func() { _ = on.redis.Remove(context.WithoutCancel(ctx)) })
		}
	}
	if c.Target == "" && c.Store == storeBolt {
		var err error
		if on.bolt, err = l.bolt(); err != nil {
			return err
		}
	}
	address := c.TargetEcho
	if address == "" {
		over := c.Over
		switch {
		case c.Target == "":
		case strings.HasPrefix(c.Target, "unix:"):
			over = overUnix
		default:
			over = overTCP
		}
		at, err := l.echo(ctx, "echo")
		if err != nil {
			return err
		}
		address = at.over(over)
	}
	echo, err := l.echoAt(address, c.Connections)
	if err != nil {
		return err
	}
	if _, err := echo.cpu(ctx); err != nil && c.TargetEcho != "" {
		return fmt.Errorf("--target-echo: %w", err)
	}
	on.echo = echo
	return nil
}

// store is what a sidecar of the lab stands on, by --store.
func (l *lab) store(ctx context.Context, named string) (url string, err error) {
	switch named {
	case storeBolt:
		return l.boltURL(), nil
	case storeRedis:
		if url, err = l.ownRedis(ctx); err != nil {
			return "", err
		}
	default:
		url = named
		if err := l.openRedis(url); err != nil {
			return "", fmt.Errorf("--store: %w", err)
		}
	}
	return l.initStore(ctx, url)
}

// boltURL is an embedded store in the lab.
func (l *lab) boltURL() string { return "bolt:" + filepath.Join(l.dir, "imquota.db") }

// bolt makes a file for the floor below an embedded store, beside that.
func (l *lab) bolt() (*bench.Bolt, error) {
	b, err := bench.OpenBolt(filepath.Join(l.dir, "floor.db"))
	if err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	l.closers = append(l.closers, func() { _ = b.Close() })
	return b, nil
}

// serving connects to a sidecar of the lab.
func (l *lab) serving(at *addresses, over string, connections int) (on *measured, err error) {
	on = &measured{redis: l.redis, cpu: processCPU("http://" + at.http + "/metrics")}
	if on.quotas, err = l.dialPlain(at.over(over), connections); err != nil {
		return nil, err
	}
	if on.setup, err = l.patient(at.over(over), insecure.NewCredentials()); err != nil {
		return nil, err
	}
	on.admin = on.setup
	return on, nil
}

// targeted connects to a server that runs already.
func (c *BenchCmd) targeted(ctx context.Context, l *lab) (*measured, error) {
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	on := &measured{}
	if on.quotas, err = l.dialAll(c.Target, c.Connections, transport); err != nil {
		return nil, err
	}
	if on.setup, err = l.patient(c.Target, transport); err != nil {
		return nil, err
	}
	_, err = healthpb.NewHealthClient(on.setup).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil && status.Code(err) != codes.Unimplemented {
		return nil, c.asked(err)
	}
	on.admin = on.setup
	if c.TargetAdmin != "" {
		if on.admin, err = l.patient(c.TargetAdmin, transport); err != nil {
			return nil, err
		}
	}
	if c.TargetMetrics != "" {
		on.cpu = processCPU(c.TargetMetrics)
		if _, err := on.cpu(ctx); err != nil {
			return nil, fmt.Errorf("--target-metrics: %w", err)
		}
	}
	if c.TargetRedis != "" {
		if err := l.openRedis(c.TargetRedis); err != nil {
			return nil, fmt.Errorf("--target-redis: %w", err)
		}
		on.redis = l.redis
		if _, err := on.redis.Use(ctx); err != nil {
			return nil, fmt.Errorf("--target-redis: %w", err)
		}
	}
	return on, nil
}

// asked says which server it was that did not answer, or lacks something.
func (c *BenchCmd) asked(err error) error {
	if c.Target == "" {
		return err
	}
	st := status.Convert(err)
	switch reason, _ := details(st); {
	case reason != "": // its own words
	case st.Code() == codes.Unavailable:
		return fmt.Errorf("--target: no server answers at %s: %s\nStart one with `imquota serve`, or leave --target out to have one started", c.Target, cause(st.Message()))
	case st.Code() == codes.Unimplemented:
		return fmt.Errorf("--target: the server at %s does not offer AppService here, so that no apps can be made: name where it does with --target-admin, or apps that are there with --app", c.Target)
	case st.Code() == codes.DeadlineExceeded:
		return fmt.Errorf("--target: the server at %s did not answer within %v", c.Target, setupPatience)
	}
	return fmt.Errorf("--target %s: %w", c.Target, err)
}

// metricsPatience is how long a page of metrics may take.
const metricsPatience = 5 * time.Second

// processCPU reads the processor time of a process from its page of metrics.
func processCPU(url string) func(context.Context) (time.Duration, error) {
	const name = "process_cpu_seconds_total "
	return func(ctx context.Context) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(ctx, metricsPatience)
		defer cancel()
		in, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		out, err := http.DefaultClient.Do(in)
		if err != nil {
			return 0, err
		}
		defer func() { _ = out.Body.Close() }()
		if out.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s answers %s", url, out.Status)
		}
		for lines := bufio.NewScanner(out.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), name); ok {
				seconds, err := strconv.ParseFloat(text, 64)
				return time.Duration(seconds * float64(time.Second)), err
			}
		}
		return 0, fmt.Errorf("%s: %w: no %s", url, errors.ErrUnsupported, strings.TrimSpace(name))
	}
}
