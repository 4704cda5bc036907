package main

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// door lets so many connections in at once, and closes others at once: one that
// waits to be accepted looks to its client like a server that hangs.
type door struct {
	net.Listener
	most    int64
	open    atomic.Int64     // of this address
	all     prometheus.Gauge // of all addresses
	refused prometheus.Counter
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.open.Add(1) <= d.most {
			d.all.Inc()
			return &visitor{Conn: conn, door: d}, nil
		}
		d.open.Add(-1)
		d.refused.Inc()
		_ = conn.Close()
	}
}

// visitor is a connection that was let in. Its end is told once.
type visitor struct {
	net.Conn
	door *door
	once sync.Once
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	v.once.Do(func() {
		v.door.open.Add(-1)
		v.door.all.Dec()
	})
	return v.Conn.Close()
}
