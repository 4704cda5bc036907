package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// TestDelay: each answer comes later, however many are under way, and in order.
func TestDelay(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	const by = 20 * time.Millisecond
	d, err := NewDelay(t.Context(), l.Addr().String(), by)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answers := bufio.NewReader(conn)
	began := time.Now()
	const n = 50
	for i := range n {
		_, _ = fmt.Fprintf(conn, "%d\n", i)
	}
	for i := range n {
		var got int
		if _, err := fmt.Fscanf(answers, "%d\n", &got); err != nil || got != i {
			t.Fatalf("answer %d is %d, %v", i, got, err)
		}
	}
	if took := time.Since(began); took < by || took > n*by/2 {
		t.Errorf("%d answers took %v, each %v", n, took, by)
	}
	d.Close()
	if _, err := answers.ReadByte(); err == nil {
		t.Error("its connections outlive it")
	}
}

func TestDelayWithoutATarget(t *testing.T) {
	t.Parallel()
	d, err := NewDelay(t.Context(), "127.0.0.1:1", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	conn, err := net.Dial("tcp", d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as it is documented
		t.Errorf("%v", err)
	}
}
