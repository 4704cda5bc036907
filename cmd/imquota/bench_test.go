package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/imquota/imquota/bench"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// benchRun runs the real program, which starts itself, with what it leaves behind
// in a folder of the test. It ends with nothing left of that, neither files nor
// processes.
func benchRun(t *testing.T, args ...string) result {
	t.Helper()
	cmd, leftovers := benchCommand(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its exit code says it
	if left := leftovers(); len(left) > 0 {
		t.Errorf("%v leaves %v", args, left)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func benchCommand(t *testing.T, args ...string) (cmd *exec.Cmd, leftovers func() []string) {
	t.Helper()
	dir := t.TempDir()
	cmd = exec.Command(binary, append([]string{"bench"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "IMQUOTA_LISTEN=nonsense", "IMQUOTA_STORE=nonsense:", "IMQUOTA_TLS_CERT=nonsense")
	return cmd, func() []string {
		var left []string
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			left = append(left, f.Name())
		}
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			line, _ := os.ReadFile(path)
			cwd, _ := os.Readlink(filepath.Join(filepath.Dir(path), "cwd")) // Redis shows no arguments
			if bytes.Contains(line, []byte(dir)) || strings.Contains(cwd, dir) {
				left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
		return left
	}
}

// short is a load that takes little of a test's time.
func short(args ...string) []string {
	return append([]string{"--duration", "200ms", "--warmup", "0s", "--rounds", "2", "--users", "60", "-o", "json"}, args...)
}

// reported is the report of a run that went well: whatever was measured has
// figures, and nothing failed.
func reported(t *testing.T, got result) *bench.Report {
	t.Helper()
	if got.code != exitFine {
		t.Fatalf("%+v", got)
	}
	report := &bench.Report{}
	decoder := json.NewDecoder(strings.NewReader(got.out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(report); err != nil {
		t.Fatalf("%v of %s", err, got.out)
	}
	for _, row := range report.Rows {
		for i := range row.Sides {
			f := &row.Sides[i]
			if f.PerSecond <= 0 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P999 || f.Checks <= 0 || f.Denied != 0 || len(f.Failures) > 0 || len(f.Curve) == 0 {
				t.Errorf("%s, %d callers: %+v", row.Mix, row.Callers, f)
			}
		}
	}
	return report
}

// sidesOf names the sides of each row.
func sidesOf(r *bench.Report) (all []string) {
	for _, row := range r.Rows {
		line := fmt.Sprintf("%s %d:", row.Mix, row.Callers)
		for i := range row.Sides {
			line += " " + row.Sides[i].Name
		}
		all = append(all, line)
	}
	return all
}

func TestBenchOnItsOwnFile(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "report.html")
	got := benchRun(t, short("--mix", "messages,relations", "--callers", "1,4", "--duration", "100ms", "--apps", "3", "--html", page)...)
	r := reported(t, got)
	want := []string{
		"messages 1: imquota echo typed", "messages 4: imquota echo typed", "relations 1: imquota echo typed bbolt", "relations 4: imquota echo typed bbolt",
	}
	if got := sidesOf(r); !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	quota, echo := r.Rows[1].Sides[0], r.Rows[1].Sides[1]
	if quota.CPU == nil || *quota.CPU <= 0 || quota.RedisCPU != nil || quota.RoundTrips != nil {
		t.Errorf("on a file: %+v", quota)
	}
	if echo.Ratio == nil || *echo.Ratio <= 0 || echo.CPU == nil || *echo.CPU <= 0 {
		t.Errorf("the echo: %+v", echo)
	}
	if floor := r.Rows[3].Sides[3]; floor.Ratio == nil || *floor.Ratio <= 0 {
		t.Errorf("bbolt: %+v", floor)
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.Contains(text, []byte("<svg")) || !bytes.Contains(text, []byte("relations")) {
		t.Errorf("the page: %.100s, %v", text, err)
	}
	if strings.Contains(got.err, "\r") || !strings.Contains(got.err, "measuring messages, 1 caller\nmeasuring messages, 4 callers\n") {
		t.Errorf("the progress, of no terminal: %q", got.err)
	}
}

func TestBenchOnItsOwnRedis(t *testing.T) {
	t.Parallel()
	r := reported(t, benchRun(t, short("--store", "redis", "--mix", "uniform,features", "--callers", "1", "--batch", "4", "--view", "basic", "--request-ids", "--over", "unix")...))
	if got, want := sidesOf(r), []string{"uniform 1: imquota echo typed Redis", "features 1: imquota echo typed"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	counted, local := r.Rows[0].Sides[0], r.Rows[1].Sides[0]
	if counted.RedisCPU == nil || *counted.RedisCPU <= 0 || counted.RoundTrips == nil || *counted.RoundTrips < .2 || *counted.RoundTrips > .5 {
		t.Errorf("four checks, and one pipeline of them: %+v", counted)
	}
	if local.RoundTrips == nil || *local.RoundTrips > .2 { // a machine that is busy has records read anew
		t.Errorf("features ask Redis: %+v", local)
	}
	if floor := r.Rows[0].Sides[3]; floor.Ratio == nil || *floor.Ratio <= 0 || floor.RoundTrips == nil || *floor.RoundTrips < .2 || *floor.RoundTrips > .3 {
		t.Errorf("the floor carries four checks in a script: %+v", floor)
	}
}

// TestBenchOnAForeignRedis leaves it as it was.
func TestBenchOnAForeignRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	admin := server.Client()
	if err := admin.Set(t.Context(), "imquota:store", "theirs", 0).Err(); err != nil {
		t.Fatal(err)
	}
	reported(t, benchRun(t, short("--store", "redis://"+server.Addr+"?timeout=2s", "--mix", "hot-app,logins", "--callers", "2", "--no-floors")...))
	if left := admin.Keys(t.Context(), "*").Val(); !slices.Equal(left, []string{"imquota:store"}) {
		t.Errorf("it leaves %q", left)
	}
}

func TestBenchOpenLoop(t *testing.T) {
	t.Parallel()
	r := reported(t, benchRun(t, short("--rate", "200", "--mix", "features", "--duration", "500ms", "--no-floors", "--callers", "2")...))
	if got, want := sidesOf(r), []string{"features 2: imquota"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if f := r.Rows[0].Sides[0]; f.Checks+f.Unsent != 100 {
		t.Errorf("100 calls were due: %+v", f)
	}
}

func TestBenchTarget(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "target.db"), "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	quotas, admin := p.addresses[0], p.addresses[1]
	got := benchRun(t, short("--target", quotas, "--target-admin", admin, "--target-metrics", "http://"+p.http+"/metrics", "--mix", "relations", "--callers", "2", "--apps", "3")...)
	r := reported(t, got)
	if want := []string{"relations 2: imquota echo typed"}; !slices.Equal(sidesOf(r), want) {
		t.Errorf("rows %q, want %q", sidesOf(r), want)
	}
	if f := r.Rows[0].Sides[0]; f.CPU == nil || *f.CPU <= 0 {
		t.Errorf("with the target's metrics: %+v", f)
	}
	if strings.Contains(got.err, "are left") {
		t.Errorf("its apps are left: %s", got.err)
	}
	again := benchRun(t, short("--target", quotas, "--app", "1400000002,1400000003", "--no-fill", "--mix", "relations", "--callers", "2")...)
	if r := reported(t, again); r.Setup.Apps != 2 {
		t.Errorf("apps that are there: %+v", r.Setup)
	}
	third := run(t, append([]string{"bench"}, short("--target", quotas, "--app", "1400000002,1400000003", "--no-fill", "--no-floors", "--mix", "relations", "--callers", "2")...)...)
	reported(t, third) // its groups have names of their own

	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no AppService":         {nil, "name where it does with --target-admin, or apps that are there with --app"},
		"app missing":           {[]string{"--app", "5"}, "app 5 is not there"},
		"edition missing":       {[]string{"--target-admin", admin, "--edition", "gold"}, `unknown edition "gold"`},
		"no TLS":                {[]string{"--tls"}, "no server answers at " + quotas},
		"no page of metrics":    {[]string{"--target-metrics", "http://" + p.http + "/nothing"}, "--target-metrics: "},
		"no Redis":              {[]string{"--target-redis", "redis://127.0.0.1:1"}, "--target-redis: "},
		"no echo":               {[]string{"--target-admin", admin, "--target-echo", "127.0.0.1:1"}, "--target-echo: "},
		"no such certificate":   {[]string{"--tls", "--tls-ca", "/nonexistent"}, "--tls-ca: "},
		"certificates, no TLS":  {[]string{"--tls-ca", "/nonexistent"}, "need --tls"},
		"no folder of the page": {[]string{"--html", "/nonexistent/report.html"}, "--html: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, append([]string{"bench"}, short(append(tt.args, "--target", quotas)...)...)...)
			if got.code != exitFault || !strings.Contains(got.err, tt.want) || strings.Contains(got.err, "rpc error") || got.out != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestBenchTellsDenials: a suspended app is denied everything, which is an answer.
func TestBenchTellsDenials(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "denied.db"))
	got := run(t, "bench", "--target", p.addresses[0], "--app", "1400000002,1400000005", "--users", "10", "--no-fill", "--no-floors", "--mix", "features",
		"--duration", "200ms", "--warmup", "0s", "--callers", "2")
	if got.code != exitFine || !strings.Contains(got.out, "denied: ") || strings.Contains(got.out, "errors") {
		t.Errorf("%+v", got)
	}
}

// TestBenchTellsErrors: a server that takes one call at once refuses others.
func TestBenchTellsErrors(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--max-in-flight", "1", "--store", "bolt:"+filepath.Join(t.TempDir(), "errors.db"))
	got := run(t, "bench", "--target", p.addresses[0], "--app", "1400000002", "--users", "10", "--no-fill", "--no-floors", "--mix", "uniform",
		"--duration", "300ms", "--warmup", "0s", "--callers", "16")
	if got.code != exitFault || !strings.Contains(got.out, "errors OVERLOADED: overloaded: ") || !strings.Contains(got.err, "calls failed with OVERLOADED: ") {
		t.Errorf("%+v", got)
	}
}

func TestBenchOverTLS(t *testing.T) {
	t.Parallel()
	trusted := newAuthority(t, t.TempDir(), "authority")
	cert, key := trusted.issue("localhost")
	p := serve(t, "--demo", "--tls-cert", cert, "--tls-key", key, "--store", "bolt:"+filepath.Join(t.TempDir(), "tls.db"))
	reported(t, run(t, append([]string{"bench"}, short("--target", p.addresses[0], "--tls", "--tls-ca", trusted.file, "--mix", "features", "--callers", "2", "--no-floors")...)...))
	if got := run(t, append([]string{"bench"}, short("--target", p.addresses[0])...)...); got.code != exitFault || !strings.Contains(got.err, "no server answers") {
		t.Errorf("without --tls: %+v", got)
	}
}

// interrupt runs a command until it has said something, interrupts it there, and
// returns what it had printed when it was over. Meanwhile is called before.
func interrupt(t *testing.T, cmd *exec.Cmd, said string, meanwhile func()) (out string) {
	t.Helper()
	var printed bytes.Buffer
	cmd.Stdout = &printed
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	heard := ""
	for buffer := make([]byte, 1000); !strings.Contains(heard, said); {
		n, err := stderr.Read(buffer)
		if heard += string(buffer[:n]); err != nil {
			t.Fatalf("%v after %q", err, heard)
		}
	}
	meanwhile()
	_ = cmd.Process.Signal(syscall.SIGINT)
	_, _ = io.Copy(io.Discard, stderr)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFault || ctx.Err() != nil {
		t.Errorf("exit code %d", code)
	}
	return printed.String()
}

// TestBenchInterrupted stops at once, with all that it started.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	cmd, leftovers := benchCommand(t, "--store", "redis", "--users", "100", "--duration", "1h")
	out := interrupt(t, cmd, "measuring", func() {
		if got := leftovers(); len(got) != 4 { // a folder, Redis, the sidecar and the echo
			t.Errorf("while it runs: %q", got)
		}
	})
	if got := leftovers(); len(got) > 0 || out != "" {
		t.Errorf("afterwards: %q; printed: %q", got, out)
	}
}

// TestBenchKeepsWhatIsDone: of a run that is broken off, what was measured is told.
func TestBenchKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "report.html")
	cmd, _ := benchCommand(t, short("--mix", "features", "--callers", "1,2,3", "--duration", "1s", "--no-floors", "--html", page)...)
	var r bench.Report
	err := json.Unmarshal([]byte(interrupt(t, cmd, "2 callers", func() {})), &r)
	if err != nil || !r.IsPartial || len(r.Rows) != 1 || r.Rows[0].Callers != 1 || r.Rows[0].Sides[0].Checks == 0 {
		t.Errorf("%v: %+v", err, r)
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.Contains(text, []byte("It ended before all was measured.")) {
		t.Errorf("the page: %.100s, %v", text, err)
	}
	goals, _ := benchCommand(t, "--goals", "--duration", "200ms", "--warmup", "0s", "--rounds", "1", "--users", "300", "--apps", "20")
	if out := interrupt(t, goals, "measuring counted", func() {}); !strings.Contains(out, "local decisions") || strings.Contains(out, "embedded") {
		t.Errorf("goals: %s", out)
	}
}

func TestBenchGoals(t *testing.T) {
	t.Parallel()
	got := benchRun(t, "--goals", "--duration", "200ms", "--warmup", "0s", "--rounds", "1", "--users", "300", "--apps", "20", "-o", "json")
	var said struct {
		Goals    []bench.Goal    `json:"goals"`
		Failures []bench.Failure `json:"failures"`
	}
	if err := json.Unmarshal([]byte(got.out), &said); err != nil || got.code != exitFine || len(said.Failures) > 0 {
		t.Fatalf("%v of %+v", err, got)
	}
	numbers := make(map[int]int)
	nothing := 0 // was answered within this little time
	for _, g := range said.Goals {
		numbers[g.Goal]++
		if g.Figure == 0 {
			nothing++
		}
		if g.Figure < 0 || g.Wanted <= 0 || g.Name == "" {
			t.Errorf("%+v", g)
		}
	}
	if nothing > 4 {
		t.Errorf("%d figures are zero: %+v", nothing, said.Goals)
	}
	if want := map[int]int{1: 3, 2: 3, 3: 3, 4: 2, 6: 4, 8: 2}; fmt.Sprint(numbers) != fmt.Sprint(want) {
		t.Errorf("goals %v, want %v", numbers, want)
	}
}

// TestBenchWithoutRoom: why counters cannot be filled is said by imquota.
func TestBenchWithoutRoom(t *testing.T) {
	t.Parallel()
	got := benchRun(t, "--mix", "logins", "--edition", "developer", "--callers", "1")
	if got.code != exitFault || !strings.Contains(got.err, "checks are denied: users: 100 of 100 used") {
		t.Errorf("%+v", got)
	}
}

func TestBenchUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"--mix nonsense", `--mix: there is no mix "nonsense", only messages, features`},
		{"--callers 0", "--callers: 0 is not from 1 to 10000"},
		{"--callers 1,20000", "--callers: 20000"},
		{"--batch 257", "--batch: 257 is not from 0 to 256"},
		{"--connections 0", "--connections: 0"},
		{"--rate=-1", "--rate: -1"},
		{"--rate NaN", "--rate: NaN"},
		{"--duration 1ms", "--duration: 1ms"},
		{"--warmup=-1s", "--warmup: -1s"},
		{"--rounds 0", "--rounds: 0"},
		{"--apps 10 --users 9", "--users: 9 are fewer than one for each of 10 apps"},
		{"--apps=-1", "--apps: -1"},
		{"--over pigeon", "--over"},
		{"--view some", "--view"},
		{"--store file", `--store: "file" is not the URL of a Redis`},
		{"--store redis+cluster://h", "--store: a Sentinel or a Cluster"},
		{"--store redis://127.0.0.1?prefix=x", "--store: leave the option prefix out"},
		{"--store redis://127.0.0.1:1", "Redis at 127.0.0.1:1 cannot be reached"},
		{"--dir /nonexistent", "--dir: "},
		{"--target nonsense", `--target: "nonsense" is not HOST:PORT or unix:PATH`},
		{"--target 127.0.0.1:1", "--target: no server answers at 127.0.0.1:1"},
		{"--target 127.0.0.1:1 --target-echo x", "--target-echo: "},
		{"--target 127.0.0.1:1 --target-redis redis+cluster://h", "--target-redis: "},
		{"--target 127.0.0.1:1 --goals", "--goals: is for servers of its own"},
		{"--target 127.0.0.1:1 --app 1,2 --apps 3", "--apps: 3 is not how many --app names"},
		{"--app 7", "--app: is for --target alone"},
		{"--tls", "--tls: is for --target alone"},
		{"--target-metrics http://x", "--target-metrics: is for --target alone"},
		{"--strict", "--strict: is for --goals alone"},
		{"--goals --html x", "--html: is not for --goals"},
		{"--goals --rate 5", "--rate: is not for --goals"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := run(t, append([]string{"bench"}, strings.Fields(tt.args)...)...)
			if got.code != exitFault || !strings.Contains(got.err, tt.want) || got.out != "" {
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
}
