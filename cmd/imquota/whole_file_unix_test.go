//go:build unix

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func hello(w io.Writer) error {
	_, err := io.WriteString(w, "hello")
	return err
}

// TestWriteWhole keeps what a path is: a link, or a pipe, which root would replace.
func TestWriteWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("before"), 0o600), os.Symlink("file", link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(link, hello); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" || text(t, file) != "hello" {
		t.Errorf("the link leads to %q, %v, with %q", to, err, text(t, file))
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // so that opening it waits for nobody
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := writeWhole(pipe, hello); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Fatalf("the pipe became %v, %v", info, err)
	}
	got := make([]byte, len("hello"))
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	for path, want := range map[string]string{dir: dir + ": is a directory", filepath.Join(dir, "no", "file"): filepath.Join(dir, "no", "file") + ": no such file"} {
		if err := writeWhole(path, hello); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
