package account_test

import (
	"testing"

	"github.com/imquota/imquota/account"
)

func TestVersionsAreNeverMadeTwice(t *testing.T) {
	t.Parallel()
	first := account.FirstVersion()
	if first.Revision != 1 || first == account.FirstVersion() {
		t.Errorf("the first version is %+v, again and again", first)
	}
	next := first.Next()
	if next.Revision != 2 || next == first.Next() || next.Epoch == first.Epoch {
		t.Errorf("after %+v comes %+v, again and again", first, next)
	}
}
