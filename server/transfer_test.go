package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// row is a row of an import.
func row(quota, subject string, used int64) *imquotav1.UsageRow {
	return &imquotav1.UsageRow{Quota: quota, Subject: subject, Used: used}
}

func seen(r *imquotav1.UsageRow, observed int64) *imquotav1.UsageRow {
	r.Observed = &observed
	return r
}

func ofType(r *imquotav1.UsageRow, groupType string) *imquotav1.UsageRow {
	r.GroupType = groupType
	return r
}

func within(r *imquotav1.UsageRow, window string) *imquotav1.UsageRow {
	r.Window = window
	return r
}

// importRows imports, and expects of each row "before>after", with "!" when it is
// replayed, or the field that is wrong.
func (s *sidecar) importRows(id string, dryRun bool, rows []*imquotav1.UsageRow, want ...string) {
	s.t.Helper()
	out, err := s.apps.ImportUsage(s.t.Context(), &imquotav1.ImportUsageRequest{AppId: 7, RequestId: id, DryRun: dryRun, Rows: rows})
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, r := range out.GetResults() {
		text := fmt.Sprintf("%d>%d", r.GetBefore(), r.GetAfter())
		if r.GetReplayed() {
			text += "!"
		}
		if e := r.GetError(); e != nil {
			text = upperReason(e.GetReason())
			for _, f := range e.GetFieldViolations() {
				text = f.GetField()
			}
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("import %s (-want +got):\n%s", id, diff)
	}
}

func upperReason(r imquotav1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// exportRows reads all that an app uses, a few rows at a time, and sorts it.
func (s *sidecar) exportRows(app uint32, size int32) (rows []*imquotav1.UsageRow) {
	s.t.Helper()
	ask := &imquotav1.ExportUsageRequest{AppId: app, PageSize: size}
	for {
		out, err := s.apps.ExportUsage(s.t.Context(), ask)
		if err != nil {
			s.t.Fatal(err)
		}
		rows = append(rows, out.GetRows()...)
		if ask.PageToken = out.GetNextPageToken(); ask.GetPageToken() == "" {
			break
		}
	}
	slices.SortFunc(rows, func(a, b *imquotav1.UsageRow) int {
		return strings.Compare(a.GetQuota()+" "+a.GetSubject(), b.GetQuota()+" "+b.GetSubject())
	})
	return rows
}

func (s *sidecar) wantRows(app uint32, want ...*imquotav1.UsageRow) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.exportRows(app, 3), protocmp.Transform()); diff != "" {
		s.t.Errorf("exported rows of app %d (-want +got):\n%s", app, diff)
	}
}

// TestImportUsage sets counters and members, whatever became of the rows beside
// them.
func TestImportUsage(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "standard")
		s.allow(check(7, &imquotav1.Login{UserId: "bob"}))
		s.allow(check(7, &imquotav1.RegisterUsers{UserIds: []string{"cy"}}))
		s.allow(check(7, &imquotav1.CreateGroup{GroupId: "g", GroupType: "public", MemberIds: []string{"bob"}}))
		rows := []*imquotav1.UsageRow{
			row("friends", "alice", 12), row("groups", "", 40), row("users", "alice", 1), row("free_mau", "alice", 1),
			row("users", "bob", 1), row("users", "cy", 0), row("free_mau", "visitor", 1), row("group_members", "g", 3),
			ofType(row("group_members", "old", 9), "Public"), within(row("daily_net_groups", "", -4), "2024-06-15"),
			seen(row("joined_groups", "bob", 5), 0),
		}
		changes := []string{"0>12", "1>40", "0>1", "0>1", "1>1", "1>0", "0>1", "1>3", "0>9", "1>-4", "1>6"}
		s.importRows("", true, rows, changes...)
		s.wantRows(7, // the dry run changed nothing
			within(row("daily_net_groups", "", 1), "2024-06-15"), within(row("free_mau", "bob", 1), "2024-06"), ofType(row("group_members", "g", 1), "public"),
			row("groups", "", 1), row("joined_groups", "bob", 1), row("users", "bob", 1), row("users", "cy", 1))
		s.importRows("i", false, rows, changes...)
		s.wantRows(7,
			within(row("daily_net_groups", "", -4), "2024-06-15"), within(row("free_mau", "alice", 1), "2024-06"), within(row("free_mau", "bob", 1), "2024-06"),
			within(row("free_mau", "visitor", 1), "2024-06"), row("friends", "alice", 12),
			ofType(row("group_members", "g", 3), "public"), ofType(row("group_members", "old", 9), "public"), row("groups", "", 40),
			row("joined_groups", "bob", 6), row("users", "alice", 1), row("users", "bob", 1))
		s.allow(check(7, &imquotav1.AddFriend{UserId: "alice", FriendId: "dan", OneWay: true}))
		s.importRows("i", false, rows, "13>13!", "40>40!", "1>1", "1>1", "1>1", "0>0", "1>1", "3>3!", "9>9!", "-4>-4!", "6>6!")
		usage, err := s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: 7, Quotas: []string{"users", "free_mau"}})
		if err != nil || usage.GetQuotas()[0].GetUsed() != 2 || usage.GetQuotas()[1].GetUsed() != 3 {
			t.Errorf("%v, %v", usage.GetQuotas(), err)
		}
	})
}

// TestImportRowErrors are of their rows alone.
func TestImportRowErrors(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "standard")
		s.allow(check(7, &imquotav1.CreateGroup{GroupId: "g", GroupType: "work", MemberIds: []string{"bob"}}))
		s.importRows("", false, []*imquotav1.UsageRow{
			row("nonsense", "", 1), row("", "", 1), row("friends", "", 1), row("groups", "alice", 1), row("friends", strings.Repeat("x", 33), 1),
			row("friends", "\n", 1), row("friends", "alice", -1), seen(row("friends", "alice", 1), -1), row("friends", "alice", 1<<53),
			row("users", "", 1), row("users", "alice", 2), seen(row("users", "alice", 1), 0), ofType(row("users", "alice", 1), "work"), row("users", strings.Repeat("x", 33), 1),
			row("free_mau", "alice", 0), within(row("free_mau", "alice", 1), "2024-05"), within(row("friends", "alice", 1), "2024-06"),
			row("group_members", "unknown", 3), ofType(row("group_members", "g", 3), "public"), ofType(row("group_members", "x", 3), "square"),
			row("friends", "alice", 3),
		},
			"quota", "quota", "subject", "subject", "subject",
			"subject", "used", "used", "used",
			"subject", "used", "observed", "group_type", "subject",
			"used", "window", "window",
			"group_type", "GROUP_TYPE_MISMATCH", "group_type",
			"0>3")
		for name, in := range map[string]*imquotav1.ImportUsageRequest{
			"no rows":       {AppId: 7},
			"too many rows": {AppId: 7, Rows: slices.Repeat([]*imquotav1.UsageRow{row("groups", "", 1)}, 1001)},
			"no app":        {Rows: []*imquotav1.UsageRow{row("groups", "", 1)}},
		} {
			if _, err := s.apps.ImportUsage(t.Context(), in); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.apps.ImportUsage(t.Context(), &imquotav1.ImportUsageRequest{AppId: 8, Rows: []*imquotav1.UsageRow{row("groups", "", 1)}}); status.Code(err) != codes.NotFound {
			t.Errorf("unknown app: %v", err)
		}
		for name, in := range map[string]*imquotav1.ExportUsageRequest{
			"no app": {}, "a page of less than nothing": {AppId: 7, PageSize: -1}, "no token": {AppId: 7, PageToken: "x"}, "no place": {AppId: 7, PageToken: "1718424000000~x"},
		} {
			if _, err := s.apps.ExportUsage(t.Context(), in); status.Code(err) != codes.InvalidArgument {
				t.Errorf("export, %s: %v", name, err)
			}
		}
	})
}

// TestImportOfAnExport takes all of it to another app.
func TestImportOfAnExport(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "premium")
		s.app(8, "premium")
		for i := range 40 {
			s.allow(check(8, &imquotav1.Login{UserId: fmt.Sprint("user ", i)}))
			s.allow(check(8, &imquotav1.AddFriend{UserId: "user 0", FriendId: fmt.Sprint("friend ", i)}))
		}
		s.allow(check(8, &imquotav1.CreateGroup{GroupId: "g", GroupType: "public", MemberIds: []string{"user 1", "user 2"}}))
		if _, err := s.ReleaseQuota(t.Context(), &imquotav1.ReleaseQuotaRequest{
			AppId: 8, Release: &imquotav1.ReleaseQuotaRequest_DeleteUsers{DeleteUsers: &imquotav1.DeleteUsers{UserIds: []string{"user 3"}}},
		}); err != nil {
			t.Fatal(err)
		}
		rows := s.exportRows(8, 5)
		if _, err := s.apps.ImportUsage(t.Context(), &imquotav1.ImportUsageRequest{AppId: 7, Rows: rows}); err != nil {
			t.Fatal(err)
		}
		s.wantRows(7, rows...)
		totals := func(app uint32) []*imquotav1.QuotaState {
			out, err := s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: app})
			if err != nil {
				t.Fatal(err)
			}
			return out.GetQuotas()
		}
		if diff := cmp.Diff(totals(8), totals(7), protocmp.Transform()); diff != "" {
			t.Errorf("usage (-exported +imported):\n%s", diff)
		}
	})
}

// TestImportBesideTraffic: what is counted between the measuring and the import
// is kept, whoever counts it.
func TestImportBesideTraffic(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "premium")
		const users, each = 8, 25
		var rows []*imquotav1.UsageRow
		for i := range users {
			rows = append(rows, seen(row("friends", fmt.Sprint("u", i), 100), 0))
		}
		var wg sync.WaitGroup
		for i := range users {
			wg.Go(func() {
				for k := range each {
					s.allow(check(7, &imquotav1.AddFriend{UserId: fmt.Sprint("u", i), FriendId: fmt.Sprint("f", i, k), OneWay: true}))
				}
			})
		}
		for range 3 {
			out, err := s.apps.ImportUsage(t.Context(), &imquotav1.ImportUsageRequest{AppId: 7, RequestId: "once", Rows: rows})
			if err != nil || len(out.GetResults()) != users {
				t.Errorf("%v, %v", out, err)
			}
		}
		wg.Wait()
		for i, r := range s.exportRows(7, 100) {
			if want := row("friends", fmt.Sprint("u", i), 100+each); !proto.Equal(r, want) {
				t.Errorf("%v, want %v", r, want)
			}
		}
	})
}

// TestImportBelongsToItsWindow: when the day has turned, a file of yesterday says
// nothing.
func TestImportBelongsToItsWindow(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		clock := newClock("2024-06-30T23:59:59+08:00")
		s := start(t, st.first, clock, catalog.Default())
		s.app(7, "standard")
		rows := []*imquotav1.UsageRow{within(row("daily_net_groups", "", 4), "2024-06-30"), within(row("free_mau", "alice", 1), "2024-06")}
		s.importRows("", false, rows, "0>4", "0>1")
		clock.Advance(1e9)
		s.importRows("", false, rows, "window", "window")
		s.wantRows(7)
	})
}
