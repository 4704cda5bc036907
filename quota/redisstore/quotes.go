package redisstore

import (
	"context"
	"time"

	"github.com/imquota/imquota/account"
)

// SaveQuote implements account.Registry. How long it is kept is told by the
// server's clock alone.
func (s *Store) SaveQuote(ctx context.Context, app uint32, id string, document []byte, keep time.Duration) error {
	_, err := s.repeatable(ctx, quoteScript, []string{s.quoteKey(app, id)}, string(document), max(1, keep.Milliseconds()))
	return err
}

// Quote implements account.Registry. That a store which lost everything has no
// quotes is no answer: its mark is read last.
func (s *Store) Quote(ctx context.Context, app uint32, id string) ([]byte, error) {
	quote := &command{args: []any{"mget", s.quoteKey(app, id)}}
	mark := &command{args: []any{"hmget", s.storeKey(), "id"}}
	if err := s.doAll(ctx, []*command{quote, mark}); err != nil {
		return nil, err
	}
	if err := s.markOf(mark); err != nil {
		return nil, err
	}
	if quote.err != nil {
		return nil, quote.err
	}
	if found, _ := quote.cmd.Val().([]any); len(found) == 1 {
		if document, ok := found[0].(string); ok {
			return []byte(document), nil
		}
	}
	return nil, account.ErrQuoteNotFound
}
