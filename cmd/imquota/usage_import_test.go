package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// write writes a file of the test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (p *process) must(args ...string) string {
	p.t.Helper()
	got := p.ask(args...)
	if got.code != exitFine {
		p.t.Fatalf("%v: exit code %d: %s", args, got.code, got.err)
	}
	return got.out
}

// TestImportedIsExported in both formats, and shows what differs first.
func TestImportedIsExported(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "import.db"))
	p.must("check", "login", "--app", "1400000003", "--user", "stranger")
	in := write(t, "in.csv", "\xef\xbb\xbfused,quota,subject,group_type\r\n12,friends,\"we,\"\"ird\",\r\n1,users,alice,\r\n1,free_mau,alice,\r\n30,group_members,g,public\r\n7,groups,,\r\n")
	drift := p.must("usage", "import", in, "--app", "1400000003", "--dry-run")
	for _, want := range []string{`friends of we,"ird 0 → 12`, "users of alice 0 → 1", "groups 0 → 7", "1 more count and are not in the file", "5 of 5 rows differ"} {
		if !strings.Contains(drift, want) {
			t.Errorf("the dry run does not say %q:\n%s", want, drift)
		}
	}
	var lines []string
	for line := range strings.Lines(p.must("usage", "import", in, "--app", "1400000003", "--dry-run", "-o", "json")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
		lines = append(lines, line)
	}
	if len(lines) != 6 || !strings.Contains(lines[0], `"line":2,"quota":"friends"`) {
		t.Errorf("drift as JSON: %q", lines)
	}
	if out := p.must("usage", "import", in, "--app", "1400000003"); !strings.Contains(out, "5 rows imported, 5 of which changed something") {
		t.Error(out)
	}
	if _, err := os.Stat(in + ".import"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal is left: %v", err)
	}
	for _, name := range []string{"out.csv", "out.ndjson", "out.jsonl"} {
		out := filepath.Join(t.TempDir(), name)
		p.must("usage", "export", out, "--app", "1400000003", "--observed")
		if got := p.must("usage", "import", out, "--app", "1400000003"); !strings.Contains(got, "7 rows imported, 0 of which") {
			t.Errorf("%s: %s\n%s", name, got, text(t, out))
		}
		p.must("usage", "export", out, "--app", "1400000003")
		if got := p.must("usage", "import", out, "--app", "1400000002"); !strings.Contains(got, "7 rows imported") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, format := range []string{"csv", "ndjson"} {
		one := p.must("usage", "export", "-", "--app", "1400000003", "--format", format)
		if another := p.must("usage", "export", "-", "--app", "1400000002", "--format", format); one != another || strings.Count(one, "\n") < 7 {
			t.Errorf("exported\n%s, imported and exported again\n%s", one, another)
		}
	}
}

// TestImportRefuses what is no import, before it changes anything, and tells of
// every row that is refused.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "refuse.db"))
	for name, tt := range map[string]struct{ file, text, want string }{
		"empty":           {"f.csv", "", "it is empty"},
		"column":          {"f.csv", "quota,usde\n", `there is no column "usde"`},
		"column twice":    {"f.csv", "quota,used,used\n", "the column used is there twice"},
		"no used":         {"f.csv", "quota,subject\n", "the column used is missing"},
		"number":          {"f.csv", "quota,used\nfriends,1\nfriends,1.5\n", `line 3: used: "1.5" is not a whole number`},
		"too few":         {"f.csv", "quota,used\nfriends\n", "line 2: wrong number of fields"},
		"quote":           {"f.csv", "quota,used\n\"friends,1\n", "line 2"},
		"endless quote":   {"f.csv", "quota,used\n\"" + strings.Repeat("x", 1<<20), "line 2: is longer than 65536 bytes"},
		"long line":       {"f.csv", "quota,used\nfriends,1\nfriends," + strings.Repeat("1", 1<<16) + "\nfriends,2\n", "line 3: is longer than 65536 bytes"},
		"endless line":    {"f.ndjson", "{\"quota\":\"" + strings.Repeat("x", 1<<20) + "\n{}\n", "line 1: is longer than 65536 bytes"},
		"JSON key":        {"f.ndjson", `{"quota":"friends","used":1,"x":2}`, `line 1: is not a JSON object with the keys quota`},
		"JSON type":       {"f.ndjson", "\n" + `{"quota":"friends","used":"1"}`, "line 2: used: a JSON string is not a whole number"},
		"JSON quota":      {"f.ndjson", `{"quota":7,"used":1}`, "line 1: quota: a JSON number is not a string"},
		"JSON fraction":   {"f.ndjson", `{"quota":"friends","used":1.5}`, "line 1: used: a JSON number 1.5 is not a whole number"},
		"two objects":     {"f.ndjson", `{"quota":"a","used":1} {"quota":"a","used":1}`, "more than one object"},
		"no format":       {"f.txt", "", "--format: "},
		"not a journal":   {"j.csv", "quota,used\ngroups,1\n", "is not the journal of an import"},
		"another journal": {"a.csv", "quota,used\ngroups,1\n", "is the journal of an import that broke off after 5 rows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.file, tt.text)
			journal := map[string]string{"not a journal": "{}", "another journal": `{"appId":1400000003,"sha256":"x","nonce":"y","rowsDone":5}`}[name]
			if journal != "" {
				if err := os.WriteFile(path+".import", []byte(journal), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := p.ask("usage", "import", path, "--app", "1400000003")
			if got.code != exitFault || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit code %d, %q; want %q", got.code, got.err, tt.want)
			}
		})
	}
	path, rejects := write(t, "rows.csv", "quota,subject,used\nfriends,alice,3\nnonsense,,1\nfriends,,1\n"), filepath.Join(t.TempDir(), "rejects.csv")
	got := p.ask("usage", "import", path, "--app", "1400000001", "--rejects", rejects)
	if got.code != exitFault || !strings.Contains(got.err, "2 of 3 rows were refused: see "+rejects) || !strings.Contains(got.err, "line 4: friends: subject") {
		t.Errorf("exit code %d, %q", got.code, got.err)
	}
	if want := "quota,subject,used,observed,group_type,window\nnonsense,,1,,,\nfriends,,1,,,\n"; text(t, rejects) != want {
		t.Errorf("rejects: %q", text(t, rejects))
	}
	if got := p.ask("usage", "import", path, "--app", "1400000001", "--rejects", rejects); got.code != exitFault || !strings.Contains(got.err, "--rejects") {
		t.Errorf("rejects are written over: %q", got.err)
	}
}

// manyRows is a file whose rows would count twice if they were imported twice.
func manyRows(t *testing.T, rows int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("quota,subject,used,observed\n")
	for i := range rows {
		_, _ = fmt.Fprintf(&b, "friends,u%d,%d,0\n", i, 1+i%17)
	}
	return write(t, "many.csv", b.String())
}

// wantMany expects that each row took effect once.
func (p *process) wantMany(t *testing.T, rows int) {
	t.Helper()
	out := p.must("usage", "export", "-", "--app", "1400000003")
	seen := 0
	for line := range strings.Lines(out) {
		var user, used int
		if n, _ := fmt.Sscanf(line, "friends,u%d,%d,", &user, &used); n != 2 {
			continue
		}
		if seen++; used != 1+user%17 {
			t.Errorf("u%d has %d friends, want %d", user, used, 1+user%17)
		}
	}
	if seen != rows {
		t.Errorf("%d rows took effect, want %d", seen, rows)
	}
}

// TestImportGoesOn wherever it broke off: replies that are lost, a server that
// refuses, a command that is stopped. Each row takes effect once.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	const rows = 4500
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "goon.db"))
	apps := imquotav1.NewAppServiceClient(p.dial(0))
	calls, stop := 0, context.CancelFunc(nil)
	relay := (&scripted{imports: func(ctx context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
		calls++
		switch calls {
		case 2: // it takes effect, and nobody hears of it
			_, _ = apps.ImportUsage(ctx, in)
			return nil, status.Error(codes.Unavailable, "the answer is lost")
		case 3:
			return nil, status.Error(codes.Unavailable, "not now")
		case 5:
			_, _ = apps.ImportUsage(ctx, in)
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return apps.ImportUsage(ctx, in)
	}}).start(t)
	file := manyRows(t, rows)
	command := []string{"usage", "import", file, "--app", "1400000003", "--server", relay, "--timeout", "1m"}
	attempt := func(more ...string) result {
		var ctx context.Context
		ctx, stop = context.WithCancel(t.Context())
		defer stop()
		var out, errOut bytes.Buffer
		code := Run(ctx, append(command, more...), &out, &errOut)
		return result{code: code, out: out.String(), err: errOut.String()}
	}
	if got := attempt("--patience", "0s"); got.code != exitFault || !strings.Contains(got.err, "stopped after row 1000 of 4500") {
		t.Fatalf("exit code %d, %q", got.code, got.err)
	}
	if got := attempt(); got.code != exitFault || !strings.Contains(got.err, "going on after row 1000 of 4500") || !strings.Contains(got.err, "imquota: stopped before the server at") || !strings.Contains(got.err, "stopped after row 2000") {
		t.Fatalf("exit code %d, %q", got.code, got.err)
	}
	if got := attempt(); got.code != exitFine || !strings.Contains(got.out, "4500 rows imported") || !strings.Contains(got.out, "2000 had taken effect before") {
		t.Fatalf("exit code %d, %q, %q", got.code, got.out, got.err)
	}
	p.wantMany(t, rows)
	if _, err := os.Stat(file + ".import"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal is left: %v", err)
	}
}

// TestImportInDoubt does not send again what may count twice, unless it is told
// to.
func TestImportInDoubt(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "doubt.db"))
	isLost, sent := true, 0
	apps := imquotav1.NewAppServiceClient(p.dial(0))
	relay := (&scripted{imports: func(ctx context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
		if sent = len(in.GetRows()); isLost {
			return nil, status.Error(codes.Unavailable, "the answer is lost")
		}
		return apps.ImportUsage(ctx, in)
	}}).start(t)
	file := manyRows(t, 5)
	command := []string{"usage", "import", file, "--app", "1400000003", "--server", relay, "--patience", "0s"}
	if got := run(t, command...); got.code != exitFault {
		t.Fatalf("%+v", got)
	}
	noted := func() *journal {
		j := &journal{path: file + ".import"}
		if err := json.Unmarshal([]byte(text(t, j.path)), j); err != nil {
			t.Fatal(err)
		}
		return j
	}
	note := func(change func(*journal)) {
		j := noted()
		change(j)
		if err := j.save(); err != nil {
			t.Fatal(err)
		}
	}
	// It is in doubt since it was sent first, and goes as it went then.
	note(func(j *journal) { j.Sent, j.SentRows = j.Sent.Add(-inDoubtFor/2), 3 })
	first := noted().Sent
	if got := run(t, command...); got.code != exitFault || sent != 3 || !noted().Sent.Equal(first) {
		t.Errorf("%+v; %d rows were sent, first %v, want %v", got, sent, noted().Sent, first)
	}
	note(func(j *journal) { j.Sent, j.SentRows = first.Add(-inDoubtFor), 5 })
	isLost = false
	if got := run(t, command...); got.code != exitFault || !strings.Contains(got.err, "rows 1 to 5") || !strings.Contains(got.err, "--again") {
		t.Errorf("%+v", got)
	}
	if got := run(t, append(command, "--again")...); got.code != exitFine {
		t.Errorf("%+v", got)
	}
	p.wantMany(t, 5)
}

// TestImportOfMixedColumns: a file whose every row names another quota is refused
// in a few lines, and what stands in it does not reach the terminal.
func TestImportOfMixedColumns(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "mixed.db"))
	var b strings.Builder
	b.WriteString("subject,quota,used\nfriends,\x1b[2J,1\n")
	for i := range 3000 {
		_, _ = fmt.Fprintf(&b, "friends,u%d,1\n", i)
	}
	b.WriteString("alice,friends,1\n")
	got := p.ask("usage", "import", write(t, "rows.csv", b.String()), "--app", "1400000003")
	if strings.Contains(got.out+got.err, "\x1b") || strings.Count(got.out, "\n") > mostRefused+10 || !strings.Contains(got.err, "3001 of 3002 rows were refused") {
		t.Errorf("%q, %q", got.out, got.err)
	}
	for _, want := range []string{"(others)  2982", "friends      1        1  +1        0"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in %s", want, got.out)
		}
	}
}

// TestImportOfNoApp leaves nothing that keeps the right app from being imported,
// and nothing that counts as an answer that was lost.
func TestImportOfNoApp(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "noapp.db"))
	file := write(t, "rows.csv", "quota,subject,used\nfriends,alice,3\nfriends,,1\n")
	rejects := filepath.Join(t.TempDir(), "rejects.csv")
	if got := p.ask("usage", "import", file, "--app", "7", "--rejects", rejects); got.code != exitFault || !strings.Contains(got.err, "APP_NOT_FOUND") || strings.Contains(got.err, "goes on") {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{file + ".import", rejects} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if got := p.ask("usage", "import", file, "--app", "1400000003", "--rejects", rejects); !strings.Contains(got.err, "1 of 2 rows were refused") {
		t.Errorf("%+v", got)
	}
}

// TestRejectsGoOn: an import that goes on writes each row that was refused once,
// below one head, whatever the attempt before had written of it.
func TestRejectsGoOn(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--store", "bolt:"+filepath.Join(t.TempDir(), "rejects.db"))
	apps := imquotav1.NewAppServiceClient(p.dial(0))
	calls := 0
	relay := (&scripted{imports: func(ctx context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
		if calls++; calls%2 == 1 { // every part at first
			return nil, status.Error(codes.Unavailable, "the answer is lost")
		}
		return apps.ImportUsage(ctx, in)
	}}).start(t)
	var b, want strings.Builder
	b.WriteString("quota,subject,used\n")
	want.WriteString("quota,subject,used,observed,group_type,window\n")
	for i := range 2500 {
		_, _ = fmt.Fprintf(&b, "nonsense,u%d,1\n", i)
		_, _ = fmt.Fprintf(&want, "nonsense,u%d,1,,,\n", i)
	}
	file, rejects := write(t, "rows.csv", b.String()), filepath.Join(t.TempDir(), "rejects.csv")
	command := []string{"usage", "import", file, "--app", "1400000003", "--rejects", rejects, "--server", relay, "--patience", "0s"}
	for done := 0; done < 2500; done += 1000 {
		if got := run(t, command...); !strings.Contains(got.err, fmt.Sprintf("stopped after row %d of 2500", done)) {
			t.Fatalf("%+v", got)
		}
		f, err := os.OpenFile(rejects, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("nonsense,u"); err != nil { // the disk was full
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := run(t, command...); !strings.Contains(got.err, "2500 of 2500 rows were refused: see") {
		t.Errorf("%+v", got)
	}
	if text(t, rejects) != want.String() {
		t.Errorf("rejects: %q", text(t, rejects))
	}
}

// TestExportThatBreaksOff leaves no half file.
func TestExportThatBreaksOff(t *testing.T) {
	t.Parallel()
	page := &imquotav1.ExportUsageResponse{Rows: []*imquotav1.UsageRow{{Quota: "groups", Used: 1}}, NextPageToken: "next"}
	relay := (&scripted{exports: func(_ context.Context, in *imquotav1.ExportUsageRequest) (*imquotav1.ExportUsageResponse, error) {
		if in.GetPageToken() == "" {
			return page, nil
		}
		return nil, status.Error(codes.Unavailable, "not now")
	}}).start(t)
	path := write(t, "out.csv", "earlier")
	if got := run(t, "usage", "export", path, "--app", "1", "--server", relay); got.code != exitFault {
		t.Errorf("%+v", got)
	}
	if text(t, path) != "earlier" {
		t.Errorf("the file was touched: %q", text(t, path))
	}
	if left, err := filepath.Glob(path + ".part*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// FuzzRows reads whatever a file holds: rows, which are written as they are read,
// or an error that names the line.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		"quota,subject,used,observed,group_type,window\nfriends,\"a,b\",1,,,\n,,-1,0,x,2024-06\n", "used,quota\r\n1,groups\r\n", "quota,used\n\"a\n\"\"b\",2\n",
		`{"quota":"friends","subject":"a","used":1,"observed":0}` + "\n\n" + `{"quota":"x","used":9007199254740992}`, `{"used":1e3}`, "\xef\xbb\xbfquota,used\n", "[]\n{}", "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, format := range []string{formatCSV, formatNDJSON} {
			rows := readRows(t, content, format)
			for _, as := range []string{formatCSV, formatNDJSON} {
				var b bytes.Buffer
				w := newRowWriter(&b, as, true)
				for _, row := range rows {
					if err := w.write(row); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.flush(); err != nil {
					t.Fatal(err)
				}
				again := readRows(t, b.Bytes(), as)
				if len(again) != len(rows) {
					t.Fatalf("%d rows were written as %s, %d read: %q", len(rows), as, len(again), b.String())
				}
				for i := range rows {
					if !proto.Equal(rows[i], again[i]) && isPlain(rows[i]) {
						t.Fatalf("%v was written as %s and read as %v", rows[i], as, again[i])
					}
				}
			}
		}
	})
}

// isPlain reports whether a row can stand in either format: JSON has no bytes that
// are no text, CSV no carriage return before the end of a line. No id has.
func isPlain(r *imquotav1.UsageRow) bool {
	for _, s := range []string{r.GetQuota(), r.GetSubject(), r.GetGroupType(), r.GetWindow()} {
		if strings.ToValidUTF8(s, "") != s || strings.ContainsAny(s, "\r\ufffd") {
			return false
		}
	}
	return true
}

func readRows(t *testing.T, content []byte, format string) (rows []*imquotav1.UsageRow) {
	t.Helper()
	reader, err := newRowReader(bytes.NewReader(content), format)
	if err != nil {
		return nil
	}
	last := 0
	for {
		row, line, err := reader.read()
		bad, isRow := errors.AsType[*rowError](err)
		switch {
		case errors.Is(err, io.EOF), err != nil && !isRow:
			return rows
		case isRow && bad.line < last || !isRow && line < last:
			t.Fatalf("line %d comes after line %d", line, last)
		case isRow:
			last = bad.line
		default:
			rows, last = append(rows, row), line
		}
	}
}

// TestImportIsPatient: a server that cannot answer for a while is asked again.
func TestImportIsPatient(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var ids []string
	relay := (&scripted{imports: func(_ context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
		ids = append(ids, in.GetRequestId())
		if len(ids) < 3 {
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return &imquotav1.ImportUsageResponse{Results: []*imquotav1.UsageRowResult{{After: 1}}}, nil
	}}).start(t)
	got := run(t, "usage", "import", write(t, "f.csv", "quota,used\ngroups,1\n"), "--app", "1", "--server", relay)
	if got.code != exitFine || len(ids) != 3 || ids[0] != ids[2] || ids[0] == "" || time.Since(began) > 10*time.Second {
		t.Errorf("%+v, ids %q", got, ids)
	}
}
