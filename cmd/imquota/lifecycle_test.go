package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// create has the process take over an app.
func (p *process) create(app uint32, owner, imported string) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "import.json")
	if err := os.WriteFile(file, []byte(imported), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if got := p.ask("app", "create", "--app", fmt.Sprint(app), "--account", owner, "--import", file, "--actor", "ops"); got.code != exitFine {
		p.t.Fatalf("app %d: %+v", app, got)
	}
}

// ago is an instant as requests have it.
func ago(d time.Duration) string { return second(time.Now().Add(-d)) }

func second(at time.Time) string { return at.UTC().Truncate(time.Second).Format(time.RFC3339) }

const day = 24 * time.Hour

// TestGoldenLifecycle shows an app's life as a person sees it.
func TestGoldenLifecycle(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "golden.db"))
	p.create(8, "old", fmt.Sprintf(`{"createTime": "2021-05-01T00:00:00Z", "orders": [
		{"orderId": "o1", "edition": "standard", "months": 1, "startTime": %q, "endTime": %q, "cash": {"currencyCode": "USD", "amount": "399.00"}},
		{"orderId": "o2", "edition": "premium", "months": 24, "startTime": %[2]q, "nonRefundable": true, "refundTime": %[3]q,
		 "cash": {"currencyCode": "USD", "amount": "8000.00"}, "credit": {"currencyCode": "USD", "amount": "388.00"}}]}`,
		ago(40*day), ago(10*day), ago(day)))
	got := p.session(
		"app get --app 1400000004",
		"check login --app 1400000004 --user alice",
		"app get --app 1400000005",
		"check login --app 1400000005 --user alice",
		"app disable --app 1400000005 --actor ops --request-id d1",
		"app disable --app 1400000005 --actor somebody-else --request-id d1",
		"check login --app 1400000005 --user alice",
		"release leave-group --app 1400000005 --group g --user alice",
		"app enable --app 1400000005 --actor ops",
		"app renewal --app 1400000001 --mode none",
		"app renewal --app 1400000004 --mode automatic --months 3 --actor billing",
		"app renewal --app 1400000004 --mode automatic --months 25",
		"app override --app 1400000003 --quota friends --limit 5000 --until 2999-01-01T00:00:00Z --actor ops",
		"app override --app 1400000003 --quota friends --limit 5000 --until 2024-01-01T00:00:00Z",
		"app approve --app 1400000003 --feature push_all --at 2024-06-01T00:00:00+08:00 --actor ops --request-id a1",
		"app revoke --app 1400000003 --feature push_all --actor ops",
		"app revoke --app 1400000003 --feature teleport",
		"app migrate --app 1400000003 --actor ops",
		"app events --app 1400000003",
		"app events --app 1400000003 --limit 2",
		"app events --app 1400000004 --limit 1",
		"app delete --app 1400000002 --actor ops",
		"app disable --app 1400000002 --actor ops",
		"app get --app 1400000002",
		"app delete --app 1400000002 --actor ops",
		"app delete --app 1400000002 --actor ops",
		"app enable --app 1400000002 --actor ops",
		"check login --app 1400000002 --user alice",
		"app create --app 1400000002 --account demo",
		"app list --account demo",
		"app list --account demo --deleted",
		"app list --account old --deleted",
		"app get --app 8",
		"app migrate --app 8 --actor ops",
		"app migrate --app 8 --actor ops",
		"app get --app 9",
		"app events --app 9",
		"app disable --app 1400000001 --actor \u00e9mile",
	)
	golden(t, "lifecycle.txt", ofThisYear.ReplaceAllString(got, "INSTANT"))
}

// TestGoldenAccount shows what billers do, as a person sees it.
func TestGoldenAccount(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "golden.db"))
	p.create(9, "shop", `{"createTime": "2021-05-01T00:00:00Z", "orders": [
		{"orderId": "o1", "edition": "standard", "months": 1, "startTime": "2999-01-01T00:00:00+08:00", "cash": {"currencyCode": "USD", "amount": "399.00"}}]}`)
	pushed := time.Now().Add(-2 * day)
	got := p.session(
		"account show --account shop",
		"account bill --actor ops --account shop --bill 2024-06 --month 2024-06 --amount 12.30 --request-id b1 --pushed "+second(pushed),
		"account bill --actor ops --account shop --bill 2024-06 --month 2024-06 --amount 12.31",
		"account bill --actor ops --account shop --bill x --amount 12.345",
		"account bill --actor ops --account shop --bill x --amount 1 --currency EUR",
		"account bill --actor ops --account shop --bill x --amount 1 --month June",
		"account bill --actor ops --account shop --bill 2024-07 --month 2024-07 --amount 0",
		"check login --app 9 --user alice",
		"app get --app 9",
		"app list --account shop",
		"account notices --account shop --as-of "+second(pushed.Add(day)),
		"account pay --actor ops --account shop --bill 2024-06 --at "+ago(day),
		"account pay --actor ops --account shop --bill 2024-06 --at "+ago(0),
		"account pay --actor ops --account shop --bill 2024-08",
		"account notices --app 9 --as-of 2999-01-29T12:00:00+08:00",
		"app renewal --app 9 --mode automatic --months 2",
		"account notices --app 9 --as-of 2999-02-01T00:00:00+08:00",
		"account notices --app 9 --as-of 2998-01-01T00:00:00+08:00",
		"account notices --account nobody",
		"account show --account nobody",
		"account show --account demo",
	)
	golden(t, "account.txt", ofThisYear.ReplaceAllString(got, "INSTANT"))
}

// TestSuspendedForAllReasons: a denial names each reason and since when.
func TestSuspendedForAllReasons(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	why := func(reason imquotav1.SuspensionReason, since int64) *imquotav1.Suspension {
		return &imquotav1.Suspension{Reason: reason, Since: &timestamppb.Timestamp{Seconds: since}}
	}
	printDecision(&got, &imquotav1.Decision{ViolationCount: 1, Violations: []*imquotav1.Violation{{
		Reason: imquotav1.Reason_REASON_APP_SUSPENDED, Message: "the app is suspended", UpstreamCode: 60016,
		Suspensions: []*imquotav1.Suspension{
			why(imquotav1.SuspensionReason_SUSPENSION_REASON_REFUNDED, 0), why(imquotav1.SuspensionReason_SUSPENSION_REASON_OVERDUE, 86400),
		},
	}}}, "allowed", false)
	want := `denied
  APP_SUSPENDED: the app is suspended (upstream code 60016)
    refunded since 1970-01-01 00:00:00 UTC
    overdue since 1970-01-02 00:00:00 UTC
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestEntitlementsInGrace: who asks what an app may do learns until when.
func TestEntitlementsInGrace(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	got := p.ask("app", "entitlements", "--app", "1400000004")
	if got.code != exitFine || !strings.Contains(got.out, "standard edition, grace, ") || !strings.Contains(got.out, "the plan has expired: served until ") {
		t.Errorf("%+v", got)
	}
}

// TestActor: who changes an app is the one who runs the command, unless said.
func TestActor(t *testing.T) {
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	who := func() string {
		t.Helper()
		var out struct {
			Events []struct {
				Actor string `json:"actor"`
			} `json:"events"`
		}
		got := p.ask("app", "events", "--app", "1400000001", "--limit", "1", "-o", "json")
		if err := json.Unmarshal([]byte(got.out), &out); err != nil || len(out.Events) != 1 {
			t.Fatalf("%v: %+v", err, got)
		}
		return out.Events[0].Actor
	}
	p.ask("app", "disable", "--app", "1400000001")
	if got, me := who(), (&actorFlag{}).actor(); me == "" || got != me {
		t.Errorf("the log says %q, want %q", got, me)
	}
	t.Setenv("IMQUOTA_ACTOR", "on call")
	p.ask("app", "enable", "--app", "1400000001")
	if got := who(); got != "on call" {
		t.Errorf("the log says %q", got)
	}
}

func TestLoggable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"alice": "alice", `CORP\alice smith`: `CORP\alice smith`, "": "", "a\nb\x7f": "a?b?", "\u00e9mile": "?mile", "\xff": "?",
		strings.Repeat("\u00e9", 70): strings.Repeat("?", 64),
	} {
		if got := loggable(name); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestDemoOfAnyAge: however old the demo's store is, one app is in grace and one
// suspended, unless somebody took them further.
func TestDemoOfAnyAge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	opened, err := boltstore.Open(filepath.Join(t.TempDir(), "demo.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	apps := &account.Apps{Registry: opened, Catalog: catalog.Default, Now: func() time.Time { return now }}
	begin := func() {
		t.Helper()
		if err := makeDemo(t.Context(), opened, apps, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	stage := func(id uint32) account.Stage {
		t.Helper()
		app, err := apps.App(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return app.StateAt(now, nil, catalog.Default()).Stage
	}
	revision := func(id uint32) uint64 { // zero: there is no app yet
		app, err := apps.App(t.Context(), id)
		if err != nil {
			return 0
		}
		return app.Version.Revision
	}
	const inGrace, suspended = 1400000004, 1400000005
	for _, days := range []int{0, 0, 2, 200} {
		now = now.Add(time.Duration(days) * 24 * time.Hour)
		before := revision(inGrace)
		begin()
		if g, s := stage(inGrace), stage(suspended); g != account.Grace || s != account.Suspended {
			t.Errorf("%d days later: %v and %v", days, g, s)
		}
		if days == 0 && before != 0 && revision(inGrace) != before {
			t.Error("at once again: the app changed")
		}
	}
	events, err := opened.Events(t.Context(), inGrace, 0, 1)
	if err != nil || len(events) != 1 || events[0].Actor != "demo" || events[0].Action != "RefreshDemo" || len(events[0].Changes) != 2 {
		t.Errorf("the log says %+v, %v", events, err)
	}

	if _, err := apps.Disable(t.Context(), inGrace, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(48 * time.Hour)
	begin()
	if app, _ := apps.App(t.Context(), inGrace); len(app.Disabled) != 1 {
		t.Errorf("it is not disabled any more: %+v", app)
	}
	if _, err := apps.Delete(t.Context(), inGrace, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(48 * time.Hour)
	begin()
	if got := stage(inGrace); got != account.Deleted {
		t.Errorf("a deleted app is %v", got)
	}
	now = now.Add(200 * 24 * time.Hour)
	if _, err := apps.Reclaim(t.Context(), suspended, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	begin()
	if got := stage(suspended); got != account.Reclaimed {
		t.Errorf("a reclaimed app is %v", got)
	}
}

// TestStopInTheMiddle: what goes on in the background has ended before the store
// is closed, and nothing that was broken off looks like a fault.
func TestStopInTheMiddle(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "stop.db"))
	p.create(8, "old", `{"orders": [{"orderId": "o1", "edition": "standard", "months": 1, "startTime": "2024-05-01T00:00:00+08:00"}]}`)
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("exit code %d", code)
	}
	for _, l := range p.lines() {
		if l.Level == "ERROR" || l.Level == "STDERR" {
			t.Errorf("the log says %+v", l)
		}
	}
}

// scripted is a server whose answers a test writes.
type scripted struct {
	imquotav1.UnimplementedAppServiceServer
	imquotav1.UnimplementedBillingServiceServer

	reclaim func(context.Context, *imquotav1.ReclaimAppsRequest) (*imquotav1.ReclaimAppsResponse, error)
	notices func(*imquotav1.ListNoticesRequest) *imquotav1.ListNoticesResponse
	events  func(*imquotav1.ListAppEventsRequest) *imquotav1.ListAppEventsResponse
	imports func(context.Context, *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error)
	exports func(context.Context, *imquotav1.ExportUsageRequest) (*imquotav1.ExportUsageResponse, error)
}

func (s *scripted) ImportUsage(ctx context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
	return s.imports(ctx, in)
}

func (s *scripted) ExportUsage(ctx context.Context, in *imquotav1.ExportUsageRequest) (*imquotav1.ExportUsageResponse, error) {
	return s.exports(ctx, in)
}

func (s *scripted) ReclaimApps(ctx context.Context, in *imquotav1.ReclaimAppsRequest) (*imquotav1.ReclaimAppsResponse, error) {
	return s.reclaim(ctx, in)
}

func (s *scripted) ListNotices(_ context.Context, in *imquotav1.ListNoticesRequest) (*imquotav1.ListNoticesResponse, error) {
	return s.notices(in), nil
}

func (s *scripted) ListAppEvents(_ context.Context, in *imquotav1.ListAppEventsRequest) (*imquotav1.ListAppEventsResponse, error) {
	return s.events(in), nil
}

// start returns the address that it is served on.
func (s *scripted) start(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	imquotav1.RegisterAppServiceServer(g, s)
	imquotav1.RegisterBillingServiceServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

// TestReclaim: all steps, as one answer, each with its own patience; what was
// done before a fault is told.
func TestReclaim(t *testing.T) {
	t.Parallel()
	var dryRuns int
	fails := false
	s := &scripted{reclaim: func(ctx context.Context, in *imquotav1.ReclaimAppsRequest) (*imquotav1.ReclaimAppsResponse, error) {
		if in.GetDryRun() {
			dryRuns++
		}
		if left, ok := ctx.Deadline(); !ok || time.Until(left) < 50*time.Second {
			return nil, status.Error(codes.Internal, "the time for this step is short")
		}
		app := &imquotav1.ReclaimedApp{AppId: 7, AccountId: "a", State: imquotav1.AppState_APP_STATE_RECLAIMED, Since: &timestamppb.Timestamp{}}
		switch in.GetPageToken() {
		case "":
			return &imquotav1.ReclaimAppsResponse{Apps: []*imquotav1.ReclaimedApp{app}, Done: 1, Total: 2, NextPageToken: "next"}, nil
		case "next":
			if fails {
				return nil, status.Error(codes.Internal, "it broke")
			}
			return &imquotav1.ReclaimAppsResponse{Done: 2, Total: 2, NextPageToken: "last"}, nil
		}
		app.AppId, app.State = 1400000008, imquotav1.AppState_APP_STATE_DELETED
		return &imquotav1.ReclaimAppsResponse{Apps: []*imquotav1.ReclaimedApp{app}, Done: 2, Total: 2}, nil
	}}
	address := s.start(t)
	const table = `  APP         ACCOUNT  STATE      SINCE
  7           a        reclaimed  1970-01-01 00:00:00 UTC
`
	const second = "  1400000008  a        deleted    1970-01-01 00:00:00 UTC\n"
	got := run(t, "app", "reclaim", "--server", address, "--timeout", "1m")
	if diff := cmp.Diff(result{out: table + second + "the counters of 2 apps were removed\n"}, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got = run(t, "app", "reclaim", "--dry-run", "--server", address, "--timeout", "1m")
	if dryRuns != 3 || !strings.HasSuffix(got.out, "the counters of 2 apps would be removed: a dry run\n") {
		t.Errorf("%d dry runs: %+v", dryRuns, got)
	}
	got = run(t, "app", "reclaim", "-o", "json", "--server", address, "--timeout", "1m")
	var out struct {
		Apps  []any  `json:"apps"`
		Done  string `json:"done"`
		Total string `json:"total"`
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil || len(out.Apps) != 2 || out.Done != "2" || out.Total != "2" {
		t.Errorf("as JSON: %v: %+v", err, got)
	}
	fails = true
	got = run(t, "app", "reclaim", "--server", address, "--timeout", "1m")
	if got.code != exitFault || !strings.Contains(got.err, "it broke") || !strings.Contains(got.out, "the counters of 1 app were removed, and not all apps were looked at") {
		t.Errorf("broken off: %+v", got)
	}
	got = run(t, "app", "reclaim", "-o", "json", "--server", address, "--timeout", "1m")
	if got.code != exitFault || json.Unmarshal([]byte(got.out), new(map[string]faultJSON)) != nil {
		t.Errorf("broken off, as JSON: %+v", got)
	}
}

const nothingLeft = "nothing is left of apps that are gone\n"

// TestReclaimRemoves: what is reclaimed has no counters afterwards, whether the
// command was first or the server.
func TestReclaimRemoves(t *testing.T) {
	t.Parallel()
	p := serve(t, "--store", "bolt:"+filepath.Join(t.TempDir(), "x.db"))
	p.create(8, "old", `{"orders": [{"orderId": "o1", "edition": "standard", "months": 1, "startTime": "2024-05-01T00:00:00+08:00"}]}`)
	if got := p.ask("app", "reclaim"); got.code != exitFine || !strings.Contains(got.out, "the counters of 1 app were removed") && got.out != nothingLeft {
		t.Errorf("%+v", got)
	}
	if got := p.ask("app", "reclaim"); got.code != exitFine || got.out != nothingLeft {
		t.Errorf("again: %+v", got)
	}
	if got := p.ask("app", "get", "--app", "8"); !regexp.MustCompile(`counters +removed at`).MatchString(got.out) {
		t.Errorf("%+v", got)
	}
}

// TestNoticesOfManyPages: all pages, as one answer in the sequence of time, and
// a notice that is on two of them once.
func TestNoticesOfManyPages(t *testing.T) {
	t.Parallel()
	notice := func(id string, seconds int64) *imquotav1.Notice {
		return &imquotav1.Notice{
			NoticeId: id, Kind: imquotav1.NoticeKind_NOTICE_KIND_BILL_OPEN, NoticeTime: &timestamppb.Timestamp{Seconds: seconds},
			DueTime: &timestamppb.Timestamp{Seconds: seconds}, Message: "pay",
		}
	}
	pages := map[string]*imquotav1.ListNoticesResponse{
		"":  {Notices: []*imquotav1.Notice{notice("b", 1), notice("c", 2)}, NextPageToken: "2"},
		"2": {NextPageToken: "3"},
		"3": {Notices: []*imquotav1.Notice{notice("a", 0), notice("b", 1)}},
	}
	s := &scripted{notices: func(in *imquotav1.ListNoticesRequest) *imquotav1.ListNoticesResponse { return pages[in.GetPageToken()] }}
	got := run(t, "account", "notices", "--server", s.start(t))
	want := `  NOTICE     WHEN                     DUE                      ID  MESSAGE
  bill open  1970-01-01 00:00:00 UTC  1970-01-01 00:00:00 UTC  a   pay
  bill open  1970-01-01 00:00:01 UTC  1970-01-01 00:00:01 UTC  b   pay
  bill open  1970-01-01 00:00:02 UTC  1970-01-01 00:00:02 UTC  c   pay
`
	if diff := cmp.Diff(want, got.out+got.err); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	pages[""] = &imquotav1.ListNoticesResponse{}
	if got := run(t, "account", "notices", "--server", s.start(t)); got.out != "nobody is to be told anything\n" {
		t.Errorf("%+v", got)
	}
}

// TestEventsOfManyPages: as many as were asked for, however long pages are.
func TestEventsOfManyPages(t *testing.T) {
	t.Parallel()
	const all = 700
	s := &scripted{events: func(in *imquotav1.ListAppEventsRequest) *imquotav1.ListAppEventsResponse {
		first := all
		if token := in.GetPageToken(); token != "" {
			if _, err := fmt.Sscan(token, &first); err != nil {
				t.Error(err)
			}
		}
		out := &imquotav1.ListAppEventsResponse{}
		for revision := first; revision > 0 && int32(len(out.GetEvents())) < in.GetPageSize(); revision-- {
			out.Events = append(out.Events, &imquotav1.AppEvent{
				Revision: uint64(revision), Action: "DisableApp", EventTime: &timestamppb.Timestamp{}, Actor: "ops", ActorCertified: true,
			})
		}
		if n := first - len(out.GetEvents()); n > 0 {
			out.NextPageToken = fmt.Sprint(n)
		}
		return out
	}}
	address := s.start(t)
	for limit, want := range map[int]int{0: all, 1: 1, 20: 20, 301: 301, 700: 700, 701: all} {
		got := run(t, "app", "events", "--app", "1", "--limit", fmt.Sprint(limit), "--server", address)
		if n := strings.Count(got.out, "DisableApp"); n != want || strings.Contains(got.out, "older ones") != (want < all) {
			t.Errorf("--limit %d: %d events: %.300s", limit, n, got.out)
		}
		if !strings.Contains(got.out, "ops (certified)") {
			t.Errorf("nobody is certified: %.300s", got.out)
		}
	}
}
