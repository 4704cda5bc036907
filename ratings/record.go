package ratings

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/imquota/imquota/account"
)

// quoteFormat rises when quotes come to hold something that an imquota which does
// not know it would carry out wrongly.
const quoteFormat = 1

// stored is a quote as stores keep it.
type stored struct {
	Format int `json:"format"`
	*Quote
}

func encode(q *Quote) ([]byte, error) {
	document, err := json.Marshal(stored{quoteFormat, q})
	if err != nil {
		return nil, fmt.Errorf("encode quote %s: %w", q.ID, err)
	}
	return document, nil
}

func decode(id string, document []byte) (*Quote, error) {
	s := stored{Quote: new(Quote)}
	err := json.Unmarshal(document, &s)
	switch {
	case s.Format > quoteFormat:
		return nil, &account.Fault{
			Reason: account.RecordNewer,
			Detail: fmt.Sprintf("quote %s has format %d; this version of imquota knows formats up to %d", id, s.Format, quoteFormat),
		}
	case err != nil, s.Format < 1, s.ID != id:
		return nil, &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("quote %s is damaged", id), Err: err}
	}
	return s.Quote, nil
}

// newID makes the id of a quote, which says whose it is. It is the id of the order
// that the quote makes, if it makes one.
func newID(app uint32) string {
	return strconv.FormatUint(uint64(app), 10) + "-" + strings.ToLower(rand.Text()[:idLetters])
}

// idLetters are five random bits each: enough not to be guessed, and few enough to
// be read out.
const idLetters = 16

// appOf reads the app off the id of a quote.
func appOf(id string) (uint32, bool) {
	number, rest, _ := strings.Cut(id, "-")
	app, err := strconv.ParseUint(number, 10, 32)
	return uint32(app), err == nil && app > 0 && rest != "" && len(id) <= maxID
}

// maxID bounds the id of a quote, in bytes.
const maxID = 64
