package main

import (
	"bytes"
	wire "encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rough is a client of HTTP/2 that does what no library of gRPC would: it opens
// streams and forgets them, and stops in the middle of a message.
type rough struct {
	t       testing.TB
	conn    net.Conn
	sending sync.Mutex
	frames  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder
	next    uint32 // stream

	mu      sync.Mutex
	more    sync.Cond
	windows map[uint32]int64 // by stream; 0 is the connection
	ended   map[uint32]bool
	isTaken bool // the server has sent its settings
	over    bool // the server has ended the connection

	statuses sync.Map // what grpc-status was answered -> *atomic.Int64
}

const firstWindow = 65535

func dialRough(t testing.TB, address string) *rough {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r := &rough{t: t, conn: conn, frames: http2.NewFramer(conn, conn), next: 1, windows: map[uint32]int64{0: firstWindow}, ended: make(map[uint32]bool)}
	r.more.L = &r.mu
	r.encoder = hpack.NewEncoder(&r.headers)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := r.frames.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	go r.read()
	return r
}

// read answers what keeps the connection alive, and notes windows and statuses.
func (r *rough) read() {
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == "grpc-status" {
			n, _ := r.statuses.LoadOrStore(f.Value, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		}
	})
	for {
		frame, err := r.frames.ReadFrame()
		if err != nil {
			r.mu.Lock()
			r.over = true
			r.mu.Unlock()
			r.more.Broadcast()
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				r.sending.Lock()
				_ = r.frames.WriteSettingsAck()
				r.sending.Unlock()
				r.mu.Lock()
				r.isTaken = true
				r.mu.Unlock()
				r.more.Broadcast()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				r.sending.Lock()
				_ = r.frames.WritePing(true, f.Data)
				r.sending.Unlock()
			}
		case *http2.WindowUpdateFrame:
			r.mu.Lock()
			r.windows[f.StreamID] += int64(f.Increment)
			r.mu.Unlock()
			r.more.Broadcast()
		case *http2.HeadersFrame:
			_, _ = decoder.Write(f.HeaderBlockFragment())
			r.end(f.StreamID, f.StreamEnded())
		case *http2.RSTStreamFrame:
			r.end(f.StreamID, true)
		}
	}
}

func (r *rough) end(stream uint32, isOver bool) {
	if !isOver {
		return
	}
	r.mu.Lock()
	r.ended[stream] = true
	r.mu.Unlock()
	r.more.Broadcast()
}

// answered returns how many streams were answered with a status.
func (r *rough) answered(status string) int64 {
	n, ok := r.statuses.Load(status)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// awaitSettings waits until the server has taken the connection.
func (r *rough) awaitSettings() { r.await(func() bool { return r.isTaken }) }

// awaitEnds waits until so many streams are over.
func (r *rough) awaitEnds(n int) { r.await(func() bool { return len(r.ended) >= n }) }

func (r *rough) await(done func() bool) {
	r.t.Helper()
	late := time.AfterFunc(patience, func() { _ = r.conn.Close() })
	defer late.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !done() {
		if r.over {
			r.t.Fatalf("the connection ended; %d streams are over", len(r.ended))
		}
		r.more.Wait()
	}
}

// open begins a call and returns its stream. More headers come in pairs.
func (r *rough) open(method string, more ...string) uint32 {
	r.sending.Lock()
	defer r.sending.Unlock()
	stream := r.next
	r.next += 2
	r.headers.Reset()
	all := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "x", "content-type", "application/grpc", "te", "trailers"}, more...)
	for i := 0; i+1 < len(all); i += 2 {
		_ = r.encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	r.mu.Lock()
	r.windows[stream] += firstWindow
	r.mu.Unlock()
	block := r.headers.Bytes()
	const most = 16 << 10
	first := block[:min(most, len(block))]
	block = block[len(first):]
	err := r.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		next := block[:min(most, len(block))]
		block = block[len(next):]
		err = r.frames.WriteContinuation(stream, len(block) == 0, next)
	}
	_ = err // the reader hears that the connection has ended
	return stream
}

// reset takes a call back.
func (r *rough) reset(stream uint32) {
	r.sending.Lock()
	defer r.sending.Unlock()
	_ = r.frames.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// send sends bytes of a call as fast as the server lets it, and reports whether
// all of them went out.
func (r *rough) send(stream uint32, data []byte, isLast bool) bool {
	for len(data) > 0 {
		r.mu.Lock()
		for r.windows[0] <= 0 || r.windows[stream] <= 0 {
			if r.over || r.ended[stream] {
				r.mu.Unlock()
				return false
			}
			r.more.Wait()
		}
		n := min(int64(len(data)), r.windows[0], r.windows[stream], 16<<10)
		r.windows[0] -= n
		r.windows[stream] -= n
		r.mu.Unlock()
		r.sending.Lock()
		err := r.frames.WriteData(stream, isLast && int(n) == len(data), data[:n])
		r.sending.Unlock()
		if err != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// framed is a message as gRPC puts it on the wire.
func framed(message []byte) []byte {
	return append(wire.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}
