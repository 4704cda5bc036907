//go:build unix

package boltstore

import (
	"os"
	"syscall"
)

// chown gives a file the owner of another.
func chown(path string, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(stat.Uid), int(stat.Gid))
}

// abandon closes a file that bbolt panicked over. Closing alone would not let
// go of the lock: it is held by the mapping, too, which nobody can undo.
func abandon(file *os.File) error {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	return file.Close()
}
