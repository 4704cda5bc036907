package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestBackupAndRestore moves a store from a file to Redis, with the real program.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, file := "bolt:"+filepath.Join(dir, "b.db"), filepath.Join(dir, "backup.json.gz")
	if got := run(t, "store", "backup", "--store", store, file); got.code != exitFault || !strings.Contains(got.err, "there is no") {
		t.Errorf("of no store: %+v", got)
	}
	p := serve(t, "--demo", "--store", store)
	if got := run(t, "store", "backup", "--store", store, file); got.code != exitFault || !strings.Contains(got.err, "in use") {
		t.Errorf("while it is served from: %+v", got)
	}
	p.ask("check", "login", "--app", "1400000001", "--user", "alice")
	p.ask("app", "disable", "--app", "1400000002")
	p.ask("app", "delete", "--app", "1400000002")
	p.signal(15)
	p.end()
	got := run(t, "store", "backup", "--store", store, file)
	if want := file + ": 0 accounts with bills, 5 apps, 1 user, 3 entries, by catalog " + catalog.Default().Version() + "; sha256 "; got.code != exitFine || !strings.HasPrefix(got.out, want) || got.err != "" {
		t.Errorf("%+v, want %q", got, want)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	server := redistest.Standalone(t)
	url := "redis://" + server.Addr
	if got := run(t, "store", "restore", "--store", url, file); got.code != exitFault || !strings.Contains(got.err, "STORE_NOT_INITIALIZED") {
		t.Errorf("into a Redis that is not ours: %+v", got)
	}
	if got := run(t, "store", "init", "--store", url); got.code != exitFine {
		t.Fatalf("%+v", got)
	}
	const all = "0 accounts with bills, 5 apps, 1 user, 3 entries "
	if got := run(t, "store", "restore", "--store", url, "--dry-run", file); got.code != exitFine || !strings.Contains(got.out, all+"would be restored") {
		t.Errorf("a dry run: %+v", got)
	}
	if got := run(t, "store", "restore", "--store", url, file); got.code != exitFine || !strings.Contains(got.out, all+"restored\n") {
		t.Errorf("%+v", got)
	}
	none := "bolt:" + filepath.Join(dir, "none.db")
	if got := run(t, "store", "restore", "--store", none, file); got.code != exitFine || !strings.Contains(got.err, "a new one was made") {
		t.Errorf("into no store: %+v", got)
	}
	got = run(t, "store", "restore", "--store", url, "-o", "json", file)
	var told struct {
		Store     string `json:"store"`
		AppsThere int    `json:"appsThere"`
	}
	if err := json.Unmarshal([]byte(got.out), &told); err != nil || got.code != exitFine || told.AppsThere != 5 || told.Store != "Redis at "+server.Addr {
		t.Errorf("again: %+v, %v", got, err)
	}
	// Redis is backed up while it is served from.
	p = serve(t, "--store", url)
	if got := p.ask("usage", "show", "--app", "1400000001", "--quota", "users"); !strings.Contains(got.out, "1  of 100") {
		t.Errorf("%+v", got)
	}
	if got := p.ask("app", "get", "--app", "1400000002"); !strings.Contains(got.out, "deleted since") {
		t.Errorf("%+v", got)
	}
	text := run(t, "store", "backup", "--store", url, "-")
	if text.code != exitFine || !strings.HasPrefix(text.out, `{"header":{"format":1,`) || !strings.HasPrefix(text.err, "-: 0 accounts with bills, 5 apps") {
		t.Errorf("to standard output: %+v", text)
	}
	// Another backup of the same apps finds them there.
	another := filepath.Join(dir, "another.json")
	if err := os.WriteFile(another, []byte(text.out), 0o600); err != nil {
		t.Fatal(err)
	}
	got = run(t, "store", "restore", "--store", url, "--app", "1400000001", another)
	if got.code != exitFault || !strings.Contains(got.err, "app 1400000001 is there already") || !strings.Contains(got.err, "1 record left as found") {
		t.Errorf("an app that is there: %+v", got)
	}
	got = run(t, "store", "restore", "--store", url, "--app", "7", another)
	if got.code != exitFault || !strings.Contains(got.err, "not in the backup: app 7") {
		t.Errorf("an app that is not: %+v", got)
	}
	// Half a file is refused before a store is made of it.
	if err := os.WriteFile(another, []byte(text.out[:len(text.out)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "fresh.db")
	if got := run(t, "store", "restore", "--store", "bolt:"+fresh, another); got.code != exitFault || !strings.Contains(got.err, "another.json: line ") {
		t.Errorf("half a file: %+v", got)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a store was made")
	}
	// What cannot be read is named.
	if err := server.Client().Set(t.Context(), "imq:{1400000003}:rec", "{", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got = run(t, "store", "backup", "--store", url, another)
	if got.code != exitFault || !strings.Contains(got.err, "app 1400000003 cannot be read, and is not in the backup") || !strings.Contains(got.out, "4 apps") {
		t.Errorf("a damaged record: %+v", got)
	}
	if got := run(t, "store", "restore", "--store", "bolt:"+fresh, another); got.code != exitFine || !strings.Contains(got.err, "app 1400000003 is not in the backup") {
		t.Errorf("the rest: %+v", got)
	}
}

// TestBackupIsStopped, which is no fault of the store.
func TestBackupIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, file := "bolt:"+filepath.Join(dir, "b.db"), filepath.Join(dir, "b.json.gz")
	p := serve(t, "--demo", "--store", store)
	p.signal(15)
	p.end()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	if code := Run(ctx, []string{"store", "backup", "--store", store, file}, &out, &errOut); code != exitFault || errOut.String() != "imquota: stopped\n" {
		t.Errorf("exit code %d, %q", code, errOut.String())
	}
	if left, err := filepath.Glob(file + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestBackupThatFails leaves the file of before.
func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "b.json")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := redistest.Standalone(t)
	if got := run(t, "store", "backup", "--store", "redis://"+server.Addr, file); got.code != exitFault || !strings.Contains(got.err, "STORE_NOT_INITIALIZED") {
		t.Errorf("%+v", got)
	}
	url := "redis://" + server.Addr
	run(t, "store", "init", "--store", url)
	if err := server.Client().Set(t.Context(), "imq:{dir:7}", "no hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "store", "backup", "--store", url, file); got.code != exitFault {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(file); string(text) != "before" || err != nil {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
