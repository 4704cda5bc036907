package catalog

import (
	"strings"
	"testing"
	"time"
)

// TestDateAt_OfAClockThatIsSet: which day it is follows the clock on the wall, also
// when somebody sets it.
func TestDateAt_OfAClockThatIsSet(t *testing.T) {
	t.Parallel()
	d := dateAt(time.Now(), time.UTC)
	for _, at := range []time.Time{d.from, d.until} {
		if strings.Contains(at.String(), " m=") {
			t.Errorf("%v is compared by what this process counts", at)
		}
	}
}
