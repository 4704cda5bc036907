package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Making and removing apps, and what is counted before, goes so many calls at once.
const parallel = 16

// appsOfAccount is how many apps an account of a run gets. A catalog allows more.
const appsOfAccount = 100

// raised is a limit that no run reaches. It is judged like any other, as no limit
// would not be.
const raised = 1_000_000_000

// Apps are those of a run, at the other end of a connection that operators use.
type Apps struct {
	Conn    grpc.ClientConnInterface
	Account string // accounts are called this, a dash and a number
	Edition string
	IDs     []uint32 // that are there
}

// Progress hears how far long work is.
type Progress func(done, total int)

// Create makes n apps that no limit keeps from what the mixes do.
func (a *Apps) Create(ctx context.Context, n int, mixes []*Mix, heard Progress) error {
	apps := imquotav1.NewAppServiceClient(a.Conn)
	ids := make([]uint32, n)
	err := each(ctx, n, heard, func(ctx context.Context, i int) error {
		out, err := apps.CreateApp(ctx, &imquotav1.CreateAppRequest{
			AccountId: fmt.Sprintf("%s-%d", a.Account, i/appsOfAccount), Name: "load of imquota bench",
			Import: &imquotav1.AppImport{Edition: a.Edition}, Actor: "bench",
		})
		if err != nil {
			return fmt.Errorf("an app of edition %s: %w", a.Edition, err)
		}
		ids[i] = out.GetApp().GetAppId()
		for _, quota := range raisedOf(mixes) {
			if _, err := apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{
				AppId: ids[i], Quota: quota, Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: raised}, Actor: "bench",
			}); err != nil {
				return fmt.Errorf("the limit %s of app %d: %w", quota, ids[i], err)
			}
		}
		return nil
	})
	a.IDs = append(a.IDs, there(ids)...) // also those that are there when another failed
	return err
}

// there leaves out the places of apps that are not there.
func there(ids []uint32) []uint32 {
	return slices.DeleteFunc(ids, func(id uint32) bool { return id == 0 })
}

// raisedOf lists the limits that mixes would reach, each once.
func raisedOf(mixes []*Mix) []string {
	var all []string
	known := make(map[string]bool)
	for _, m := range mixes {
		for _, quota := range m.raises {
			if !known[quota] {
				known[quota] = true
				all = append(all, quota)
			}
		}
	}
	return all
}

// named is how many apps a message names.
const named = 10

// Left says which apps are there.
func (a *Apps) Left() string {
	var names []string
	for _, id := range a.IDs[:min(len(a.IDs), named)] {
		names = append(names, strconv.FormatUint(uint64(id), 10))
	}
	if more := len(a.IDs) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more of the accounts %s-0 and up", more, a.Account))
	}
	return fmt.Sprintf("%d apps are left, to be disabled and deleted: %s", len(a.IDs), strings.Join(names, ", "))
}

// Remove deletes the apps that were created. IDs are those that are left.
func (a *Apps) Remove(ctx context.Context, heard Progress) error {
	apps := imquotav1.NewAppServiceClient(a.Conn)
	defer func() { a.IDs = there(a.IDs) }()
	return each(ctx, len(a.IDs), heard, func(ctx context.Context, i int) error {
		if _, err := apps.DisableApp(ctx, &imquotav1.DisableAppRequest{AppId: a.IDs[i], Actor: "bench"}); err != nil {
			return fmt.Errorf("app %d: %w", a.IDs[i], err)
		}
		if _, err := apps.DeleteApp(ctx, &imquotav1.DeleteAppRequest{AppId: a.IDs[i], Actor: "bench"}); err != nil {
			return fmt.Errorf("app %d: %w", a.IDs[i], err)
		}
		a.IDs[i] = 0
		return nil
	})
}

// Features returns the keys of the features that an app may use from the device
// that the checks name.
func Features(ctx context.Context, conn grpc.ClientConnInterface, app uint32) ([]string, error) {
	out, err := imquotav1.NewQuotaServiceClient(conn).GetEntitlements(ctx, &imquotav1.GetEntitlementsRequest{AppId: app, Client: device})
	if status.Code(err) == codes.NotFound {
		return nil, fmt.Errorf("app %d is not there: %w", app, err)
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, f := range out.GetFeatures() {
		if f.GetAllowed() {
			keys = append(keys, f.GetFeature())
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("app %d, of edition %s, may use no feature at all", app, out.GetEdition())
	}
	return keys, nil
}

// warmth is what is counted of a user before a run.
type warmth func(s *source, app, user int) step

func loggedIn(s *source, app, user int) step { return s.loginOf(app, s.userID(app, user)) }

// befriended has each user have a friend, of whom nothing is counted.
func befriended(s *source, app, user int) step {
	return s.addFriendOf(app, s.userID(app, user), "somebody", true)
}

// warmBatch is how many checks a call carries that fills counters.
const warmBatch = 256

// Warm counts something of every user, as the mix needs it.
func (p *Population) Warm(ctx context.Context, conn grpc.ClientConnInterface, m *Mix, heard Progress) error {
	plain := *p
	plain.View, plain.RequestIDs = imquotav1.View_VIEW_BASIC, false
	s := &source{Population: &plain}
	for _, warm := range m.warm {
		batches := (p.Users + warmBatch - 1) / warmBatch
		err := each(ctx, batches, heard, func(ctx context.Context, i int) error {
			c := &Call{}
			for u := i * warmBatch; u < min((i+1)*warmBatch, p.Users); u++ {
				c.Checks = append(c.Checks, warm(s, u%len(p.Apps), u/len(p.Apps)).check)
			}
			out, err := QuotaCaller(conn, true).Call(ctx, c)
			if err == nil {
				err = out.Err
			}
			if err == nil && out.Denied > 0 {
				err = fmt.Errorf("%d of %d checks are denied: %s", out.Denied, len(c.Checks), out.Why)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("counting something of every user: %w", err)
		}
	}
	return nil
}

// sampler is the number of a caller that no side has.
const sampler = 1 << 20

// sampleSize is how many answers show how large they are.
const sampleSize = 32

// Sample returns what imquota answers to some checks of a mix: as many as a batch
// has, if there are batches.
func (p *Population) Sample(ctx context.Context, conn grpc.ClientConnInterface, m *Mix, batch int) ([]*imquotav1.BatchItem, error) {
	if batch == 0 {
		batch = sampleSize
	}
	next := m.calls(p, sampler, batch)
	c := next.draw()
	for c.Release != nil {
		c = next.draw()
	}
	out, err := imquotav1.NewQuotaServiceClient(conn).BatchCheckQuota(ctx, &imquotav1.BatchCheckQuotaRequest{Items: c.Checks})
	if err != nil {
		return nil, err
	}
	for _, item := range out.GetItems() {
		if e := item.GetError(); e != nil {
			return nil, &itemError{e}
		}
	}
	return out.GetItems(), nil
}

// each does n things, some at once, until one fails.
func each(ctx context.Context, n int, heard Progress, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var telling sync.Mutex
	var running sync.WaitGroup
	for range min(n, parallel) {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				if k := int(done.Add(1)); heard != nil && telling.TryLock() {
					heard(k, n)
					telling.Unlock()
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
