package boltstore

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// childMode makes the test binary another process that uses a store: what it
// does there, and to which file.
const (
	childMode = "BOLTSTORE_TEST_CHILD"
	childPath = "BOLTSTORE_TEST_PATH"
)

var childModes = map[string]func(path string, out io.Writer) error{
	"hold":    holdStore,
	"work":    workUntilKilled,
	"compact": compactUntilKilled,
	"delete":  deleteUntilKilled,
	"call":    callUntilKilled,
	"open":    openUntilKilled,
}

// readers are the modes that end with their input.
var readers = []string{"hold", "open"}

func TestMain(m *testing.M) {
	if mode, ok := childModes[os.Getenv(childMode)]; ok {
		if !slices.Contains(readers, os.Getenv(childMode)) {
			// It works until it is killed. Where its parent was, nobody else does that.
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin)
				os.Exit(1)
			}()
		}
		if err := mode(os.Getenv(childPath), os.Stdout); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child is another process.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
	stdin io.Closer
}

func startChild(t *testing.T, mode, path string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childPath+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: cmd, lines: bufio.NewScanner(stdout), stdin: stdin}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

// holdStore has the store open until its input ends.
func holdStore(path string, out io.Writer) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, "open\n"); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}
