package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// binary is the real program, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "imquota")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "imquota")
	if out, err := exec.Command("go", append([]string{"build", "-o", binary}, buildFlags...)...).CombinedOutput(); err != nil {
		panic(string(out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// process is a running `imquota serve`.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses []string // of the listeners of gRPC, in their order
	http      string   // of HTTP, if it is asked for
	stdout    bytes.Buffer

	mu   sync.Mutex
	logs []logLine
	news chan struct{} // closed and replaced at each line
	done chan struct{}
}

type logLine struct {
	Msg   string `json:"msg"`
	Error string `json:"error"`
	Level string `json:"level"`

	Protocol string `json:"protocol"`
	Services string `json:"services"`
}

// patience bounds how long a test waits for a process.
const patience = 30 * time.Second

// launch starts the program without waiting for it to listen.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, news: make(chan struct{}), done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"serve", "--log-format", "json"}, args...)...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), "IMQUOTA_HTTP_LISTEN=off") // many run at once; a flag says otherwise
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.note(lines.Bytes())
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *process) note(line []byte) {
	l := logLine{}
	if json.Unmarshal(line, &l) != nil {
		l = logLine{Msg: string(line), Level: "STDERR"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logs = append(p.logs, l)
	close(p.news)
	p.news = make(chan struct{})
}

// await waits for a line that match likes, beginning with line from, and
// returns the number of the line after it.
func (p *process) await(from int, match func(logLine) bool) int {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		logs, news := p.logs, p.news
		p.mu.Unlock()
		for i := from; i < len(logs); i++ {
			if match(logs[i]) {
				return i + 1
			}
		}
		select {
		case <-news:
		case <-p.done:
			if len(p.lines()) > len(logs) {
				continue // its last words
			}
			p.t.Fatalf("the process ended: %+v", p.lines())
		case <-timeout:
			p.t.Fatalf("waited too long: %+v", p.lines())
		}
	}
}

func (p *process) lines() []logLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs
}

func says(text string) func(logLine) bool {
	return func(l logLine) bool { return strings.Contains(l.Msg+" "+l.Error, text) }
}

// serve starts the program on free ports and waits until it answers.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := launch(t, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	p.await(0, func(l logLine) bool { return l.Msg == "ready" || l.Msg == "not ready" })
	for _, l := range p.lines() {
		switch address, ok := strings.CutPrefix(l.Msg, "listening on "); {
		case ok && l.Protocol == "HTTP":
			p.http = address
		case ok:
			p.addresses = append(p.addresses, address)
		}
	}
	return p
}

// end waits until the process has ended and returns its exit code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process does not end: %+v", p.lines())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// dial connects to one of the process's addresses.
func (p *process) dial(i int) *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient(p.addresses[i], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (p *process) quotas() imquotav1.QuotaServiceClient {
	return imquotav1.NewQuotaServiceClient(p.dial(0))
}

// result is what a command printed and ended with.
type result struct {
	out, err string
	code     int
}

// run runs a command line in this process.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), args, &stdout, &stderr)
	return result{stdout.String(), stderr.String(), code}
}

// ask runs a command that asks the process.
func (p *process) ask(args ...string) result {
	p.t.Helper()
	return run(p.t, append(args, "--server", p.addresses[0])...)
}

func TestEmbeddedStoreIsOneProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "one.db")
	serve(t, "--store", "bolt:"+path)
	second := launch(t, "--store", "bolt:"+path, "--listen", "127.0.0.1:0")
	if code := second.end(); code != exitFault {
		t.Errorf("exit code %d, want %d", code, exitFault)
	}
	if out := fmt.Sprint(second.lines()); !strings.Contains(out, "in use by another process") || !strings.Contains(out, path) {
		t.Errorf("stderr %q does not say which file is in use", out)
	}
}

func TestDemoKeepsWhatWasCounted(t *testing.T) {
	t.Parallel()
	store := "bolt:" + filepath.Join(t.TempDir(), "demo.db")
	first := serve(t, "--demo", "--store", store)
	first.await(0, says("a new one was made"))
	for _, app := range demoApps {
		if got := first.ask("app", "get", "--app", fmt.Sprint(app.id)); got.code != exitFine || !strings.Contains(got.out, app.edition) {
			t.Errorf("app %d: %+v", app.id, got)
		}
	}
	first.ask("check", "login", "--app", "1400000001", "--user", "alice")
	first.signal(syscall.SIGTERM)
	if code := first.end(); code != exitFine {
		t.Fatalf("exit code %d after SIGTERM: %+v", code, first.lines())
	}
	if hint := first.stdout.String(); !strings.Contains(hint, "check add-friend --app 1400000001 --user alice --friend bob --server "+first.addresses[0]) {
		t.Errorf("the demo says %q", hint)
	}
	second := serve(t, "--demo", "--store", store)
	second.await(0, says("store opened"))
	got := second.ask("usage", "show", "--app", "1400000001", "--quota", "users")
	if !strings.Contains(got.out, "users") || !strings.Contains(got.out, "1  of 100") {
		t.Errorf("usage after a restart: %+v", got)
	}
}

func TestStopLetsCallsFinish(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "stop.db"))
	quotas := p.quotas()
	const callers = 16
	var running sync.WaitGroup
	started := make(chan struct{}, callers)
	for i := range callers {
		running.Go(func() {
			for n := 0; ; n++ {
				_, err := quotas.CheckQuota(context.Background(), &imquotav1.CheckQuotaRequest{
					AppId: 1400000002, Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: fmt.Sprintf("u%d-%d", i, n)}},
				})
				if n == 0 {
					started <- struct{}{}
				}
				if err != nil {
					return // refused, not broken off: the exit code below tells
				}
			}
		})
	}
	for range callers {
		<-started
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("exit code %d", code)
	}
	running.Wait()
	for _, l := range p.lines() {
		if strings.Contains(l.Msg, "cut off") || l.Level == "STDERR" {
			t.Errorf("the log says %+v", l)
		}
	}
}

// TestVariablesOfTheServer: a probe that runs in the server's environment asks
// it as it would anywhere.
func TestVariablesOfTheServer(t *testing.T) {
	p := serve(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	t.Setenv("IMQUOTA_TLS_CERT", "server.pem")
	t.Setenv("IMQUOTA_TLS_KEY", "server.key")
	t.Setenv("IMQUOTA_TLS_CLIENT_CA", "clients.pem")
	if got := p.ask("health"); got.code != exitFine {
		t.Errorf("%+v", got)
	}
}

// TestEmptyVariables: set to nothing is not set. The default address may be in use,
// by the server that make run started: then it is the one that cannot be had.
func TestEmptyVariables(t *testing.T) {
	t.Setenv("IMQUOTA_LISTEN", "")
	t.Setenv("IMQUOTA_TLS_CERT", "")
	t.Setenv("IMQUOTA_DRAIN_TIMEOUT", "")
	p := launch(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"), "--plaintext-beyond-loopback")
	p.await(0, func(l logLine) bool { return strings.Contains(l.Msg, defaultListen) })
}

func TestCatalogReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plans.yaml")
	source := run(t, "catalog", "source").out
	write := func(old, replacement string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(source, old, replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("friends: 20", "friends: 21")
	p := serve(t, "--demo", "--catalog", path, "--store", "bolt:"+filepath.Join(t.TempDir(), "reload.db"))
	limit := func() string {
		return p.ask("usage", "show", "--app", "1400000001", "--user", "alice", "--quota", "friends").out
	}
	if got := limit(); !strings.Contains(got, "of 21") {
		t.Errorf("the catalog's own limit: %q", got)
	}
	write("friends: 20", "friends: -1")
	seen := len(p.lines())
	p.signal(syscall.SIGHUP)
	seen = p.await(seen, says("the catalog stays as it is"))
	if got := limit(); !strings.Contains(got, "of 21") {
		t.Errorf("after a broken file: %q", got)
	}
	write("friends: 20", "friends: 22")
	p.signal(syscall.SIGHUP)
	p.await(seen, says("catalog in force"))
	if got := limit(); !strings.Contains(got, "of 22") {
		t.Errorf("after a good file: %q", got)
	}
}

func TestBrokenCatalogDoesNotServe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broken.yaml")
	broken := strings.Replace(run(t, "catalog", "source").out, "friends: 20", "friends: -1", 1)
	broken = strings.Replace(broken, "currency: USD", "currency: usd", 1)
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0", "--catalog", path}, {"catalog", "lint", path}, {"catalog", "show", "--catalog", path}} {
		got := run(t, args...)
		if got.code != exitFault || !strings.Contains(got.err, path+":8: currency") || !strings.Contains(got.err, "editions.developer.limits.friends") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestKilledUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	store := "bolt:" + filepath.Join(t.TempDir(), "killed.db")
	const app, callers, rounds = 1400000002, 16, 3
	acknowledged := make(map[string]bool)
	for round := range rounds {
		p := serve(t, "--demo", "--store", store)
		quotas := p.quotas()
		var mu sync.Mutex
		var running sync.WaitGroup
		enough := make(chan struct{}, callers*1000)
		for i := range callers {
			running.Go(func() {
				for n := 0; ; n++ {
					user := fmt.Sprintf("r%d-c%d-n%d", round, i, n)
					out, err := quotas.CheckQuota(context.Background(), registration(app, user))
					if err != nil {
						return
					}
					if out.GetDecision().GetAllowed() {
						mu.Lock()
						acknowledged[user] = true
						mu.Unlock()
						enough <- struct{}{}
					}
				}
			})
		}
		for range 100 * (round + 1) {
			<-enough
		}
		p.signal(syscall.SIGKILL)
		running.Wait()
		p.end()
	}
	p := serve(t, "--demo", "--store", store)
	quotas := p.quotas()
	for user := range acknowledged {
		out, err := quotas.CheckQuota(t.Context(), registration(app, user))
		if err != nil {
			t.Fatal(err)
		}
		if !out.GetDecision().GetReplayed() {
			t.Errorf("%s was acknowledged and is lost", user)
		}
	}
	usage, err := quotas.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: app, Quotas: []string{"users"}})
	if err != nil {
		t.Fatal(err)
	}
	// One call of each caller may have been counted without its answer.
	used, least := usage.GetQuotas()[0].GetUsed(), int64(len(acknowledged))
	if used < least || used > least+callers*rounds {
		t.Errorf("%d users, want %d to %d", used, least, least+callers*rounds)
	}
}

func registration(app uint32, user string) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{
		AppId: app, RequestId: user,
		Action: &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: &imquotav1.RegisterUsers{UserIds: []string{user}}},
	}
}

func TestContextEndsServing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the test is over"))
	var out bytes.Buffer
	code := Run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--store", "bolt:" + filepath.Join(t.TempDir(), "x.db")}, &out, &out)
	if code != exitFine || !strings.Contains(out.String(), "stopped") {
		t.Errorf("code %d, output %q", code, out.String())
	}
}
