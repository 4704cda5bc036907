package main

import (
	"log/slog"
	"time"

	"github.com/imquota/imquota/quota/redisstore"
)

// tailLossShown is for how long a loss is shown. The store can be trusted for
// what it has, and so stays ready.
const tailLossShown = time.Hour

// tailLosses are those of a store; of one that loses none when nil.
type tailLosses struct{ store *redisstore.Store }

func tailLossesOf(s store) *tailLosses {
	if r, ok := s.(*redisstore.Store); ok {
		return &tailLosses{r}
	}
	return nil
}

func (l *tailLosses) count() int64 {
	if l == nil {
		return 0
	}
	n, _ := l.store.TailLosses()
	return n
}

// recent returns when a loss was last noticed, and whether that is to be shown.
func (l *tailLosses) recent(now time.Time) (time.Time, bool) {
	if l == nil {
		return time.Time{}, false
	}
	n, last := l.store.TailLosses()
	return last, n > 0 && now.Sub(last) < tailLossShown
}

func logTailLoss(log *slog.Logger) func(redisstore.TailLoss) {
	return func(l redisstore.TailLoss) {
		log.Warn("the store lost counts that it had acknowledged, as a fail-over to a replica that lags does",
			"app", l.App, "writes_at_least", l.Known-l.Seen)
	}
}
