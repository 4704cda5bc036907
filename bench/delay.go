package bench

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Delay is a way to a server on which every answer takes longer, as over a network.
// Answers that are under way at once do not wait for each other.
type Delay struct {
	listener net.Listener
	target   string
	by       time.Duration
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// NewDelay listens on a free port of this machine and leads to a target.
func NewDelay(ctx context.Context, target string, by time.Duration) (*Delay, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Delay{listener: l, target: target, by: by}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.running.Go(d.accept)
	return d, nil
}

// Addr is where it listens.
func (d *Delay) Addr() string { return d.listener.Addr().String() }

// Close ends it, and all connections.
func (d *Delay) Close() {
	d.cancel()
	_ = d.listener.Close()
	d.running.Wait()
}

func (d *Delay) accept() {
	for {
		client, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.running.Go(func() { d.join(client) })
	}
}

// join joins a client with the target until one of them is gone.
func (d *Delay) join(client net.Conn) {
	server, err := (&net.Dialer{}).DialContext(d.ctx, "tcp", d.target)
	if err != nil {
		_ = client.Close()
		return
	}
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })
	pieces := make(chan piece, 1024)
	var all sync.WaitGroup
	all.Go(func() {
		defer cancel()
		_, _ = io.Copy(server, client)
	})
	all.Go(func() {
		defer close(pieces)
		d.read(ctx, server, pieces)
	})
	all.Go(func() {
		defer cancel()
		for p := range pieces {
			wait(ctx, p.due)
			if _, err := client.Write(p.bytes); err != nil {
				return
			}
		}
	})
	all.Wait()
}

// piece is what came from the server, and when it may go on.
type piece struct {
	bytes []byte
	due   time.Time
}

const pieceBytes = 32 << 10

func (d *Delay) read(ctx context.Context, server net.Conn, pieces chan<- piece) {
	for {
		buffer := make([]byte, pieceBytes)
		n, err := server.Read(buffer)
		if n > 0 {
			select {
			case pieces <- piece{buffer[:n], time.Now().Add(d.by)}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}
