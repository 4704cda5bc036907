package redisstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// trips counts what is sent: a command alone, or a pipeline.
type trips struct{ n atomic.Int64 }

// counted marks what is to be counted: the store looks at its servers by itself,
// at any time.
type counted struct{}

func (c *trips) note(ctx context.Context) {
	if ctx.Value(counted{}) != nil {
		c.n.Add(1)
	}
}

func countedContext(t *testing.T) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), counted{}, true)
}

func (*trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.note(ctx)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.note(ctx)
		return next(ctx, cmds)
	}
}

// TestLoadInFewSteps: many apps are one round trip, and those that are not there
// are one more, however many there are.
func TestLoadInFewSteps(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	count := &trips{}
	s.client.AddHook(count)
	var known, ids []uint32
	for id := uint32(1); id <= 100; id++ {
		if id%2 == 0 {
			newApp(t, s, id)
			known = append(known, id)
		}
		ids = append(ids, id)
	}
	for _, tt := range []struct {
		name string
		ids  []uint32
		want int64
	}{{"one", known[:1], 1}, {"known ones", known, 1}, {"unknown ones too", ids, 2}, {"an unknown one", ids[:1], 2}} {
		count.n.Store(0)
		for i, l := range s.Load(countedContext(t), tt.ids) {
			if isKnown := tt.ids[i]%2 == 0; isKnown != (l.Err == nil) || !isKnown && !errors.Is(l.Err, account.ErrAppNotFound) {
				t.Errorf("%s: app %d: %+v", tt.name, tt.ids[i], l)
			}
		}
		if got := count.n.Load(); got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}
