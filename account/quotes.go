package account

import (
	"context"
	"errors"
	"time"
)

// QuoteRegistry keeps quotes. A quote is a document that nobody changes.
type QuoteRegistry interface {
	// SaveQuote keeps a document of an app under an id for so long from now on at
	// least. Saved again under the same id it is kept for longer, never for
	// shorter; the caller always gives the same document.
	SaveQuote(ctx context.Context, app uint32, id string, document []byte, keep time.Duration) error
	// Quote reads it. Errors: ErrQuoteNotFound when there is none, or none any more.
	Quote(ctx context.Context, app uint32, id string) ([]byte, error)
}

// ErrQuoteNotFound says that there is no such quote.
var ErrQuoteNotFound = errors.New("no such quote, or none any more")
