package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what a command printed with what a person looked at once.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// page returns a page of the docs, by its path in the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docsBlock finds the console sessions of a document.
var docsBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// anyInstant finds instants, which are examples in the docs.
var anyInstant = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z|[+-]\d\d:\d\d)`)

// TestDocsShowWhatHappens runs the sessions of the docs and compares every line,
// but for the instants.
func TestDocsShowWhatHappens(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"README.md", "docs/operating.md", "docs/billing.md", "docs/scaling.md"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			blocks := docsBlock.FindAllStringSubmatch(page(t, path), -1)
			if len(blocks) == 0 {
				t.Fatal("it shows no session")
			}
			p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "docs.db"))
			for _, block := range blocks {
				p.replay(block[1])
			}
		})
	}
}

// docsJSON finds the files that a document shows.
var docsJSON = regexp.MustCompile("(?s)```json\n(.*?)```")

// TestDocsShowImports: what the docs show for an existing customer is taken over.
func TestDocsShowImports(t *testing.T) {
	t.Parallel()
	blocks := docsJSON.FindAllStringSubmatch(page(t, "docs/operating.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("it shows no import")
	}
	p := serve(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "docs.db"))
	for _, block := range blocks {
		file := filepath.Join(t.TempDir(), "customer.json")
		if err := os.WriteFile(file, []byte(block[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.ask("app", "create", "--account", "acme", "--import", file); got.code != exitFine || !strings.Contains(got.out, "3 months") {
			t.Errorf("%+v", got)
		}
	}
}

// TestDocsShowQuotes: each request of the page about quotes is answered with what
// stands below it, and more.
func TestDocsShowQuotes(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	pairs := regexp.MustCompile("(?s)```http\nPOST (\\S+)\n(.*?)```\n\n```json\n(.*?)```").FindAllStringSubmatch(page(t, "docs/billing.md"), -1)
	if len(pairs) == 0 {
		t.Fatal("it shows no request")
	}
	for _, m := range pairs {
		code, text := p.fetch(m[1], m[2])
		var shown, got any
		if err := errors.Join(json.Unmarshal([]byte(m[3]), &shown), json.Unmarshal([]byte(text), &got)); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s: %v", code, text, err)
		}
		if diff := cmp.Diff(shown, like(shown, got)); diff != "" {
			t.Errorf("%s (-shown +answered):\n%s", m[1], diff)
		}
	}
}

// like leaves out of a JSON value what another does not have.
func like(shape, value any) any {
	switch s := shape.(type) {
	case map[string]any:
		v, _ := value.(map[string]any)
		out := make(map[string]any, len(s))
		for key, child := range s {
			out[key] = like(child, v[key])
		}
		return out
	case []any:
		v, _ := value.([]any)
		out := make([]any, len(v))
		for i := range v {
			if i < len(s) {
				out[i] = like(s[i], v[i])
			}
		}
		return out
	}
	return value
}

// replay runs the commands of a session and compares what they print.
func (p *process) replay(session string) {
	p.t.Helper()
	last := 0
	for _, step := range strings.Split("\n"+session, "\n$ ")[1:] {
		command, shown, _ := strings.Cut(step, "\n")
		happened := fmt.Sprintln(last)
		if command != "echo $?" {
			args := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(command, ".bin/"), "imquota "))
			for i, arg := range args {
				if strings.HasPrefix(arg, "docs/") { // commands are run in the repository's root
					args[i] = "../../" + arg
				}
			}
			if args[0] != "catalog" && args[0] != "bench" { // those ask no server
				args = append(args, "--server", p.addresses[0])
			}
			r := run(p.t, args...)
			last, happened = r.code, r.out+r.err
		}
		shown, happened = anyInstant.ReplaceAllString(shown, "INSTANT"), anyInstant.ReplaceAllString(happened, "INSTANT")
		if diff := cmp.Diff(strings.TrimSpace(shown), strings.TrimSpace(happened)); diff != "" {
			p.t.Errorf("%s (-shown +happened):\n%s", command, diff)
		}
	}
}

func TestGoldenCatalog(t *testing.T) {
	t.Parallel()
	golden(t, "catalog_show.txt", run(t, "catalog", "show").out)
	shown := run(t, "catalog", "show", "-o", "json").out
	var plans catalogJSON
	if err := json.Unmarshal([]byte(shown), &plans); err != nil {
		t.Fatal(err)
	}
	if len(plans.Editions) != 3 {
		t.Fatalf("JSON of the plans: %s", shown)
	}
	for i, want := range []limitJSON{{Quota: "users", Limit: 100}, {Quota: "users", Unlimited: true}, {Quota: "users", Unlimited: true}} {
		if diff := cmp.Diff(want, plans.Editions[i].Limits[0]); diff != "" {
			t.Errorf("users of %s (-want +got):\n%s", plans.Editions[i].Key, diff)
		}
	}
}

// session runs commands against the process and returns what a person sees.
func (p *process) session(lines ...string) string {
	p.t.Helper()
	var got strings.Builder
	for _, line := range lines {
		r := p.ask(strings.Fields(line)...)
		got.WriteString("$ imquota " + line + "\n" + r.out + r.err)
		if r.code != exitFine {
			got.WriteString("exit code " + string(rune('0'+r.code)) + "\n")
		}
	}
	return got.String()
}

// ofThisYear finds instants that no other run has.
var ofThisYear = regexp.MustCompile(`20(2[5-9]|[3-9]\d)-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z|[+-]\d\d:\d\d)`)

// TestGoldenDecisions shows every shape of an answer as a person sees it.
func TestGoldenDecisions(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "golden.db"))
	reset := regexp.MustCompile(`resets \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)
	got := p.session(
		"check login --app 1400000001 --user alice",
		"check login --app 1400000001 --user alice",
		"check add-friend --app 1400000001 --user alice --friend bob --request-id r1",
		"check add-friend --app 1400000001 --user alice --friend bob --request-id r1",
		"check add-friend --app 1400000001 --user alice --friend carol --dry-run",
		"check create-group --app 1400000001 --group g1 --type work --owner alice --member bob",
		"check create-group --app 1400000001 --group g1 --type work",
		"check join-group --app 1400000001 --group g1 --type Private --user carol",
		"check join-group --app 1400000001 --group g1 --type AVChatRoom --user carol",
		"check add-group-members --app 1400000003 --group live1 --type live --user carol",
		"usage show --app 1400000001",
		"usage show --app 1400000001 --user alice --group g1",
		"usage set --app 1400000001 --quota friends --subject alice --used 20",
		"check add-friend --app 1400000001 --user alice --friend dave",
		"check add-friend --app 1400000001 --user alice --friend dave --adjust",
		"usage set --app 1400000001 --quota friends --subject alice --used 5 --dry-run",
		"usage set --app 1400000001 --quota users --used 5",
		"release remove-friend --app 1400000001 --user alice --friend bob",
		"release leave-group --app 1400000001 --group nowhere --user zed",
		"release dissolve-group --app 1400000001 --group g1",
		"release delete-users --app 1400000002 --user alice",
		"check use-quota --app 1400000001 --quota friends --subject alice",
		"check use-feature --app 1400000003 --feature push_all",
		"check use-feature --app 1400000003 --feature av_call --platform windows",
		"app approve --app 1400000003 --feature push_all --at 2024-06-01T00:00:00+08:00",
		"app activate --app 1400000003 --add-on av_call",
		"app activate --app 1400000003 --add-on av_call",
		"app override --app 1400000003 --quota friends --limit 1",
		"app override --app 1400000003 --quota friends",
		"app list --account demo",
		"app list --account nobody",
		"app entitlements --app 1400000002",
		"app create --account new --app 77 --name Shop --region cn --edition standard",
		"app create --account new --app 77",
		"app get --app 78",
		"check login --app 78 --user alice",
		"usage show --app 78",
		"check login --app 1400000001 --user 123456789012345678901234567890123",
		"check login --app 0 --user 123456789012345678901234567890123",
	)
	text := reset.ReplaceAllString(got, "resets SOON")
	golden(t, "decisions.txt", anyInstant.ReplaceAllString(text, "INSTANT"))
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dead := func() string {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}()
	login := []string{"check", "login", "--app", "1400000001", "--user", "alice"}
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"-h"}, exitFine, ""},
		{"help of a command", append(login, "-h"), exitFine, ""},
		{"version", []string{"version"}, exitFine, ""},
		{"no command", nil, exitFault, "Usage: imquota <command>"},
		{"unknown command", []string{"chekc"}, exitFault, "chekc"},
		{"unknown flag", append(login, "--frend", "bob"), exitFault, "--frend"},
		{"missing flag", []string{"check", "login", "--app", "1"}, exitFault, "--user"},
		{"not a number", []string{"check", "login", "--app", "x", "--user", "a"}, exitFault, "--app"},
		{"negative app", []string{"check", "login", "--app=-1", "--user", "a"}, exitFault, "--app"},
		{"two modes at once", append(login, "--dry-run", "--adjust"), exitFault, "--adjust"},
		{"nobody answers", append(login, "--server", dead), exitFault, "no server answers at " + dead},
		{"unknown output", append(login, "-o", "xml"), exitFault, "--output"},
		{"unknown store", []string{"serve", "--store", "mysql://x:hunter2@y"}, exitFault, `--store: "mysql" is none of bolt:,`},
		{"a bolt store without a path", []string{"serve", "--store", "bolt:"}, exitFault, "--store: bolt: without a path"},
		{"the status of one", []string{"store", "status", "--store", "bolt:"}, exitFault, "--store: bolt: without a path"},
		{"a Redis URL without a host", []string{"serve", "--store", "redis://"}, exitFault, "--store"},
		{"a password is not printed", []string{"serve", "--store", "redis://me:hunter2@"}, exitFault, "--store"},
		{"an address without a port", append(login, "--server", "localhost"), exitFault, "--server: \"localhost\" is not HOST:PORT"},
		{"a URL as an address", append(login, "--server", "http://127.0.0.1:7400"), exitFault, "--server"},
		{"no patience", append(login, "--timeout", "0s"), exitFault, "--timeout"},
		{"records that are current for less than is known", []string{"serve", "--stale-max", "500ms"}, exitFault, "--stale-max: 500ms is not from 1s"},
		{"records of yesterday", []string{"serve", "--stale-max", "25h"}, exitFault, "--stale-max: 25h0m0s is not from 1s"},
		{"no calls at all", []string{"serve", "--max-in-flight", "0"}, exitFault, "--max-in-flight: 0 is not from 1"},
		{"no calls of one connection", []string{"serve", "--max-in-flight-per-connection", "0"}, exitFault, "--max-in-flight-per-connection: 0 is not from 1 to 1000000"},
		{"no connections", []string{"serve", "--max-connections", "0"}, exitFault, "--max-connections: 0 is not from 1 to 1000000"},
		{"a hold of no reservation", append(login, "--hold", "3s"), exitFault, "--hold: is for --reserve alone"},
		{"a reservation without an id", []string{"reservation", "commit", "--app", "1"}, exitFault, "--id"},
		{"a negative drain", []string{"serve", "--drain-timeout=-5s"}, exitFault, "--drain-timeout"},
		{"nothing to listen on", []string{"serve", "--listen", ""}, exitFault, "--listen: is empty"},
		{"TLS files without TLS", append(login, "--tls-ca", "x.pem"), exitFault, "--tls"},
		{"a catalog that is not there", []string{"catalog", "show", "--catalog", "nowhere.yaml"}, exitFault, "--catalog: open nowhere.yaml"},
		{"a health of nobody", []string{"health", "--server", dead}, exitFault, "no server answers at " + dead + ": dial tcp"},
		{"an override without an end", []string{"app", "override", "--app", "1", "--quota", "friends", "--limit", "1", "--until", "soon"}, exitFault, "--until"},
		{"an end of no override", []string{"app", "override", "--app", "1", "--quota", "friends", "--clear", "--until", "2030-01-01T00:00:00Z"}, exitFault, "--until: belongs to"},
		{"a renewal by nobody we know", []string{"app", "renewal", "--app", "1", "--mode", "always"}, exitFault, "--mode"},
		{"a renewal without a mode", []string{"app", "renewal", "--app", "1"}, exitFault, "--mode"},
		{"months of a renewal by hand", []string{"app", "renewal", "--app", "1", "--mode", "manual", "--months", "3"}, exitFault, "--months: belongs to --mode automatic"},
		{"less than no events", []string{"app", "events", "--app", "1", "--limit=-1"}, exitFault, "--limit: -1 is negative"},
		{"notices of two", []string{"account", "notices", "--app", "1", "--account", "a"}, exitFault, "can't be used together"},
		{"notices of an app that cannot be", []string{"account", "notices", "--app", "0"}, exitFault, "--app: must be greater than zero"},
		{"notices of an account without a name", []string{"account", "notices", "--account", ""}, exitFault, "--account: is empty"},
		{"notices as of no instant", []string{"account", "notices", "--as-of", "now"}, exitFault, "--as-of"},
		{"a bill of no amount", []string{"account", "bill", "--account", "a", "--bill", "b"}, exitFault, "--amount"},
		{"a bill pushed at no instant", []string{"account", "bill", "--account", "a", "--bill", "b", "--amount", "1", "--pushed", "june"}, exitFault, "--pushed"},
		{"a payment at no instant", []string{"account", "pay", "--account", "a", "--bill", "b", "--at", "june"}, exitFault, "--at"},
		{"reclaiming from nobody", []string{"app", "reclaim", "--server", dead}, exitFault, "no server answers at " + dead},
		{"not an instant", []string{"app", "approve", "--app", "1", "--feature", "f", "--at", "yesterday"}, exitFault, "--at"},
		{"no catalog file", []string{"catalog", "lint", "nowhere.yaml"}, exitFault, "nowhere.yaml"},
		{"no store to compact", []string{"store", "compact", "--store", "redis://127.0.0.1:1"}, exitFault, "--store"},
		{"a backup into nowhere", []string{"store", "backup"}, exitFault, "<file>"},
		{"a backup that is not there", []string{"store", "restore", "--store", "bolt:nowhere.db", "nowhere.json"}, exitFault, "open nowhere.json"},
		{"a backup that is none", []string{"store", "restore", "--store", "bolt:nowhere.db", "main.go"}, exitFault, "main.go: line 1: it is no backup"},
		{"an app to restore that cannot be", []string{"store", "restore", "--app", "x", "f.json"}, exitFault, "--app"},
		{"no store to report on", []string{"store", "status", "--store", "bolt:nowhere.db"}, exitFault, "nowhere.db"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, tt.args...)
			if got.code != tt.code || !strings.Contains(got.err, tt.says) {
				t.Errorf("%v: %+v, want code %d and %q", tt.args, got, tt.code, tt.says)
			}
			if tt.code == exitFault && got.out != "" {
				t.Errorf("a fault printed %q on stdout", got.out)
			}
			if strings.Contains(got.err, "hunter2") {
				t.Errorf("the password is in %q", got.err)
			}
		})
	}
	if _, err := os.Stat("nowhere.db"); err == nil {
		t.Error("asking for the status of a store made it")
	}
}

// TestHelpIsComplete walks all commands: each says what it does, each flag too,
// with its variable and default.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("IMQUOTA"), defaults)
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		if n.Type == kong.CommandNode {
			commands++
			path = append(path, n.Name)
			help := run(t, append(slices.Clip(path), "-h")...)
			if n.Help == "" || help.code != exitFine {
				t.Errorf("%v: code %d, help %q", path, help.code, n.Help)
			}
			for _, f := range n.Flags {
				if f.Help == "" || !strings.Contains(help.out, "--"+f.Name) || f.Name != "help" && f.Name != "version" && len(f.Envs) == 0 {
					t.Errorf("%v: --%s is not explained", path, f.Name)
				}
				if f.Default != "" && !strings.Contains(help.out, f.Default) {
					t.Errorf("%v: the default %q of --%s is not shown", path, f.Default, f.Name)
				}
			}
		}
		for _, child := range n.Children {
			walk(child, path)
		}
	}
	walk(parser.Model.Node, nil)
	if commands < 45 {
		t.Errorf("only %d commands were found", commands)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	dead := "127.0.0.1:1"
	t.Setenv("IMQUOTA_SERVER", dead)
	t.Setenv("IMQUOTA_APP", "1400000001")
	got := run(t, "check", "login", "--user", "alice")
	if got.code != exitFault || !strings.Contains(got.err, dead) {
		t.Errorf("%+v", got)
	}
}

func TestJSONOutput(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "json.db"))
	for _, line := range []string{
		"check login --app 1400000001 --user alice", "release leave-group --app 1400000001 --group g --user alice",
		"usage show --app 1400000001", "app get --app 1400000005", "app list --account demo", "app entitlements --app 1400000004",
		"app events --app 1400000001", "app reclaim --dry-run", "account show --account demo", "account notices",
		"app renewal --app 1400000004 --mode none", "account bill --account demo --bill b --amount 0", "account pay --account demo --bill b",
		"app disable --app 1400000002", "app enable --app 1400000002", "app migrate --app 1400000002",
		"usage set --app 1400000001 --quota friends --subject alice --used 3",
	} {
		r := p.ask(append(strings.Fields(line), "-o", "json")...)
		var out map[string]any
		if err := json.Unmarshal([]byte(r.out), &out); err != nil || len(out) == 0 {
			t.Errorf("%s: %v: %s", line, err, r.out)
		}
	}
	store := "bolt:" + filepath.Join(t.TempDir(), "a.db")
	for _, tt := range []struct {
		args []string
		code int
		key  string
		want any
	}{
		{[]string{"store", "init", "--store", store}, exitFine, "created", true},
		{[]string{"store", "init", "--store", store}, exitFine, "created", false},
		{[]string{"health", "--server", p.addresses[0]}, exitFine, "status", "SERVING"},
		{[]string{"store", "status", "--store", "redis://127.0.0.1:1"}, exitFault, "reason", "STORE_UNAVAILABLE"},
		{[]string{"catalog", "lint", "../../catalog/default.yaml"}, exitFine, "version", "2023-09-19"},
		{[]string{"catalog", "lint", "../../catalog/schema.json"}, exitFault, "file", "../../catalog/schema.json"},
	} {
		got := run(t, append(tt.args, "-o", "json")...)
		var out map[string]any
		if err := json.Unmarshal([]byte(got.out), &out); err != nil || got.code != tt.code || out[tt.key] != tt.want {
			t.Errorf("%v: code %d, %v: %s", tt.args, got.code, err, got.out)
		}
	}
	fault := p.ask("check", "login", "--app", "0", "--user", "", "-o", "json")
	var got struct {
		Error faultJSON `json:"error"`
	}
	if err := json.Unmarshal([]byte(fault.out), &got); err != nil || fault.code != exitFault || got.Error.Reason != "INVALID_FIELD" || len(got.Error.Fields) != 2 {
		t.Errorf("a fault as JSON: %v: %+v", err, fault)
	}
	r := p.ask("check", "use-feature", "--app", "1400000002", "--feature", "community", "-o", "json")
	if r.code != exitDenied || !strings.Contains(r.out, `"upstreamCode": 10059`) {
		t.Errorf("a denial as JSON: %+v", r)
	}
}

// lost is an output that is full.
type lost struct{}

func (lost) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutputThatIsLost(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"catalog", "show"}, {"catalog", "source"}, {"catalog", "show", "-o", "json"}, {"version"}} {
		var stderr strings.Builder
		if code := Run(t.Context(), args, lost{}, &stderr); code != exitFault || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: code %d, %q", args, code, stderr.String())
		}
	}
}

// TestNarrowTerminal: what does not fit loses the titles, which the keys say too.
func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	var narrow strings.Builder
	printCatalog(&narrow, catalog.Default(), 80)
	plans, _, _ := strings.Cut(narrow.String(), "NOTES")
	for line := range strings.Lines(plans) {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if !strings.Contains(plans, "\n  friends ") || strings.Contains(plans, "Friends of one user") {
		t.Errorf("the plans:\n%s", plans)
	}
}

func TestRedisMustBeInitialised(t *testing.T) {
	t.Parallel()
	url := "redis://" + redistest.Standalone(t).Addr
	p := serve(t, "--store", url)
	if got := healthOf(t, p.dial(0), ""); got != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("on an empty Redis: %v", got)
	}
	if got := p.ask("check", "login", "--app", "7", "--user", "alice"); got.code != exitFault || !strings.Contains(got.err, "STORE_NOT_INITIALIZED") {
		t.Errorf("on an empty Redis: %+v", got)
	}
	if got := run(t, "store", "status", "--store", url); got.code != exitFault || !strings.Contains(got.err, "imquota store init") {
		t.Errorf("status of an empty Redis: %+v", got)
	}
	seen := len(p.lines())
	if got := run(t, "store", "init", "--store", url); got.code != exitFine || !strings.Contains(got.out, "is initialised now") {
		t.Fatalf("init: %+v", got)
	}
	if got := run(t, "store", "init", "--store", url); got.code != exitFine || strings.Contains(got.out, "now") {
		t.Errorf("init again: %+v", got)
	}
	p.await(seen, says("ready"))
	if got := run(t, "store", "status", "--store", url); got.code != exitFine || !strings.Contains(got.out, "is ready") {
		t.Errorf("status: %+v", got)
	}
	if got := p.ask("app", "create", "--account", "a", "--app", "7"); got.code != exitFine {
		t.Fatalf("create: %+v", got)
	}
	second := serve(t, "--store", url)
	p.ask("check", "login", "--app", "7", "--user", "alice")
	if got := second.ask("check", "login", "--app", "7", "--user", "bob"); !strings.Contains(got.out, "users     1 → 2 of 100") {
		t.Errorf("a second sidecar on the same Redis: %+v", got)
	}
}

// TestLostMark: a Redis that lost its mark and kept apps is initialised anew
// only by name.
func TestLostMark(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	url := "redis://" + server.Addr
	run(t, "store", "init", "--store", url)
	p := serve(t, "--store", url)
	if got := p.ask("app", "create", "--account", "a", "--app", "7"); got.code != exitFine {
		t.Fatalf("create: %+v", got)
	}
	if err := server.Client().Del(t.Context(), "imq:store").Err(); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"table", "json"} {
		got := run(t, "store", "init", "--store", url, "-o", output)
		if got.code != exitFault || !strings.Contains(got.err, "STORE_NOT_INITIALIZED") || !strings.Contains(got.err, "--accept-loss") {
			t.Errorf("-o %s: %+v", output, got)
		}
	}
	if got := run(t, "store", "init", "--accept-loss", "--store", url); got.code != exitFine || !strings.Contains(got.out, "is initialised now") {
		t.Errorf("with the loss accepted: %+v", got)
	}
	if got := run(t, "store", "status", "--store", url); got.code != exitFine {
		t.Errorf("status: %+v", got)
	}
	if got := serve(t, "--store", url).ask("app", "get", "--app", "7"); got.code != exitFine {
		t.Errorf("an app that was not lost: %+v", got)
	}
}

func TestServesWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	server.Kill()
	p := serve(t, "--store", "redis://"+server.Addr)
	if got := p.ask("check", "login", "--app", "7", "--user", "alice"); got.code != exitFault || !strings.Contains(got.err, "STORE_UNAVAILABLE") {
		t.Errorf("%+v", got)
	}
	seen := len(p.lines())
	server.Restart()
	p.await(seen, says("never initialised"))
}

func TestCompact(t *testing.T) {
	t.Parallel()
	store := "bolt:" + filepath.Join(t.TempDir(), "c.db")
	p := serve(t, "--demo", "--store", store)
	if got := run(t, "store", "compact", "--store", store); got.code != exitFault || !strings.Contains(got.err, "in use") {
		t.Errorf("while it is served from: %+v", got)
	}
	p.ask("check", "login", "--app", "1400000001", "--user", "alice")
	p.signal(15)
	p.end()
	if got := run(t, "store", "compact", "--store", store); got.code != exitFine || !strings.Contains(got.out, "KiB, was") {
		t.Errorf("%+v", got)
	}
	p = serve(t, "--demo", "--store", store)
	if got := p.ask("usage", "show", "--app", "1400000001", "--quota", "users"); !strings.Contains(got.out, "1  of 100") {
		t.Errorf("after compacting: %+v", got)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	p := serve(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "import.db"))
	file := filepath.Join(t.TempDir(), "import.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`{"edition": "standard", "orders": [{"orderId": "o1", "edition": "standard", "months": 1,
		"startTime": %q, "endTime": %q,
		"cash": {"currencyCode": "USD", "amount": "399.00"}}], "approvals": [{"feature": "push_all", "approveTime": "2024-01-01T00:00:00Z"}],
		"createTime": "2023-01-01T00:00:00Z"}`, ago(40*day), ago(10*day)))
	got := p.ask("app", "create", "--account", "old", "--app", "9", "--import", file)
	golden(t, "import.txt", ofThisYear.ReplaceAllString(got.out+got.err, "INSTANT"))
	if got := p.ask("check", "login", "--app", "9", "--user", "a"); got.code != exitDenied || !strings.Contains(got.out, "APP_SUSPENDED") || !strings.Contains(got.out, "60020") {
		t.Errorf("an expired app: %+v", got)
	}
	write(`{"editon": "standard"}`)
	if got := p.ask("app", "create", "--account", "old", "--app", "10", "--import", file); got.code != exitFault || !strings.Contains(got.err, "editon") {
		t.Errorf("an unknown field: %+v", got)
	}
}

// docsCommand finds what the docs tell a reader to type.
// TestDocsNameTests: the tests that the README shows its promises by are there.
func TestDocsNameTests(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(page(t, "README.md"), -1)
	if len(named) < 20 {
		t.Fatalf("only %d tests are named", len(named))
	}
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // it is of this repository
		for _, match := range declared.FindAllSubmatch(text, -1) {
			there[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range named {
		if !there[match[1]] {
			t.Errorf("README.md names %s, which is nowhere", match[1])
		}
	}
}

var docsCommand = regexp.MustCompile("(?m)(?:`|^|\\$ )(?:\\.bin/)?imquota ((?:serve|check|release|usage|app|account|quote|catalog|store|health|version)\\b[^`#>\n]*)")

// TestDocsCommands parses every command line of the docs: none names a command
// or a flag that is not there.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docsCommand.FindAllStringSubmatch(string(text), -1) {
			found++
			parser, err := kong.New(&cli{}, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard), defaults)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(strings.Fields(m[1]))
			if err != nil && (strings.Contains(err.Error(), "unknown") || strings.Contains(err.Error(), "unexpected")) {
				t.Errorf("%s: imquota %s: %v", page, m[1], err)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands were found", found)
	}
}
