package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process that this one started, and stops.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	last  []string // lines that it wrote
	heard func(line string) (isReady bool)
	ready chan struct{}
}

// lastLines is how much of what a child wrote is told when it ends too early.
const lastLines = 5

// Starting and stopping takes a child no longer than this.
const (
	childStart = 30 * time.Second
	childStop  = 15 * time.Second
)

// startChild starts a program and waits until it is ready, which a line that it
// writes says. Nothing of this process's settings reaches it.
func startChild(ctx context.Context, name, path string, args []string, heard func(line string) (isReady bool)) (*child, error) {
	c := &child{name: name, done: make(chan struct{}), heard: heard, ready: make(chan struct{})}
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "IMQUOTA_") {
			c.cmd.Env = append(c.cmd.Env, pair)
		}
	}
	setApart(c.cmd)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = writer, writer
	err = c.cmd.Start()
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go c.read(reader)
	timer := time.NewTimer(childStart)
	defer timer.Stop()
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("%s ended before it was ready: %s", name, c.said())
	case <-timer.C:
		err = fmt.Errorf("%s is not ready after %v: %s", name, childStart, c.said())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	c.stop()
	return nil, err
}

func (c *child) read(from io.ReadCloser) {
	isReady := false
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c.mu.Lock()
		if c.last = append(c.last, lines.Text()); len(c.last) > lastLines {
			c.last = c.last[1:]
		}
		c.mu.Unlock()
		if !isReady && c.heard(lines.Text()) {
			isReady = true
			close(c.ready)
		}
	}
	_, _ = io.Copy(io.Discard, from) // after a line that is too long
	_ = from.Close()
	_ = c.cmd.Wait()
	close(c.done)
}

// said is what the child wrote last.
func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.last, "; ")
}

// stop ends the child and waits until it has.
func (c *child) stop() {
	if c.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = c.cmd.Process.Kill()
	}
	timer := time.NewTimer(childStop)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}
