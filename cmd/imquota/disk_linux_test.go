package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fileLimit bounds how far into a file a process may write, as a disk that is
// full does.
func (p *process) fileLimit(bytes uint64) {
	p.t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
		p.t.Fatal(errno)
	}
}

// TestFullDisk: who calls is told the cause and that nothing was counted, what
// is only read is answered, and when there is space the same process counts.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const app = 1400000002
	path := filepath.Join(t.TempDir(), "full.db")
	p := serve(t, "--demo", "--store", "bolt:"+path, "--http-listen", "127.0.0.1:0")
	quotas := p.quotas()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	p.fileLimit(uint64(info.Size()))
	var counted int64
	var refused *imquotav1.CheckQuotaRequest
	for {
		refused = registration(app, fmt.Sprintf("user-%027d", counted))
		if _, err = quotas.CheckQuota(t.Context(), refused); err != nil {
			break
		}
		counted++
	}
	st := status.Convert(err)
	if reason, _ := details(st); st.Code() != codes.Unavailable || reason != "STORE_UNAVAILABLE" || !strings.Contains(st.Message(), path) || !strings.Contains(st.Message(), syscall.EFBIG.Error()) {
		t.Errorf("%v, %v", st, st.Details())
	}
	users := func() int64 {
		t.Helper()
		usage, err := quotas.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: app, Quotas: []string{"users"}})
		if err != nil {
			t.Fatal(err)
		}
		return usage.GetQuotas()[0].GetUsed()
	}
	if got := users(); got != counted {
		t.Errorf("%d users while the disk is full, want %d", got, counted)
	}
	if code, text := p.fetch("/readyz", ""); code != 200 {
		t.Errorf("readyz: %d %s", code, text)
	}

	p.fileLimit(^uint64(0))
	out, err := quotas.CheckQuota(t.Context(), refused)
	if err != nil || !out.GetDecision().GetAllowed() || out.GetDecision().GetReplayed() {
		t.Errorf("with space again: %v, %v", out, err)
	}
	if got := users(); got != counted+1 {
		t.Errorf("%d users, want %d", got, counted+1)
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != exitFine {
		t.Errorf("exit code %d", code)
	}
	if got := run(t, "store", "status", "--store", "bolt:"+path); got.code != exitFine {
		t.Errorf("%+v", got)
	}
}

// asNobody runs the program as a user who is not root, for whom permissions are
// nothing.
func asNobody(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "IMQUOTA_HTTP_LISTEN=off")
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for _, dir := range []string{filepath.Dir(binary), filepath.Dir(t.TempDir())} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// TestReadOnlyPlaces: the program says at once what it may not write, and leaves
// all as it was.
func TestReadOnlyPlaces(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file, dir os.FileMode // zero: there is no file
		args      []string
		says      string
	}{
		"file":                 {0o444, 0o777, []string{"serve", "--listen", "127.0.0.1:0"}, "it can be read, but not written to: permission denied"},
		"file nobody may read": {0o200, 0o777, []string{"serve", "--listen", "127.0.0.1:0"}, "open the store"},
		"directory":            {0, 0o555, []string{"serve", "--listen", "127.0.0.1:0"}, "make the store"},
		"compacted file":       {0o444, 0o777, []string{"store", "compact"}, "it can be read, but not written to: permission denied"},
		"compacted directory":  {0o666, 0o555, []string{"store", "compact"}, "compact the store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "quota.db")
			var before []byte
			if tt.file != 0 {
				if got := run(t, "store", "init", "--store", "bolt:"+path); got.code != exitFine {
					t.Fatalf("%+v", got)
				}
				before, _ = os.ReadFile(path)
				if err := os.Chmod(path, tt.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Dir(path), tt.dir); err != nil {
				t.Fatal(err)
			}
			out, code := asNobody(t, append(tt.args, "--store", "bolt:"+path)...)
			if code != exitFault || !strings.Contains(out, path) || !strings.Contains(out, tt.says) || !strings.Contains(out, "permission denied") {
				t.Errorf("exit code %d, %q", code, out)
			}
			if tt.file == 0 {
				if _, err := os.Lstat(path); err == nil {
					t.Error("it was made")
				}
				return
			}
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed: %v", err)
			}
			if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
				t.Errorf("beside it: %v, %v", files, err)
			}
		})
	}
}
