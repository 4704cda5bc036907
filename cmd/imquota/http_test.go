package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc"
)

// fetch calls the process over HTTP: a POST with a body, else a GET.
func (p *process) fetch(path, body string) (code int, text string) {
	p.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.http+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	return fetched(p.t, http.DefaultClient, request)
}

func fetched(t *testing.T, client *http.Client, request *http.Request) (code int, text string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(got)
}

func serveHTTP(t *testing.T, args ...string) *process {
	t.Helper()
	return serve(t, append([]string{"--http-listen", "127.0.0.1:0", "--store", "bolt:" + filepath.Join(t.TempDir(), "x.db")}, args...)...)
}

// TestHTTP: the same services as JSON, a denial an answer and an error a fault
// with its reason.
func TestHTTP(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	const check = "/imquota.v1.QuotaService/CheckQuota"
	for _, tt := range []struct {
		name, path, body string
		code             int
		says             []string
	}{
		{"allowed", check, `{"appId": 1400000001, "addFriend": {"userId": "alice", "friendId": "bob"}}`, http.StatusOK, []string{`"allowed":true`, `"used":"1"`, `"quota":"friends"`, `"remaining":"19"`}},
		{"denied", check, `{"appId": 1400000002, "useFeature": {"feature": "community"}}`, http.StatusOK, []string{`"allowed":false`, "REASON_FEATURE_NOT_IN_EDITION", `"upstreamCode":10059`, `"edition":"premium"`, `"amount":"699.00"`}},
		{"a field that is wrong", check, `{"appId": 0, "login": {"userId": "alice"}}`, http.StatusBadRequest, []string{`"reason":"INVALID_FIELD"`, `"field":"app_id"`}},
		{"a field that nobody knows", check, `{"appId": 1400000001, "requestID": "r", "login": {"userId": "alice"}}`, http.StatusBadRequest, []string{`"reason":"MALFORMED_REQUEST"`, "requestID"}},
		{"more than one", check, `{"appId": 1400000001, "login": {"userId": "a"}} {"appId": 1400000001, "login": {"userId": "b"}}`, http.StatusBadRequest, []string{`"reason":"MALFORMED_REQUEST"`}},
		{"nothing", check, ` `, http.StatusBadRequest, []string{`"reason":"INVALID_FIELD"`, `"field":"app_id"`}},
		{"no text", check, "\xff\xfe", http.StatusBadRequest, []string{`"reason":"MALFORMED_REQUEST"`}},
		{"no JSON", check, `appId=1`, http.StatusBadRequest, []string{`"reason":"MALFORMED_REQUEST"`}},
		{"too long", check, `{"requestId": "` + strings.Repeat("r", 5<<20) + `"}`, http.StatusBadRequest, []string{`"reason":"MALFORMED_REQUEST"`, "too large"}},
		{"no such app", "/imquota.v1.AppService/GetApp", `{"appId": 7}`, http.StatusNotFound, []string{`"reason":"APP_NOT_FOUND"`}},
		{"an app", "/imquota.v1.AppService/GetApp", `{"appId": 1400000003}`, http.StatusOK, []string{`"edition":"premium"`}},
		{"an account", "/imquota.v1.BillingService/GetAccount", `{"accountId": "demo"}`, http.StatusOK, []string{`"standing":"ACCOUNT_STANDING_GOOD"`, `"appCount":5`}},
		{"no such account", "/imquota.v1.BillingService/GetAccount", `{"accountId": "nobody"}`, http.StatusNotFound, []string{`"reason":"ACCOUNT_NOT_FOUND"`}},
		{"an account without its id", "/imquota.v1.BillingService/RecordBill", `{}`, http.StatusBadRequest, []string{`"field":"account_id"`, `"field":"bill_id"`, `"field":"amount"`}},
		{"no such method", "/imquota.v1.QuotaService/Nope", `{}`, http.StatusNotFound, nil},
		{"a GET", check, "", http.StatusMethodNotAllowed, []string{"by POST"}},
		{"alive", "/livez", "", http.StatusOK, []string{"ok"}},
		{"ready", "/readyz", "", http.StatusOK, []string{"ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := p.fetch(tt.path, tt.body)
			if code != tt.code {
				t.Errorf("code %d, want %d: %s", code, tt.code, text)
			}
			var compact bytes.Buffer
			if json.Compact(&compact, []byte(text)) == nil {
				text = compact.String()
			}
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in %s", want, text)
				}
			}
		})
	}
}

// TestPagesOfBrowsers: a page that a browser on this machine shows cannot make
// it count or change an app.
func TestPagesOfBrowsers(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://pages.example", "Host": "pages.example:7401"} {
		body := `{"appId": 1400000001, "login": {"userId": "alice"}}`
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.http+"/imquota.v1.QuotaService/CheckQuota", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(header, value)
		if header == "Host" { // a name that leads to loopback
			request.Host = value
		}
		if code, text := fetched(t, http.DefaultClient, request); code != http.StatusForbidden {
			t.Errorf("%s %s: %d %s", header, value, code, text)
		}
	}
	if got := p.ask("usage", "show", "--app", "1400000001", "--quota", "users"); !strings.Contains(got.out, "0  of 100") {
		t.Errorf("it was counted: %+v", got)
	}
}

// TestMetrics: what was decided is counted, over HTTP and gRPC alike, and no
// label has the id of an app, a user or a group.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	p.ask("check", "login", "--app", "1400000001", "--user", "alice-who")
	p.ask("check", "join-group", "--app", "1400000001", "--group", "group-who", "--type", "work", "--user", "alice-who")
	p.ask("check", "use-feature", "--app", "1400000002", "--feature", "community")
	p.ask("check", "use-feature", "--app", "1400000002", "--feature", "teleport")
	p.ask("app", "get", "--app", "7777")
	p.fetch("/imquota.v1.QuotaService/CheckQuota", `{"appId": 1400000001, "login": {"userId": "bob-who"}}`)
	p.fetch("/imquota.v1.QuotaService/ReleaseQuota", `{"appId": 1400000001, "leaveGroup": {"userId": "alice-who", "groupId": "group-who"}}`)
	p.fetch("/imquota.v1.QuotaService/BatchCheckQuota", `{"items": [{"appId": 1400000001, "login": {"userId": "alice-who"}}, {"appId": 0}]}`)

	code, page := p.fetch("/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("code %d: %s", code, page)
	}
	for _, want := range []string{
		`imquota_decisions_total{action="login",allowed="true",source="STORE"} 3`,
		`imquota_decisions_total{action="join_group",allowed="true",source="STORE"} 1`,
		`imquota_decisions_total{action="leave_group",allowed="true",source="STORE"} 1`,
		`imquota_decisions_total{action="use_feature",allowed="false",source="CACHE"} 1`,
		`imquota_denials_total{of="community",reason="FEATURE_NOT_IN_EDITION"} 1`,
		`imquota_faults_total{method="CheckQuota",reason="INVALID_FIELD"} 1`,
		`imquota_faults_total{method="BatchCheckQuota",reason="INVALID_FIELD"} 1`,
		`imquota_faults_total{method="GetApp",reason="APP_NOT_FOUND"} 1`,
		`imquota_call_duration_seconds_count{method="CheckQuota"} 5`,
		"imquota_store_ready 1",
		`imquota_build_info{version="`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, id := range []string{"-who", "14000000", "7777"} {
		if strings.Contains(page, id) {
			t.Errorf("the page holds %q", id)
		}
	}
}

func TestNotReadyOverHTTP(t *testing.T) {
	t.Parallel()
	p := serve(t, "--http-listen", "127.0.0.1:0", "--store", "redis://"+redistest.Standalone(t).Addr)
	if code, text := p.fetch("/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "imquota store init") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if got := p.ask("health"); got.code != exitFault || !strings.Contains(got.err, "cannot decide") || got.out != "not_serving\n" {
		t.Errorf("health: %+v", got)
	}
	if code, text := p.fetch("/livez", ""); code != http.StatusOK {
		t.Errorf("/livez: %d %s", code, text)
	}
	if _, page := p.fetch("/metrics", ""); !strings.Contains(page, "imquota_store_ready 0") {
		t.Error("the metrics say that the store is ready")
	}
	if code, text := p.fetch("/imquota.v1.QuotaService/CheckQuota", `{"appId": 1, "login": {"userId": "a"}}`); code != http.StatusServiceUnavailable || !strings.Contains(text, "STORE_NOT_INITIALIZED") {
		t.Errorf("a check: %d %s", code, text)
	}
}

// TestHTTPServesWhatGRPCDoes: with an address for operators, and beyond
// loopback, HTTP has QuotaService alone: nobody changes apps or pays bills there.
func TestHTTPServesWhatGRPCDoes(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"with an address for operators": {"--admin-listen", "127.0.0.1:0"},
		"beyond loopback":               {"--http-listen", "0.0.0.0:0", "--plaintext-beyond-loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serveHTTP(t, append([]string{"--demo"}, args...)...)
			if _, port, err := net.SplitHostPort(p.http); err == nil {
				p.http = net.JoinHostPort("127.0.0.1", port)
			}
			for method, body := range map[string]string{
				"AppService/GetApp": `{"appId": 1400000001}`, "AppService/DeleteApp": `{"appId": 1400000001}`,
				"BillingService/GetAccount": `{"accountId": "demo"}`, "BillingService/RecordBill": `{"accountId": "demo"}`,
			} {
				if code, text := p.fetch("/imquota.v1."+method, body); code != http.StatusNotImplemented {
					t.Errorf("%s: %d %s", method, code, text)
				}
			}
			if code, text := p.fetch("/imquota.v1.QuotaService/GetEntitlements", `{"appId": 1400000001}`); code != http.StatusOK {
				t.Errorf("QuotaService: %d %s", code, text)
			}
		})
	}
	got := run(t, "serve", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"), "--listen", "127.0.0.1:0", "--http-listen", "0.0.0.0:0")
	if got.code != exitFault || !strings.Contains(got.err, "--http-listen 0.0.0.0:0") {
		t.Errorf("plain text beyond loopback: %+v", got)
	}
}

// TestHTTPS: a client's certificate is asked for over HTTP too, and names the
// caller.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours := newAuthority(t, dir, "ours")
	cert, key := ours.issue("sidecar")
	p := serveHTTP(t, "--demo", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ours.file)
	pem, err := os.ReadFile(ours.file)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	befriend := func(caller, clientID string) string {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(ours.issue(caller))
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}}
		defer transport.CloseIdleConnections()
		body := `{"appId": 1400000001, "requestId": "r", "client": {"id": "` + clientID + `"}, "addFriend": {"userId": "alice", "friendId": "bob"}}`
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+p.http+"/imquota.v1.QuotaService/CheckQuota", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		code, text := fetched(t, &http.Client{Transport: transport}, request)
		if code != http.StatusOK {
			t.Fatalf("code %d: %s", code, text)
		}
		return strings.ReplaceAll(text, " ", "")
	}
	if got := befriend("gateway", "a"); !strings.Contains(got, `"replayed":false`) {
		t.Errorf("the first: %s", got)
	}
	if got := befriend("gateway", "b"); !strings.Contains(got, `"replayed":true`) {
		t.Errorf("the same caller: %s", got)
	}
	if got := befriend("groups", "a"); !strings.Contains(got, `"replayed":false`) {
		t.Errorf("another caller: %s", got)
	}
}

// TestHTTPAddressTaken: a second sidecar does without the default address, but
// not without one that it was told.
func TestHTTPAddressTaken(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", defaultHTTPListen)
	switch {
	case err == nil:
		defer l.Close()
	case !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()):
		t.Fatal(err)
	}
	p := serve(t, "--http-listen", defaultHTTPListen, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	p.await(0, says("no HTTP: its default address is taken"))
	if got := p.ask("app", "get", "--app", "1400000001"); got.code != exitFine {
		t.Errorf("gRPC: %+v", got)
	}
	other, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	got := run(t, "serve", "--store", "bolt:"+filepath.Join(t.TempDir(), "y.db"), "--listen", "127.0.0.1:0", "--http-listen", other.Addr().String())
	if got.code != exitFault || !strings.Contains(got.err, "--http-listen "+other.Addr().String()) {
		t.Errorf("%+v", got)
	}
}

// docsRequest finds the requests over HTTP that the docs show.
var docsRequest = regexp.MustCompile("(?s)```http\nPOST (\\S+)\n(.*?)```")

// TestDocsRequests sends what the docs show, and what the README gives curl.
func TestDocsRequests(t *testing.T) {
	t.Parallel()
	p := serveHTTP(t, "--demo")
	api, readme := page(t, "docs/api.md"), page(t, "README.md")
	found := docsRequest.FindAllStringSubmatch(api, -1)
	for _, m := range regexp.MustCompile(`curl -d '(.*?)' \\\s+127\.0\.0\.1:7401(\S+)`).FindAllStringSubmatch(readme, -1) {
		found = append(found, []string{m[0], m[2], m[1]})
	}
	if len(found) != 2 {
		t.Fatalf("%d requests, want one of each page", len(found))
	}
	for _, m := range found {
		if code, text := p.fetch(m[1], m[2]); code != http.StatusOK || !strings.Contains(strings.ReplaceAll(text, " ", ""), `"allowed":true`) {
			t.Errorf("%s: %d %s", m[0], code, text)
		}
	}
}

// TestDocsNameWhatThereIs: the metrics and reasons in the docs are those of the
// code, all of them.
func TestDocsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	operating, api := page(t, "docs/operating.md"), page(t, "docs/api.md")
	p := serveHTTP(t, "--demo")
	p.ask("check", "use-feature", "--app", "1400000002", "--feature", "community")
	p.ask("app", "get", "--app", "7")
	_, metrics := p.fetch("/metrics", "")
	for _, name := range regexp.MustCompile("`(imquota_[a-z_]+)`").FindAllStringSubmatch(operating, -1) {
		if !strings.Contains(metrics, "\n"+name[1]) {
			t.Errorf("there is no metric %s", name[1])
		}
	}
	obvious := map[string]bool{"UNSPECIFIED": true, "INVALID_FIELD": true, "MALFORMED_REQUEST": true, "APP_NOT_FOUND": true, "APP_EXISTS": true, "CALLER_GONE": true}
	for _, name := range imquotav1.ErrorReason_name {
		reason := strings.TrimPrefix(name, "ERROR_REASON_")
		if !obvious[reason] && !strings.Contains(operating+api, "`"+reason+"`") {
			t.Errorf("no page explains %s", reason)
		}
	}
	for _, names := range []map[int32]string{
		imquotav1.AppState_name, imquotav1.SuspensionReason_name, imquotav1.NoticeKind_name,
	} {
		for number, name := range names {
			if number != 0 && !strings.Contains(api, "`"+name+"`") {
				t.Errorf("docs/api.md does not name %s", name)
			}
		}
	}
	for _, service := range []grpc.ServiceDesc{imquotav1.AppService_ServiceDesc, imquotav1.BillingService_ServiceDesc} {
		for _, method := range service.Methods {
			if !strings.Contains(api, method.MethodName) {
				t.Errorf("docs/api.md does not name %s", method.MethodName)
			}
		}
	}
	_, rules, _ := strings.Cut(string(catalog.DefaultYAML()), "\naccount:\n")
	rules, _, _ = strings.Cut(rules, "\n\n")
	keys := regexp.MustCompile(`(?m)^ +([a-z_]+):`).FindAllStringSubmatch(rules, -1)
	if len(keys) < 10 {
		t.Errorf("only %d rules of accounts were found", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(page(t, "docs/catalog.md"), "| `"+key[1]+"` |") {
			t.Errorf("docs/catalog.md does not explain %s", key[1])
		}
	}
}
