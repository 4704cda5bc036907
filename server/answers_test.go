package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/server"
	"google.golang.org/protobuf/proto"
)

// TestAnswersAreShared: the same answer is one message for all who get it, it is
// encoded for many at once, and nobody changes it.
func TestAnswersAreShared(t *testing.T) {
	t.Parallel()
	h := newHandlers(t, 3)
	codec := server.Codec()
	var asking sync.WaitGroup
	var mu sync.Mutex
	first := make(map[string]*imquotav1.CheckQuotaResponse)
	wire := make(map[string]string)
	for range 4 {
		asking.Go(func() {
			for range 200 {
				for name, r := range map[string]*imquotav1.CheckQuotaRequest{
					"allowed":   useFeature(premiumApp, "user_status"),
					"in short":  basic(useFeature(premiumApp, "user_status")),
					"denied":    useFeature(standardApp, "user_status"),
					"suspended": useFeature(suspendedApp, "user_status"),
					"counted":   basic(check(premiumApp, &imquotav1.Login{UserId: "a"})),
				} {
					out, err := h.CheckQuota(context.Background(), r)
					if err != nil {
						t.Error(err)
						return
					}
					sent, err := codec.Marshal(out)
					if err != nil {
						t.Error(err)
						return
					}
					text := string(sent.Materialize())
					sent.Free()
					mu.Lock()
					if first[name] == nil {
						first[name], wire[name] = out, text
					}
					if text != wire[name] {
						t.Errorf("%s: the answer was %q once, and is %q", name, wire[name], text)
					}
					mu.Unlock()
				}
			}
		})
	}
	asking.Wait()
	for name, r := range map[string]*imquotav1.CheckQuotaRequest{
		"allowed": useFeature(premiumApp, "user_status"),
		"denied":  useFeature(standardApp, "user_status"),
	} {
		one, _ := h.CheckQuota(t.Context(), r)
		two, _ := h.CheckQuota(t.Context(), r)
		if one != two {
			t.Errorf("%s: two messages for one answer", name)
		}
		batch, err := h.BatchCheckQuota(t.Context(), &imquotav1.BatchCheckQuotaRequest{Items: []*imquotav1.CheckQuotaRequest{r, r}})
		if err != nil || batch.GetItems()[0] != batch.GetItems()[1] || !proto.Equal(batch.GetItems()[1].GetDecision(), one.GetDecision()) {
			t.Errorf("%s in a batch: %v, %v; alone %v", name, batch, err, one)
		}
	}
}

func basic(r *imquotav1.CheckQuotaRequest) *imquotav1.CheckQuotaRequest {
	r.View = imquotav1.View_VIEW_BASIC
	return r
}

// TestRequestsLeaveNoTrace: what one request said does not count for the next one,
// whatever was wrong with it.
func TestRequestsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	h := newHandlers(t, 3)
	users := make([]string, 20)
	for i := range users {
		users[i] = fmt.Sprint("user", i)
	}
	register := check(premiumApp, &imquotav1.RegisterUsers{UserIds: users})
	old := useFeature(premiumApp, "local_search")
	old.RequestId, old.Client = "r", &imquotav1.Client{Id: "c", Platform: "web", SdkVersion: "0.1"}
	said := []*imquotav1.CheckQuotaRequest{
		old,
		reserve(check(premiumApp, &imquotav1.AddFriend{UserId: "a", FriendId: "b"}), 0),
		reserve(check(premiumApp, &imquotav1.AddFriend{UserId: "a", FriendId: "a"}), 0),
		register,
		useFeature(0, "\x00"),
	}
	ask := func() (got string) {
		for _, r := range []*imquotav1.CheckQuotaRequest{
			useFeature(premiumApp, "local_search"),
			check(premiumApp, &imquotav1.AddFriend{UserId: "c", FriendId: "d"}),
			register,
			useFeature(0, "user_status"),
		} {
			out, err := h.CheckQuota(t.Context(), r)
			got += fmt.Sprintln(out.GetDecision().GetAllowed(), out.GetDecision().GetReservationId(), err)
		}
		return got
	}
	want := ask()
	for i := range 50 {
		before, _ := h.CheckQuota(t.Context(), said[i%len(said)])
		if i%len(said) == 0 && before.GetDecision().GetAllowed() {
			t.Fatal("on a device that cannot: allowed")
		}
		if got := ask(); got != want {
			t.Fatalf("after %v:\n%s\nwant\n%s", said[i%len(said)], got, want)
		}
	}
	for range 3 {
		if out, err := h.CheckQuota(t.Context(), register); err != nil || !out.GetDecision().GetAllowed() {
			t.Errorf("the same users again: %v, %v", out, err)
		}
	}
}
