package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/bench"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
)

// failing is a server that is gone once it comes to delete an app.
type failing struct {
	grpc.ClientConnInterface
	at uint32
}

func (f *failing) Invoke(_ context.Context, method string, in, _ any, _ ...grpc.CallOption) error {
	if d, ok := in.(*imquotav1.DeleteAppRequest); ok && d.GetAppId() == f.at {
		return errors.New(method + ": nobody is there")
	}
	return nil
}

// TestAppsThatAreLeft: whoever ran against a server that went away is told what is
// to be deleted there.
func TestAppsThatAreLeft(t *testing.T) {
	t.Parallel()
	a := &bench.Apps{Conn: &failing{at: 7}, Account: "run"}
	for id := uint32(1); id <= 7; id++ {
		a.IDs = append(a.IDs, id)
	}
	err := a.Remove(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "app 7: ") {
		t.Errorf("error %v, want one that names app 7", err)
	}
	if last := len(a.IDs) - 1; last < 0 || a.IDs[last] != 7 {
		t.Fatalf("%d are left, want 7 among them", a.IDs)
	}

	a.IDs = []uint32{7, 9}
	if diff := cmp.Diff("2 apps are left, to be disabled and deleted: 7, 9", a.Left()); diff != "" {
		t.Error(diff)
	}
	for id := uint32(11); id < 21; id++ {
		a.IDs = append(a.IDs, id)
	}
	if got, want := a.Left(), "12 apps are left, to be disabled and deleted: 7, 9, 11, 12, 13, 14, 15, 16, 17, 18, and 2 more of the accounts run-0 and up"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a.Conn = &failing{}
	if err := a.Remove(t.Context(), nil); err != nil || len(a.IDs) != 0 {
		t.Errorf("error %v, %d are left", err, a.IDs)
	}
}
