package server_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// seenWithin is within what time a change that one sidecar has acknowledged is
// seen by every other (DESIGN, In the process).
const seenWithin = time.Second

// TestChangesSpread has one sidecar change something while callers ask it and
// another one, as often as they can, from before the change on: no decision that
// is asked for more than a second after the change was acknowledged goes by what
// was before.
func TestChangesSpread(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		a := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		b := start(t, st.another(), a.clock, catalog.Default())
		a.standard(func(o *imquotav1.Order) { o.Edition = "premium" })
		a.bill("may", a.clock.Now().Add(-25*time.Hour))
		a.pay("may")
		feature, push, group := useFeature(theApp, "user_status"), useFeature(theApp, "push_all"), createGroup(theApp, "g", "work")
		group.Mode = imquotav1.Mode_MODE_CHECK_ONLY
		ctx := context.Background()
		for _, tt := range []struct {
			name   string
			change func() error
			ask    *imquotav1.CheckQuotaRequest
			want   bool
			isLong bool
		}{
			{"an override", func() error {
				_, err := a.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{AppId: theApp, Quota: "groups", Override: &imquotav1.SetLimitOverrideRequest_Limit{}})
				return err
			}, group, false, false},
			{"an override taken back", func() error {
				_, err := a.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{AppId: theApp, Quota: "groups", Override: &imquotav1.SetLimitOverrideRequest_Clear{Clear: true}})
				return err
			}, group, true, false},
			{"an approval", func() error {
				_, err := a.apps.ApproveFeature(ctx, &imquotav1.ApproveFeatureRequest{AppId: theApp, Feature: "push_all", ApproveTime: timestamppb.New(a.clock.Now().Add(-48 * time.Hour))})
				return err
			}, push, true, false},
			{"an approval taken back", func() error {
				_, err := a.apps.RevokeFeature(ctx, &imquotav1.RevokeFeatureRequest{AppId: theApp, Feature: "push_all"})
				return err
			}, push, false, false},
			{"a suspension", func() error {
				_, err := a.apps.DisableApp(ctx, &imquotav1.DisableAppRequest{AppId: theApp})
				return err
			}, feature, false, true},
			{"its end", func() error {
				_, err := a.apps.EnableApp(ctx, &imquotav1.EnableAppRequest{AppId: theApp})
				return err
			}, feature, true, false},
			{"an account that owes", func() error {
				_, err := a.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "june", Amount: usd("1"), PushTime: timestamppb.New(a.clock.Now().Add(-24 * time.Hour))})
				return err
			}, login(theApp, "alice"), false, true},
			{"its payment", func() error {
				_, err := a.billing.RecordPayment(ctx, &imquotav1.RecordPaymentRequest{AccountId: theOwner, BillId: "june"})
				return err
			}, feature, true, false},
		} {
			spread(t, []*sidecar{a, b}, tt.name, tt.ask, tt.want, tt.isLong, tt.change)
		}
	})
}

// spread changes something while callers ask all sidecars, until each has
// answered as wanted after the change; if it takes long, for as long as what was
// read on the way might come back.
func spread(t *testing.T, sidecars []*sidecar, name string, ask *imquotav1.CheckQuotaRequest, want, isLong bool, change func() error) {
	t.Helper()
	var acknowledged atomic.Pointer[time.Time]
	var slowest atomic.Int64
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	seen := make([]chan struct{}, len(sidecars))
	for i := range 2 * len(sidecars) {
		which := i % len(sidecars)
		if seen[which] == nil {
			seen[which] = make(chan struct{}, 1)
		}
		running.Go(func() {
			for ctx.Err() == nil {
				sent := time.Now()
				out, err := sidecars[which].CheckQuota(context.Background(), ask)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				at := acknowledged.Load()
				switch {
				case at == nil || sent.Before(*at):
				case out.GetDecision().GetAllowed() == want:
					select {
					case seen[which] <- struct{}{}:
					default:
					}
				default:
					slowest.Store(max(slowest.Load(), int64(sent.Sub(*at))))
				}
			}
		})
	}
	if err := change(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	now := time.Now()
	acknowledged.Store(&now)
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for which := range sidecars {
		select {
		case <-seen[which]:
		case <-patience.C:
			t.Errorf("%s is never seen by sidecar %d", name, which)
		}
	}
	if isLong {
		pass(2500 * time.Millisecond)
	}
	stop()
	running.Wait()
	if late := time.Duration(slowest.Load()); late > seenWithin {
		t.Errorf("%s: a decision asked for %v after it went by what was before", name, late)
	}
}

// TestDeletionSpreads: also to what was counted a moment ago.
func TestDeletionSpreads(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		a := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		b := start(t, st.another(), a.clock, catalog.Default())
		a.standard()
		b.allow(login(theApp, "alice"))
		a.disable(theApp)
		if _, err := a.apps.DeleteApp(t.Context(), &imquotav1.DeleteAppRequest{AppId: theApp}); err != nil {
			t.Fatal(err)
		}
		if d := b.check(login(theApp, "alice")); d.GetAllowed() {
			t.Errorf("counted for a deleted app: %v", d)
		}
		_, err := b.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: theApp})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
	})
}

// TestNothingOldThroughFaults: while the way between a sidecar and Redis is
// broken in some way, the sidecar may have no answer, but none that goes by what
// was before a change of more than a second ago; when the way is whole again it
// answers by what is.
func TestNothingOldThroughFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		before, after func(*redistest.Server, *redistest.Proxy)
	}{
		"cut":       {func(_ *redistest.Server, p *redistest.Proxy) { p.Cut() }, nil},
		"rejected":  {func(_ *redistest.Server, p *redistest.Proxy) { p.Reject() }, func(_ *redistest.Server, p *redistest.Proxy) { p.Pass() }},
		"half open": {func(_ *redistest.Server, p *redistest.Proxy) { p.HalfOpen() }, func(_ *redistest.Server, p *redistest.Proxy) { p.Pass() }},
		"restarted": {func(s *redistest.Server, _ *redistest.Proxy) { s.Kill(); s.Restart() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Standalone(t, "--appendonly", "yes", "--appendfsync", "always")
			proxy := redistest.NewProxy(t, redis.Addr)
			c := newClock("2024-06-15T12:00:00+08:00")
			a := start(t, openRedis(t, redis.Addr), c, catalog.Default())
			b := start(t, openRedis(t, proxy.Addr), c, catalog.Default())
			a.standard()
			ask := useFeature(theApp, "global_coverage")
			b.allow(ask)

			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var acknowledged atomic.Pointer[time.Time]
			var running sync.WaitGroup
			denied := make(chan struct{}, 1)
			for range 4 {
				running.Go(func() {
					for ctx.Err() == nil {
						sent := time.Now()
						out, err := b.CheckQuota(ctx, ask)
						at := acknowledged.Load()
						switch {
						case err != nil || at == nil:
						case !out.GetDecision().GetAllowed():
							select {
							case denied <- struct{}{}:
							default:
							}
						case sent.Sub(*at) > seenWithin:
							t.Errorf("allowed %v after the suspension", sent.Sub(*at))
						}
					}
				})
			}
			// What is read in the first two seconds of a watch is not kept for long:
			// the fault comes when the record is at hand.
			pass(3 * time.Second)
			fault.before(redis, proxy)
			eventually(t, "the suspension", func() error {
				_, err := a.apps.DisableApp(ctx, &imquotav1.DisableAppRequest{AppId: theApp, RequestId: "r"})
				return err
			})
			now := time.Now()
			acknowledged.Store(&now)
			pass(3 * time.Second)
			if fault.after != nil {
				fault.after(redis, proxy)
			}
			patience := time.NewTimer(10 * time.Second)
			defer patience.Stop()
			select {
			case <-denied:
			case <-patience.C:
				t.Error("the suspension is never seen")
			}
			stop()
			running.Wait()
		})
	}
}

// pass lets time go by: what is tested is that nothing happens in it.
func pass(d time.Duration) { <-time.After(d) }

// eventually tries something until it succeeds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	patience := time.Now().Add(10 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(patience) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}
