package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// compactBatch bounds the bytes of one transaction of Compact, which are held
// in memory until it is committed.
const compactBatch = 1 << 20

// compactFill leaves some room on the pages: filled to the brim, each would be
// split by the first key that comes.
const compactFill = 0.9

func compactPath(path string) string { return path + ".compact" }

// Compact rewrites a store's file without the space that is free in it, and
// without what is past, and returns its size in bytes before and after. Nobody
// may have the store open. From time to time it tells progress how many of all
// bytes of keys and values it copies are copied; progress may be nil.
//
// The file is replaced in one step: an error, the end of ctx or of the process
// leave it as it was, or replaced and whole.
func Compact(ctx context.Context, path string, o Options, progress func(done, total int64)) (before, after int64, err error) {
	// Renaming onto a symbolic link would replace the link.
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, 0, fmt.Errorf("compact the store %s: %w", path, explain(err))
	}
	source, err := openFile(target, o)
	if err != nil {
		return 0, 0, err
	}
	// The lock is held until the path names the new file.
	defer func() { err = errors.Join(err, source.db.Close()) }()
	info := source.info
	temporary := compactPath(target)
	defer os.Remove(temporary) //nolint:errcheck // it is gone if all went well
	if err := copyFile(ctx, source.db, temporary, progress); err != nil {
		return info.Size(), 0, fmt.Errorf("compact the store %s: %w", path, err)
	}
	if after, err = replaceFile(target, temporary, info); err != nil {
		return info.Size(), 0, fmt.Errorf("compact the store %s: %w", path, err)
	}
	return info.Size(), after, nil
}

// replaceFile puts the new file in the old one's place, with its owner and
// mode: an operator who compacts as root must not lock the sidecar out.
func replaceFile(target, temporary string, old os.FileInfo) (size int64, err error) {
	if err := os.Chmod(temporary, old.Mode().Perm()); err != nil {
		return 0, err
	}
	if err := chown(temporary, old); err != nil {
		return 0, err
	}
	info, err := os.Stat(temporary)
	if err != nil {
		return 0, err
	}
	if err := os.Rename(temporary, target); err != nil {
		return 0, err
	}
	return info.Size(), syncDir(target)
}

// copyFile writes all that is in source to a new file, and syncs it to disk.
func copyFile(ctx context.Context, source *bolt.DB, path string, progress func(done, total int64)) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// One sync at the end is enough for a file that nobody counts on yet.
	options := boltOptions(Options{})
	options.NoSync, options.NoGrowSync = true, true
	target, err := bolt.Open(path, 0o600, options)
	if err != nil {
		return err
	}
	c := &copier{ctx: ctx, target: target, progress: progress}
	err = guard(func() error { return source.View(c.copyAll) })
	if err == nil {
		err = target.Update(func(tx *bolt.Tx) error {
			if err := replay(tx); err != nil {
				return err
			}
			return dropPast(tx)
		})
	}
	if err == nil {
		err = target.Sync()
	}
	return errors.Join(err, target.Close())
}

// copier copies a database in transactions of bounded size.
type copier struct {
	ctx      context.Context
	target   *bolt.DB
	progress func(done, total int64)

	tx          *bolt.Tx
	pending     int64 // bytes put in tx
	done, total int64
}

func (c *copier) copyAll(source *bolt.Tx) error {
	top := source.Cursor()
	for name, _ := top.First(); name != nil; name, _ = top.Next() {
		if err := c.measure(source.Bucket(name), name); err != nil {
			return err
		}
	}
	if err := c.begin(); err != nil {
		return err
	}
	// tx is another one by then. Rolling back what is committed does nothing.
	defer func() { _ = c.tx.Rollback() }()
	for name, _ := top.First(); name != nil; name, _ = top.Next() {
		if err := c.copyBucket(source.Bucket(name), [][]byte{name}); err != nil {
			return err
		}
	}
	return c.commit()
}

// measure adds up what there is to copy: the file's size would count the space
// that is not.
func (c *copier) measure(source *bolt.Bucket, name []byte) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return source.ForEach(func(k, v []byte) error {
		switch {
		case v != nil:
			c.total += int64(len(k) + len(v))
			return nil
		case isPast(source.Tx(), name, k):
			return nil
		}
		return c.measure(source.Bucket(k), k)
	})
}

func (c *copier) copyBucket(source *bolt.Bucket, path [][]byte) error {
	target, err := c.bucket(path)
	if err != nil {
		return err
	}
	return source.ForEach(func(k, v []byte) error {
		if v == nil {
			if isPast(source.Tx(), path[len(path)-1], k) {
				return nil
			}
			if err := c.copyBucket(source.Bucket(k), append(slices.Clip(path), k)); err != nil {
				return err
			}
			target, err = c.bucket(path) // of another transaction, perhaps
			return err
		}
		if err := target.Put(k, v); err != nil {
			return err
		}
		if c.pending += int64(len(k) + len(v)); c.pending < compactBatch {
			return nil
		}
		if err := c.commit(); err != nil {
			return err
		}
		if err := c.begin(); err != nil {
			return err
		}
		target, err = c.bucket(path)
		return err
	})
}

// bucket returns the bucket of this path in the transaction that is going on.
func (c *copier) bucket(path [][]byte) (*bolt.Bucket, error) {
	b, err := c.tx.CreateBucketIfNotExists(path[0])
	for _, name := range path[1:] {
		if err != nil {
			return nil, err
		}
		b, err = b.CreateBucketIfNotExists(name)
	}
	if err == nil {
		b.FillPercent = compactFill
	}
	return b, err
}

func (c *copier) begin() (err error) {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.tx, err = c.target.Begin(true)
	return err
}

func (c *copier) commit() error {
	if err := c.tx.Commit(); err != nil {
		return err
	}
	c.done += c.pending
	c.pending = 0
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return nil
}
