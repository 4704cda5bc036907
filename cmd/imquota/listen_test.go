package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := "unix:" + filepath.Join(dir, "s")
	first := launch(t, "--demo", "--listen", socket, "--store", "bolt:"+filepath.Join(dir, "a.db"))
	first.await(0, says("ready"))
	got := run(t, "check", "login", "--app", "1400000001", "--user", "alice", "--server", socket)
	if got.code != exitFine {
		t.Fatalf("over the socket: %+v", got)
	}

	second := launch(t, "--listen", socket, "--store", "bolt:"+filepath.Join(dir, "b.db"))
	if second.end() != exitFault {
		t.Errorf("a second server took the socket of a live one: %+v", second.lines())
	}
	second.await(0, says("in use by another server"))

	first.signal(syscall.SIGKILL) // leaves its socket behind
	first.end()
	third := launch(t, "--listen", socket, "--store", "bolt:"+filepath.Join(dir, "a.db"))
	third.await(0, says("ready"))
	if got := run(t, "app", "get", "--app", "1400000001", "--server", socket); got.code != exitFine {
		t.Errorf("over a socket that replaced a stale one: %+v", got)
	}
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := listen(t.Context(), "unix:"+path)
	if err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("error %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "text" {
		t.Errorf("the file holds %q", text)
	}
}

func TestReachesBeyond(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:7400": false, "127.9.9.9:0": false, "[::1]:7400": false, "localhost:7400": false, "unix:/tmp/s": false,
		":7400": true, "0.0.0.0:7400": true, "[::]:7400": true, "192.0.2.1:7400": true,
	} {
		got, err := reachesBeyond(t.Context(), address)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", address, got, err, want)
		}
	}
	if _, err := reachesBeyond(t.Context(), "7400"); err == nil {
		t.Error("an address without a host and port was accepted")
	}
}

func TestRefusesPlaintextBeyondLoopback(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--listen", "--admin-listen"} {
		got := run(t, "serve", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"), "--listen", "127.0.0.1:0", flag, "0.0.0.0:0")
		if got.code != exitFault || !strings.Contains(got.err, flag+" 0.0.0.0:0") || !strings.Contains(got.err, "--plaintext-beyond-loopback") {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}

func TestAdminListenSplitsTheServices(t *testing.T) {
	t.Parallel()
	p := serve(t, "--admin-listen", "127.0.0.1:0", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	const quotas, apps, billing = "imquota.v1.QuotaService", "imquota.v1.AppService", "imquota.v1.BillingService"
	for i, want := range []struct{ served, absent []string }{{[]string{quotas}, []string{apps, billing}}, {[]string{apps, billing}, []string{quotas}}} {
		got := services(t, p.dial(i))
		for _, name := range want.served {
			if !slices.Contains(got, name) {
				t.Errorf("%s does not serve %s: %v", p.addresses[i], name, got)
			}
		}
		for _, name := range want.absent {
			if slices.Contains(got, name) {
				t.Errorf("%s serves %s", p.addresses[i], name)
			}
		}
	}
	for _, line := range []string{"app get --app 1", "account show --account a"} {
		got := p.ask(strings.Fields(line)...)
		if got.code != exitFault || !strings.Contains(got.err, "does not offer this here") {
			t.Errorf("%s on the gateways' address: %+v", line, got)
		}
		if got := run(t, append(strings.Fields(line), "--server", p.addresses[1])...); !strings.Contains(got.err, "NOT_FOUND") {
			t.Errorf("%s on the operators' address: %+v", line, got)
		}
	}
}

// TestBeyondLoopback: where other machines reach it, nobody changes apps.
func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	p := serve(t, "--listen", "0.0.0.0:0", "--plaintext-beyond-loopback", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	for _, name := range services(t, p.dial(1)) {
		if strings.HasPrefix(name, "imquota.") && name != "imquota.v1.QuotaService" {
			t.Errorf("%s serves %s", p.addresses[1], name)
		}
	}
}

// services asks the server by reflection what it serves.
func services(t *testing.T, conn *grpc.ClientConn) []string {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range reply.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := serve(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	for _, service := range []string{"", "imquota.v1.QuotaService", "imquota.v1.AppService", "imquota.v1.BillingService"} {
		if got := healthOf(t, p.dial(0), service); got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q is %v", service, got)
		}
	}
}

func healthOf(t *testing.T, conn *grpc.ClientConn, service string) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	out, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return out.GetStatus()
}

// loginOver runs the check that the tests of TLS ask, and returns what came of it.
func loginOver(t *testing.T, server string, flags ...string) result {
	t.Helper()
	return run(t, append([]string{"check", "login", "--app", "1400000001", "--user", "alice", "--server", server}, flags...)...)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours := newAuthority(t, dir, "ours")
	cert, key := ours.issue("sidecar")
	socket := "unix:" + filepath.Join(dir, "s")
	p := serve(t, "--demo", "--listen", socket, "--tls-cert", cert, "--tls-key", key, "--store", "bolt:"+filepath.Join(dir, "x.db"))

	if got := loginOver(t, p.addresses[0], "--tls", "--tls-ca", ours.file); got.code != exitFine {
		t.Errorf("over TLS: %+v", got)
	}
	if got := loginOver(t, socket); got.code != exitFine {
		t.Errorf("over the Unix socket, which needs none: %+v", got)
	}
	if got := loginOver(t, p.addresses[0], "--tls", "--timeout", "2s"); got.code != exitFault || !strings.Contains(got.err, "--tls-ca") {
		t.Errorf("the system's authorities trust a server of ours: %+v", got)
	}
	if got := loginOver(t, p.addresses[0], "--timeout", "2s"); got.code != exitFault || !strings.Contains(got.err, "--tls") {
		t.Errorf("a TCP address with a certificate answered plain text: %+v", got)
	}
	for flags, says := range map[string]string{
		"--tls-key " + key:             "--tls-key needs --tls-cert",
		"--tls-cert " + cert:           "--tls-cert needs --tls-key",
		"--tls-client-ca " + ours.file: "--tls-cert",
		"--tls-client-ca " + key + " --tls-cert " + cert + " --tls-key " + key: "holds no certificate",
	} {
		got := run(t, append([]string{"serve", "--store", "bolt:" + filepath.Join(dir, "y.db"), "--listen", "127.0.0.1:0"}, strings.Fields(flags)...)...)
		if got.code != exitFault || !strings.Contains(got.err, says) {
			t.Errorf("serve %s: %+v, want %q", flags, got, says)
		}
	}
}

// TestClientCertificate: with --tls-client-ca only known clients are served,
// and a request id, like a change in a log, belongs to the certificate's owner,
// whatever the request says of its client.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := newAuthority(t, dir, "ours"), newAuthority(t, dir, "theirs")
	cert, key := ours.issue("sidecar")
	p := serve(t, "--demo", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ours.file, "--store", "bolt:"+filepath.Join(dir, "x.db"))

	befriend := func(a *authority, caller, clientID, friend string) result {
		t.Helper()
		cert, key := a.issue(caller)
		return run(t, "check", "add-friend", "--app", "1400000001", "--user", "alice", "--friend", friend, "--request-id", "r1", "--client-id", clientID,
			"--server", p.addresses[0], "--timeout", "2s", "--tls", "--tls-ca", ours.file, "--tls-cert", cert, "--tls-key", key)
	}
	if got := befriend(ours, "gateway", "a", "bob"); got.code != exitFine || !strings.Contains(got.out, "0 → 1") {
		t.Errorf("a known client: %+v", got)
	}
	if got := befriend(ours, "gateway", "b", "bob"); got.code != exitFine || !strings.Contains(got.out, "counted before") {
		t.Errorf("the same one with another client id, and its certificate renewed: %+v", got)
	}
	if got := befriend(ours, "groups", "a", "carol"); got.code != exitFine || !strings.Contains(got.out, "1 → 2") {
		t.Errorf("another client with the same request id: %+v", got)
	}
	cert, key = ours.issue("operator")
	for _, line := range []string{"app disable --app 1400000002 --actor somebody", "app events --app 1400000002 --limit 1"} {
		got := run(t, append(strings.Fields(line), "--server", p.addresses[0], "--tls", "--tls-ca", ours.file, "--tls-cert", cert, "--tls-key", key)...)
		if got.code != exitFine || strings.Contains(got.out, "somebody") || strings.Contains(line, "events") && !strings.Contains(got.out, "operator (certified)") {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := befriend(theirs, "gateway", "a", "dave"); got.code != exitFault || strings.Contains(got.err, "imquota serve") {
		t.Errorf("a client of another authority: %+v", got)
	}
	if got := loginOver(t, p.addresses[0], "--tls", "--tls-ca", ours.file, "--timeout", "2s"); got.code != exitFault || !strings.Contains(got.err, "--tls-cert and --tls-key") {
		t.Errorf("a client without a certificate: %+v", got)
	}
}

// TestTLSToPlaintext: the one who asks is told what is wrong, not that nobody
// is there.
func TestTLSToPlaintext(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	if got := loginOver(t, p.addresses[0], "--tls", "--timeout", "2s"); got.code != exitFault || !strings.Contains(got.err, "does not speak TLS") {
		t.Errorf("%+v", got)
	}
	p.signal(syscall.SIGTERM)
	p.end()
	if hint := p.stdout.String(); !strings.Contains(hint, "grpcurl -plaintext") {
		t.Errorf("the demo says %q", hint)
	}
}

func TestListenTwiceOnOnePort(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := "--listen " + l.Addr().String()
	got := run(t, "serve", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"), "--listen", l.Addr().String())
	if got.code != exitFault || !strings.Contains(got.err, taken) || !strings.Contains(got.err, "a new one was made") {
		t.Errorf("%+v", got)
	}
	redis := redistest.Standalone(t)
	got = run(t, "serve", "--demo", "--store", "redis://"+redis.Addr, "--listen", l.Addr().String())
	if got.code != exitFault || !strings.Contains(got.err, taken) {
		t.Errorf("%+v", got)
	}
	if keys := redis.Client().Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("a demo that nobody can ask has written %q", keys)
	}
	p := serve(t, "--demo", "--store", "redis://"+redis.Addr)
	p.await(0, says("--demo initialised the store"))
	p.signal(syscall.SIGTERM)
	p.end()
}
