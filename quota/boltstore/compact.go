package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// compactTxBytes bounds a transaction of the copy, and so its memory.
const compactTxBytes = 1 << 20

// progressEvery is how often a compaction tells how far it is.
const progressEvery = 100 * time.Millisecond

// Compact gives back the space that a store has let go of: bbolt's file never
// shrinks by itself. The store is copied beside itself and takes its own place
// in one step, so that whatever happens one of the two is whole. progress, if
// any, is told the bytes copied so far and the bytes there were.
//
// It answers the sizes in bytes. Errors: as Open; a missing file is one too.
func Compact(ctx context.Context, path string, o Options, progress func(done, total int64)) (before, after int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, fmt.Errorf("compact the store: %w", err)
	}
	s, err := Open(path, o) // holds the lock until the copy is in its place
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	copied := path + ".compact"
	defer func() { _ = os.Remove(copied) }() // what is left when it broke off
	if err := os.Remove(copied); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, fmt.Errorf("compact the store %s: %w", path, err)
	}
	if err := copyStore(ctx, s.db, copied, info.Size(), progress); err != nil {
		return 0, 0, fmt.Errorf("compact the store %s: %w", path, err)
	}
	if err := replace(copied, path); err != nil {
		return 0, 0, fmt.Errorf("compact the store %s: %w", path, err)
	}
	compacted, err := os.Stat(path)
	if err != nil {
		return 0, 0, fmt.Errorf("compact the store: %w", err)
	}
	return info.Size(), compacted.Size(), nil
}

// copyStore copies what is live into a new file, and on to the disk.
func copyStore(ctx context.Context, from *bolt.DB, path string, total int64, progress func(done, total int64)) error {
	to, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	finished := make(chan error, 1)
	go func() { finished <- bolt.Compact(to, from, compactTxBytes) }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-finished:
			if err == nil {
				err = errors.Join(to.Sync(), ctx.Err())
			}
			if err == nil && progress != nil {
				progress(total, total)
			}
			return errors.Join(err, to.Close())
		case <-tick.C:
			if info, err := os.Stat(path); err == nil && progress != nil {
				progress(min(info.Size(), total), total)
			}
		}
	}
}

// replace gives a file another's place, durably.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
