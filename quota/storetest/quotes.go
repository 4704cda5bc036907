package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
)

// SaveQuote implements account.Registry. The model forgets none.
func (m *Model) SaveQuote(_ context.Context, app uint32, id string, document []byte, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quotes[modelQuote{app, id}] = slices.Clone(document)
	return nil
}

// Quote implements account.Registry.
func (m *Model) Quote(_ context.Context, app uint32, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	document, ok := m.quotes[modelQuote{app, id}]
	if !ok {
		return nil, account.ErrQuoteNotFound
	}
	return document, nil
}

type modelQuote struct {
	app uint32
	id  string
}

var quoteClauses = map[string]func(*fixture){
	"a quote is read as it was saved, and by its app and id alone": func(f *fixture) {
		documents := map[modelQuote]string{
			{7, "1"}: "{}", {71, "1"}: "\x00\xff binary", {7, "11"}: strings.Repeat("large ", 20_000), {7, " ~:{}"}: "",
		}
		for q, document := range documents {
			q.app += f.app.ID
			for range 2 { // saving it again changes nothing
				if err := f.store.SaveQuote(f.Context(), q.app, q.id, []byte(document), time.Hour); err != nil {
					f.Fatal(err)
				}
			}
		}
		for q, want := range documents {
			got, err := f.store.Quote(f.Context(), q.app+f.app.ID, q.id)
			if err != nil || string(got) != want {
				f.Errorf("quote %q: %d bytes, %v; want %d", q.id, len(got), err, len(want))
			}
		}
		for _, q := range []modelQuote{{7, "2"}, {71, "11"}, {72, "1"}, {7, ""}} {
			_, err := f.store.Quote(f.Context(), q.app+f.app.ID, q.id)
			f.wantRegistryErr(err, account.ErrQuoteNotFound)
		}
	},
	"quotes leave the record alone": func(f *fixture) {
		if err := f.store.SaveQuote(f.Context(), f.app.ID, "q", []byte("document"), time.Hour); err != nil {
			f.Fatal(err)
		}
		if got, err := f.store.App(f.Context(), f.app.ID); err != nil || got.Version != f.app.Version {
			f.Errorf("version %v, %v; want %v", got.Version, err, f.app.Version)
		}
	},
}
