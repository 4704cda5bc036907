package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/server"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// soak is how many times longer a test is than in continuous integration.
func soak(t *testing.T) int {
	t.Helper()
	text := os.Getenv("IMQUOTA_FLOOD")
	if text == "" {
		return 1
	}
	times, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("IMQUOTA_FLOOD: %v", err)
	}
	return times
}

// memory returns how many MiB the process has, and has had at most.
func (p *process) memory() (now, most int) {
	p.t.Helper()
	if runtime.GOOS != "linux" {
		p.t.Skip("the memory of another process is read from /proc")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		switch name {
		case "VmRSS":
			now = kib >> 10
		case "VmHWM":
			most = kib >> 10
		}
	}
	return now, most
}

// metric reads one number of the process's page.
func (p *process) metric(name string) int {
	p.t.Helper()
	_, page := p.fetch("/metrics", "")
	found := regexp.MustCompile("(?m)^" + name + " (.*)$").FindStringSubmatch(page)
	if found == nil {
		p.t.Fatalf("no %s", name)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return int(n)
}

// awaitMetric waits until one of the process's numbers is as it should be.
func (p *process) awaitMetric(name string, isFine func(int) bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		n := p.metric(name)
		if isFine(n) {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s stays %d", name, n)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// healthy expects that a probe is answered soon.
func (p *process) healthy(when string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	out, err := healthpb.NewHealthClient(p.dial(0)).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || out.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		p.t.Errorf("%s: health: %v, %v", when, out, err)
	}
}

const batchMethod = imquotav1.QuotaService_BatchCheckQuota_FullMethodName

// TestFloodOfLargeRequests: requests as large as they may be, whole and of items
// that would be a hundred times as large once decoded, or but for the last byte.
func TestFloodOfLargeRequests(t *testing.T) {
	const connections, streams = 8, 16
	for name, tt := range map[string]struct {
		size    int
		isWhole bool
		args    []string
	}{
		"whole":                      {server.MaxMessageBytes, true, nil},
		"half":                       {server.MaxMessageBytes, false, nil},
		"whole, for gateways alone":  {server.MaxQuotaBytes, true, []string{"--admin-listen", "127.0.0.1:0"}},
		"larger, for gateways alone": {server.MaxQuotaBytes + 8, true, []string{"--admin-listen", "127.0.0.1:0"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := serveHTTP(t, append([]string{"--demo"}, tt.args...)...)
			before, _ := p.memory()
			message := framed([]byte(strings.Repeat("\x0a\x00", tt.size/2)))
			if !tt.isWhole {
				message = message[:len(message)-1]
			}
			var running sync.WaitGroup
			var clients [connections]*rough
			for i := range clients {
				r := dialRough(t, p.addresses[0])
				clients[i] = r
				for range streams * soak(t) {
					stream := r.open(batchMethod)
					running.Go(func() { r.send(stream, message, tt.isWhole) })
				}
			}
			p.healthy(name)
			running.Wait()
			calls := connections * streams * soak(t)
			if tt.isWhole {
				for _, r := range clients {
					r.awaitEnds(streams * soak(t))
				}
			}
			_, most := p.memory()
			// As many bytes as were sent, as many again while they are looked at, and
			// what a collection is late by.
			bound := before + memoryFactor*(64+3*calls*tt.size>>20)
			t.Logf("%d calls of %d KiB: %d MiB before, %d at most, bound %d", calls, tt.size>>10, before, most, bound)
			if most > bound {
				t.Errorf("%d MiB at most, want %d", most, bound)
			}
			p.healthy("afterwards")
			for _, r := range clients {
				if n := r.answered("0"); n != 0 {
					t.Errorf("%d were answered OK", n)
				}
				_ = r.conn.Close()
			}
			p.awaitMetric("imquota_arriving", func(n int) bool { return n == 0 })
		})
	}
}

// TestRoughClients: what a client does wrong costs others nothing, and is
// forgotten with it.
func TestRoughClients(t *testing.T) {
	p := serveHTTP(t, "--demo", "--max-in-flight", "512", "--max-in-flight-per-connection", "128")
	calm := p.metric("go_goroutines")
	// A connection has some, and each call that it may have begun one.
	const connections, perConnection = 4, 2*128 + spareStreams
	most := calm + 8*(connections+2) + connections*perConnection
	request := framed([]byte("\x08\x01"))
	for _, tt := range []struct {
		name string
		do   func(r *rough, n int)
	}{
		{"streams that send nothing", func(r *rough, _ int) { r.open(batchMethod) }},
		{"half a message", func(r *rough, _ int) { r.send(r.open(batchMethod), request[:6], false) }},
		{"a message that says it is larger than it may be", func(r *rough, _ int) { r.send(r.open(batchMethod), []byte{0, 0xff, 0xff, 0xff, 0xff}, false) }},
		{"streams that are reset", func(r *rough, _ int) { r.reset(r.open(batchMethod)) }},
		{"streams that are reset, with a deadline far away", func(r *rough, _ int) { r.reset(r.open(batchMethod, "grpc-timeout", "1H")) }},
		{"whole messages that are reset", func(r *rough, _ int) {
			stream := r.open(batchMethod)
			r.send(stream, request, true)
			r.reset(stream)
		}},
		{"large metadata", func(r *rough, n int) {
			if n%20 == 0 {
				r.open(batchMethod, "x-large", strings.Repeat("x", 2*maxHeaderBytes))
			}
		}},
		{"methods that there are not", func(r *rough, n int) { r.send(r.open("/imquota.v1.QuotaService/M"+strconv.Itoa(n)), request, true) }},
		{"probes that send nothing", func(r *rough, _ int) { r.open(healthpb.Health_Check_FullMethodName) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &process{t: t, cmd: p.cmd, addresses: p.addresses, http: p.http}
			var running sync.WaitGroup
			var clients [connections]*rough
			for i := range clients {
				r := dialRough(t, p.addresses[0])
				clients[i] = r
				running.Go(func() {
					for n := range 2000 * soak(t) {
						tt.do(r, n)
					}
				})
			}
			p.healthy("during")
			if n := p.metric("go_goroutines"); n > most {
				t.Errorf("%d goroutines, want at most %d", n, most)
			}
			if n := p.metric("imquota_arriving"); n > 512+256 {
				t.Errorf("%d are arriving", n)
			}
			running.Wait()
			p.healthy("afterwards")
			if n := p.metric("go_goroutines"); n > most {
				t.Errorf("%d goroutines, want at most %d", n, most)
			}
			for _, r := range clients {
				_ = r.conn.Close()
			}
			p.awaitMetric("imquota_arriving", func(n int) bool { return n == 0 })
			p.awaitMetric("go_goroutines", func(n int) bool { return n <= calm+16 })
		})
	}
	p.t = t
	if got := p.ask("check", "login", "--app", "1400000001", "--user", "alice"); got.code != exitFine {
		t.Errorf("a call afterwards: %+v", got)
	}
	now, at := p.memory()
	t.Logf("%d MiB, %d at most", now, at)
	if at > memoryFactor*192 {
		t.Errorf("%d MiB at most", at)
	}
}

// TestConnectionsAreBounded: those beyond the bound are closed at once, of each
// address for itself, and others come in once there is room.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 3
	p := serveHTTP(t, "--max-connections", strconv.Itoa(most), "--admin-listen", "127.0.0.1:0")
	var clients [most]*rough
	for i := range clients {
		clients[i] = dialRough(t, p.addresses[0])
		clients[i].awaitSettings()
	}
	for range 2 * most {
		refused, err := net.Dial("tcp", p.addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		_ = refused.SetReadDeadline(time.Now().Add(patience))
		if n, err := refused.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Fatalf("one more connection was not closed: %d, %v", n, err)
		}
		_ = refused.Close()
	}
	if n := p.metric("imquota_connections"); n != most+1 { // and the one that asks
		t.Errorf("%d connections are open", n)
	}
	if n := p.metric("imquota_connections_refused_total"); n != 2*most {
		t.Errorf("%d connections were refused", n)
	}
	if got := run(t, "app", "get", "--app", "1", "--server", p.addresses[1]); !strings.Contains(got.err, "APP_NOT_FOUND") {
		t.Errorf("operators at their address: %+v", got)
	}
	for _, r := range clients {
		_ = r.conn.Close()
	}
	p.awaitMetric("imquota_connections", func(n int) bool { return n == 1 })
	p.healthy("once they are gone")
}

// TestRoughClientsOverHTTP: a header or a body that does not come, one that is too
// large, and objects that take a hundred times their bytes.
func TestRoughClientsOverHTTP(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	send := func(text string) (net.Conn, error) {
		conn, err := net.Dial("tcp", p.http)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, text)
		return conn, err
	}
	const post = "POST /imquota.v1.QuotaService/BatchCheckQuota HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	began := time.Now()
	slow, err := send(post + "X-Slow: ")
	if err != nil {
		t.Fatal(err)
	}
	large, _ := send(post + "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n\r\n") // may be closed before all is sent
	if answer, _ := io.ReadAll(large); !strings.Contains(string(answer), " 431 ") {
		t.Errorf("a large header: %q", answer)
	}
	for name, body := range map[string]string{
		"a large body":      `{"items": [` + strings.Repeat(" ", server.MaxMessageBytes) + `]}`,
		"many empty items":  `{"items": [{}` + strings.Repeat(",{}", 100_000) + `]}`,
		"lists within them": strings.Repeat("[", 200_000),
	} {
		code, text := p.fetch("/imquota.v1.QuotaService/BatchCheckQuota", body)
		if code != http.StatusBadRequest || !strings.Contains(text, "MALFORMED_REQUEST") || len(text) > 1000 {
			t.Errorf("%s: %d %.300s", name, code, text)
		}
	}
	braces := strings.Repeat("{", 32)
	if code, text := p.fetch("/imquota.v1.QuotaService/CheckQuota", `{"appId": 1400000002, "registerUsers": {"userIds": ["`+braces+`", "\"{", "\\"]}}`); code != http.StatusOK || !strings.Contains(text, `"allowed":true`) {
		t.Errorf("ids of braces: %d %s", code, text)
	}
	for i := range 100 { // a label of each path would be seen
		p.fetch("/imquota.v1.QuotaService/Method"+strconv.Itoa(i), "{}")
	}
	if _, page := p.fetch("/metrics", ""); strings.Contains(page, "Method7") {
		t.Error("the metrics name what was asked for and is not there")
	}
	_ = slow.SetReadDeadline(began.Add(patience))
	if _, err := io.ReadAll(slow); err != nil {
		t.Errorf("a header that does not come: %v", err)
	}
	if took := time.Since(began); took < httpHeaderTimeout || took > httpHeaderTimeout+10*time.Second {
		t.Errorf("it took %v", took)
	}
}
