package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// programs is where the examples and imquota are built, once.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "imquota-examples")
	if err != nil {
		panic(err)
	}
	programs = dir
	out, err := exec.Command("go", "build", "-o", dir, "../cmd/imquota", "./gateway", "./group-service", "./billing").CombinedOutput()
	if err != nil {
		panic(string(out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// begin starts a program, which is killed at the end of the test at the latest.
func begin(t *testing.T, name string, args ...string) (out io.Reader, kill func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs, name), args...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return out, kill
}

// sidecar is `imquota serve --demo`, on a socket.
type sidecar struct {
	t       *testing.T
	address string
	store   string
	kill    func()
}

func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	dir := t.TempDir()
	s := &sidecar{t: t, address: "unix:" + dir + "/socket", store: "bolt:" + dir + "/demo.db"}
	s.start()
	return s
}

// start returns when it answers.
func (s *sidecar) start() {
	s.t.Helper()
	out, kill := begin(s.t, "imquota", "serve", "--demo", "--listen", s.address, "--http-listen", "off", "--store", s.store, "--log-level", "error")
	go func() { _, _ = io.Copy(io.Discard, out) }()
	s.kill = kill
	conn, err := grpc.NewClient(s.address, append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	_, err = imquotav1.NewQuotaServiceClient(conn).GetEntitlements(ctx, &imquotav1.GetEntitlementsRequest{AppId: 1400000001}, grpc.WaitForReady(true))
	if err != nil {
		s.t.Fatal(err)
	}
}

// site is an example that serves HTTP.
type site struct {
	t   *testing.T
	url string
}

func (s *sidecar) site(name string) *site {
	s.t.Helper()
	out, _ := begin(s.t, name, "-server", s.address, "-listen", "127.0.0.1:0")
	lines := bufio.NewScanner(out)
	lines.Scan()
	address, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		s.t.Fatalf("it says %q", lines.Text())
	}
	return &site{s.t, "http://" + address}
}

// browser leaves no connection behind.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (s *site) call(method, path, app string) (code int, header http.Header, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("App", app)
	r.Header.Set("User", "alice")
	answer, err := browser.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(raw)
}

// want expects a status and a part of what is said, and returns the header.
func (s *site) want(method, path, app string, code int, part string) http.Header {
	s.t.Helper()
	got, header, body := s.call(method, path, app)
	if got != code || !strings.Contains(body, part) {
		s.t.Errorf("%s %s of %s: %d %s", method, path, app, got, body)
	}
	return header
}

const (
	developer = "1400000001"
	standard  = "1400000002"
	premium   = "1400000003"
	suspended = "1400000005"
)

func TestGateway(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	g := s.site("gateway")
	const login, receipts = "/v1/login", "/v1/receipts"
	g.want("POST", login, developer, 200, "welcome, alice")
	g.want("POST", login, suspended, 403, "REASON_APP_SUSPENDED")
	g.want("POST", receipts, standard, 403, "REASON_FEATURE_NOT_IN_EDITION")
	if header := g.want("POST", receipts, premium, 200, "welcome, alice"); header.Get("Quota") != "" {
		t.Errorf("it was checked: %v", header)
	}

	s.kill()
	if header := g.want("POST", receipts, premium, 200, "welcome, alice"); header.Get("Quota") != "unchecked" {
		t.Errorf("it was not checked: %v", header)
	}
	if header := g.want("POST", login, developer, 503, "cannot be checked now"); header.Get("Retry-After") == "" {
		t.Errorf("nobody comes back: %v", header)
	}
	g.want("GET", "/debug/vars", "", 200, `"FailedOpen":1`)

	s.start()
	for deadline := time.Now().Add(30 * time.Second); ; {
		code, _, body := g.call("POST", login, developer)
		if code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("imquota is back: %d %s", code, body)
		}
	}
}

func TestGroupService(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	g := s.site("group-service")
	groups := func(id string) string { return "/v1/groups?type=live&app=" + developer + "&id=" + id }
	for i := range 10 {
		g.want("POST", groups(fmt.Sprint("g", i)), "", 200, "created")
	}
	g.want("POST", groups("one-too-many"), "", 429, `"quota":"live_groups"`)
	g.want("POST", groups("g0"), "", 409, "g0 exists")
	g.want("POST", groups(""), "", 500, "could not be checked")
	g.want("DELETE", groups("g3"), "", 200, "dissolved g3")
	g.want("POST", groups("fits-again"), "", 200, "created fits-again")
	s.kill()
	s.start()
	g.want("DELETE", groups("g4"), "", 200, "dissolved g4")
}

func TestBilling(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	run := func(args ...string) (string, error) {
		var out, complaint bytes.Buffer
		cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "billing"), append(args, "-server", s.address)...)
		cmd.Stdout, cmd.Stderr = &out, &complaint
		err := cmd.Run()
		return out.String() + complaint.String(), err
	}
	for _, args := range [][]string{{"-app", standard}, {"-app", standard, "-pay"}} {
		said, err := run(args...)
		if err != nil || !strings.Contains(said, "total, USD") || !strings.Contains(said, "good until") || strings.Contains(said, "is premium until") != (len(args) > 2) {
			t.Errorf("%v: %v\n%s", args, err, said)
		}
	}
	if said, err := run("-app", standard, "-pay"); err == nil || !strings.Contains(said, "FailedPrecondition") {
		t.Errorf("it is premium by now: %v\n%s", err, said)
	}
}
