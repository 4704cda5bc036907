package redisstore

import (
	"context"
	"time"
)

// Lease implements quota.Store. How long it lasts is told by the server's clock
// alone. A store that was opened again is another one.
func (s *Store) Lease(ctx context.Context, name string, lasts time.Duration) (bool, error) {
	reply, err := s.repeatable(ctx, leaseScript, []string{s.leaseKey(name)}, s.self, max(1, lasts.Milliseconds()))
	return reply == int64(1), err
}
