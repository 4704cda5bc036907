package boltstore

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestGrowthAmongReaders: a file that has grown is mapped anew, for which the
// writer waits until nobody reads. Readers that come and go meanwhile must not
// keep each other from ending.
func TestGrowthAmongReaders(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir()+"/test.db")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	written := make(chan error, 1)
	go func() {
		// From 32 KiB to 4 MiB it is mapped eight times.
		value := make([]byte, 16<<10)
		for i := range uint64(250) {
			key := binary.BigEndian.AppendUint64([]byte("growth"), i)
			if err := s.submit(ctx, func(tx *bolt.Tx) error { return tx.Bucket(countersBucket).Put(key, value) }); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_ = s.view(ctx, func(tx *bolt.Tx) error {
					return tx.Bucket(countersBucket).ForEach(func(_, _ []byte) error { return nil })
				})
			}
		})
	}
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("the writer and the readers wait for each other")
	}
	close(done)
	readers.Wait()
}
