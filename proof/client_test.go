package proof

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// longHold outlasts a history: nothing ends by itself in it.
const longHold = 15 * time.Minute

// quotaKeys are those of the families.
var quotaKeys = [families]string{friends: "friends", groups: "groups", users: "users"}

// call asks once, and tells what came of it. An error that no fault explains is
// returned.
func (c *chain) call(ctx context.Context, s *sidecar, began time.Time) error {
	a := attempt{call: time.Since(began)}
	output, err := c.ask(ctx, s)
	a.ret, a.output = time.Since(began), output
	a.outcome, a.reason, err = outcomeOf(err, &a.output)
	c.attempts = append(c.attempts, a)
	if err != nil {
		return fmt.Errorf("%v: %w", &c.input, err)
	}
	return nil
}

// ask makes the call.
func (c *chain) ask(ctx context.Context, s *sidecar) (out output, err error) {
	client := &imquotav1.Client{Id: "proof"}
	var d *imquotav1.Decision
	switch c.verb {
	case read:
		return c.askUsage(ctx, s)
	case setLimit:
		_, err := s.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{
			AppId: c.app, RequestId: c.request, Quota: quotaKeys[c.family], Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: c.value},
		})
		return out, err
	case setUsage:
		return c.askSet(ctx, s)
	case charge:
		r := &imquotav1.CheckQuotaRequest{AppId: c.app, RequestId: c.request, Client: client, Mode: modes[c.mode]}
		if c.mode == reserve {
			r.Hold = durationpb.New(cmp.Or(c.lasts, longHold))
		}
		c.setAction(r)
		var got *imquotav1.CheckQuotaResponse
		got, err = s.CheckQuota(ctx, r)
		d = got.GetDecision()
		if id := d.GetReservationId(); id != "" {
			c.hold = id
		}
	case release:
		r := &imquotav1.ReleaseQuotaRequest{AppId: c.app, RequestId: c.request, Client: client}
		c.setRelease(r)
		var got *imquotav1.ReleaseQuotaResponse
		got, err = s.ReleaseQuota(ctx, r)
		d = got.GetDecision()
	case commit:
		var got *imquotav1.CommitReservationResponse
		got, err = s.CommitReservation(ctx, &imquotav1.CommitReservationRequest{AppId: c.app, ReservationId: c.makes.hold})
		d = got.GetDecision()
	case cancel:
		var got *imquotav1.CancelReservationResponse
		got, err = s.CancelReservation(ctx, &imquotav1.CancelReservationRequest{AppId: c.app, ReservationId: c.makes.hold})
		d = got.GetDecision()
	}
	if err != nil {
		return out, err
	}
	return c.decided(d)
}

var modes = [...]imquotav1.Mode{
	consume: imquotav1.Mode_MODE_CONSUME, checkOnly: imquotav1.Mode_MODE_CHECK_ONLY,
	adjust: imquotav1.Mode_MODE_ADJUST, reserve: imquotav1.Mode_MODE_RESERVE,
}

// friendship is who becomes or was a friend of whom. A stranger's friends are
// counted by nobody here.
func (c *chain) friendship() (user, friend string, oneWay bool) {
	switch {
	case c.name != "":
		return c.name, "stranger", true
	case c.delta[0] == 0:
		return friendsOf[1], "stranger", true
	case c.delta[1] == 0:
		return friendsOf[0], "stranger", true
	}
	return friendsOf[0], friendsOf[1], false
}

// group is the group's id.
func (c *chain) groupID() string {
	if c.name != "" {
		return c.name
	}
	return groupNames[c.group]
}

func (c *chain) setAction(r *imquotav1.CheckQuotaRequest) {
	switch c.family {
	case friends:
		user, friend, oneWay := c.friendship()
		r.Action = &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: user, FriendId: friend, OneWay: oneWay}}
	case groups:
		r.Action = &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: &imquotav1.CreateGroup{GroupId: c.groupID(), GroupType: "work"}}
	case users:
		ids := c.userIDs()
		if len(ids) == 1 {
			r.Action = &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: ids[0]}}
			return
		}
		r.Action = &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: &imquotav1.RegisterUsers{UserIds: ids}}
	case families:
	}
}

func (c *chain) setRelease(r *imquotav1.ReleaseQuotaRequest) {
	switch c.family {
	case friends:
		user, friend, oneWay := c.friendship()
		r.Release = &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: &imquotav1.RemoveFriend{UserId: user, FriendId: friend, OneWay: oneWay}}
	case groups:
		r.Release = &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: &imquotav1.DissolveGroup{GroupId: c.groupID()}}
	case users:
		r.Release = &imquotav1.ReleaseQuotaRequest_DeleteUsers{DeleteUsers: &imquotav1.DeleteUsers{UserIds: c.userIDs()}}
	case families:
	}
}

func (c *chain) askUsage(ctx context.Context, s *sidecar) (out output, err error) {
	r := &imquotav1.GetUsageRequest{AppId: c.app, Quotas: []string{quotaKeys[c.family]}}
	if c.family == friends {
		r.UserId, _, _ = c.friendship()
	}
	got, err := s.GetUsage(ctx, r)
	if err != nil {
		return out, err
	}
	out.shown, err = c.counters(got.GetQuotas())
	if err == nil && len(out.shown) != 1 {
		err = fmt.Errorf("usage shows %d counters, want 1", len(out.shown))
	}
	return out, err
}

func (c *chain) askSet(ctx context.Context, s *sidecar) (out output, err error) {
	r := &imquotav1.SetUsageRequest{AppId: c.app, RequestId: c.request, Quota: quotaKeys[c.family], Subject: friendsOf[0], Used: c.value}
	if c.seen >= 0 {
		r.Observed = &c.seen
	}
	got, err := s.apps.SetUsage(ctx, r)
	if err != nil {
		return out, err
	}
	if got.GetReplayed() {
		out.answer = replayed
	}
	out.before = got.GetBefore()
	out.shown, err = c.counters([]*imquotav1.QuotaState{got.GetState()})
	return out, err
}

// decided reads a decision.
func (c *chain) decided(d *imquotav1.Decision) (out output, err error) {
	out.clamped = d.GetClamped()
	c.late = c.late || d.GetLate()
	out.durable = d.GetDurability() == imquotav1.Durability_DURABILITY_REPLICATED
	switch {
	case d.GetReplayed():
		out.answer = replayed
	case !d.GetAllowed():
		out.answer = denied
		for _, v := range d.GetViolations() {
			if v.GetReason() != imquotav1.Reason_REASON_LIMIT_EXCEEDED || v.GetQuota() != quotaKeys[c.family] {
				return out, fmt.Errorf("denied for another reason: %v", v)
			}
			out.shown = append(out.shown, shown{c.counter(v.GetSubject()), v.GetLimit(), v.GetUsed(), v.GetHeld(), v.GetRequested()})
		}
		return out, nil
	}
	out.shown, err = c.counters(d.GetQuotas())
	return out, err
}

// counter is whose counter a subject's is.
func (c *chain) counter(subject string) int {
	if c.family == friends && subject == friendsOf[1] {
		return 1
	}
	return 0
}

// counters are those of the family.
func (c *chain) counters(all []*imquotav1.QuotaState) (list []shown, err error) {
	for _, q := range all {
		if q.GetUsed() < 0 && q.GetQuota() != "daily_net_groups" || q.GetHeld() < 0 {
			return nil, fmt.Errorf("below zero: %v", q)
		}
		if q.GetQuota() == quotaKeys[c.family] {
			list = append(list, shown{c.counter(q.GetSubject()), q.GetLimit(), q.GetUsed(), q.GetHeld(), q.GetChange()})
		}
	}
	return list, nil
}

// wroteNothing are the reasons of errors that promise that nothing was done, and
// that the faults here explain; lost are those of a store that has lost data.
var (
	wroteNothing = []string{"STORE_UNAVAILABLE", "STORE_READ_ONLY", "STORE_OUT_OF_MEMORY", "CLOCK_SKEW", "SLOT_MOVING", "OVERLOADED", "CONFLICT", "CALLER_GONE"}
	lost         = []string{"STORE_NOT_INITIALIZED", "USAGE_UNKNOWN"}
)

// answers are the errors that are answers.
var answers = map[string]answer{
	"GROUP_EXISTS": exists, "RESERVATION_COMMITTED": committed, "RESERVATION_CANCELLED": cancelled, "RESERVATION_NOT_FOUND": unknown,
}

// outcomeOf sorts an error. One that is none of those that may come is returned.
func outcomeOf(err error, out *output) (o outcome, reason string, strange error) {
	if err == nil {
		return settled, "", nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return doubt, "", err
	}
	reason = reasonOf(st)
	switch a, isAnswer := answers[reason]; {
	case isAnswer:
		out.answer = a
		return settled, reason, nil
	case slices.Contains(wroteNothing, reason), slices.Contains(lost, reason):
		return nothing, reason, nil
	case reason == "OUTCOME_UNKNOWN":
		return doubt, reason, nil
	case reason == "" && (st.Code() == codes.DeadlineExceeded || st.Code() == codes.Canceled || st.Code() == codes.Unavailable):
		return doubt, st.Code().String(), nil // gRPC's own
	}
	return doubt, reason, err
}

func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// client asks for one operation after the other.
type client struct {
	*load

	number   int
	random   *rand.Rand
	chains   []*chain
	reserved []*chain // not yet committed or cancelled
	counted  []*chain // not yet given back
	made     int      // groups
}

// load is what clients do together.
type load struct {
	sidecars []*sidecar
	apps     []uint32
	seed     uint64
	began    time.Time
	pick     func(*client) *chain
	pace     time.Duration // the longest pause between two operations of a client
	deadline time.Duration // the longest of a call

	keeps   atomic.Bool  // nothing is given back any more
	applied atomic.Int64 // how often an effect was acknowledged

	mu      sync.Mutex
	strange []error        // errors that nothing explains
	calls   int            // so far
	reasons map[string]int // of errors
}

// run has clients ask until the context is done, and returns all they asked for.
func (l *load) run(ctx context.Context, clients int) []*chain {
	all := make([]*client, clients)
	var running sync.WaitGroup
	for i := range all {
		c := &client{load: l, number: i, random: draw(l.seed, 100+i)}
		all[i] = c
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c.next(ctx, n)
			}
		})
	}
	running.Wait()
	var chains []*chain
	for _, c := range all {
		chains = append(chains, c.chains...)
	}
	return chains
}

// next asks for one operation, and again while nobody knows what came of it.
func (c *client) next(ctx context.Context, n int) {
	pass(time.Duration(c.random.Int64N(int64(c.pace))))
	chain := c.pick(c)
	chain.request = fmt.Sprintf("%d-%d-%d", c.seed, c.number, n)
	c.chains = append(c.chains, chain)
	patience := 1 + c.random.IntN(8)
	for range patience {
		c.try(chain)
		if chain.isDone() && !chain.isInDoubt() || ctx.Err() != nil {
			break
		}
	}
	// A caller that repeats what it has the answer to.
	if chain.hasEffect() && c.random.IntN(6) == 0 {
		c.try(chain)
	}
	if !chain.hasEffect() {
		return
	}
	switch {
	case chain.mode == reserve:
		chain.due = time.Now().Add(time.Duration(c.random.Int64N(int64(2500 * time.Millisecond))))
		c.reserved = append(c.reserved, chain)
	case chain.verb == commit:
		c.counted = append(c.counted, chain.makes)
	case chain.verb == charge:
		c.counted = append(c.counted, chain)
	}
}

// try makes one call through any sidecar.
func (c *client) try(chain *chain) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond+time.Duration(c.random.Int64N(int64(c.deadline))))
	defer cancel()
	err := chain.call(ctx, c.sidecars[c.random.IntN(len(c.sidecars))], c.began)
	a := &chain.attempts[len(chain.attempts)-1]
	if a.outcome == settled && a.output.answer == applied && chain.verb != read && chain.mode != checkOnly {
		c.applied.Add(1)
	}
	c.note(a.reason, err)
}

func (l *load) note(reason string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.reasons == nil {
		l.reasons = make(map[string]int)
	}
	if reason != "" {
		l.reasons[reason]++
	}
	if err != nil {
		l.strange = append(l.strange, err)
	}
}

// more lets clients go on until so many more effects have been acknowledged.
func (l *load) more(t testing.TB, n int64) {
	t.Helper()
	enough := l.applied.Load() + n
	eventually(t, "the load", func(context.Context) error {
		if got := l.applied.Load(); got < enough {
			return fmt.Errorf("%d effects, want %d", got, enough)
		}
		return nil
	})
}

// wantNothingStrange fails the test for errors that no fault explains. isLost: the
// store has lost data.
func (l *load) wantNothingStrange(t testing.TB, isLost bool) {
	t.Helper()
	for _, err := range l.strange[:min(10, len(l.strange))] {
		t.Errorf("answered: %v", err)
	}
	for _, reason := range lost {
		if n := l.reasons[reason]; n > 0 && !isLost {
			t.Errorf("%s %d times, and nothing is lost", reason, n)
		}
	}
}

// settle repeats, through a sidecar whose way is whole, what nobody knows the
// outcome of.
func (l *load) settle(t testing.TB, s *sidecar, chains []*chain) (inDoubt int) {
	t.Helper()
	for _, c := range chains {
		if !c.isInDoubt() || c.verb == read {
			continue
		}
		inDoubt++
		l.repeat(t, s, c)
	}
	return inDoubt
}

// repeat asks again until it is answered.
func (l *load) repeat(t testing.TB, s *sidecar, c *chain) {
	t.Helper()
	if c.makes != nil && c.makes.hold == "" {
		return
	}
	end := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := c.call(ctx, s, l.began)
		cancel()
		if err != nil {
			t.Errorf("repeated: %v", err)
			return
		}
		if c.attempts[len(c.attempts)-1].outcome == settled {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%v is not answered though nothing is broken", &c.input)
			return
		}
		pass(10 * time.Millisecond)
	}
}

// createApps creates apps with the families' first limits.
func createApps(t testing.TB, s *sidecar, limits [families]int64, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		eventually(t, "an app to be created", func(ctx context.Context) error {
			_, err := s.apps.CreateApp(ctx, &imquotav1.CreateAppRequest{
				RequestId: "make", AppId: id, AccountId: fmt.Sprint("owner", id), Import: &imquotav1.AppImport{Edition: "developer"},
			})
			return err
		})
		overrides := map[string]int64{"daily_net_groups": 1 << 40} // which no model here counts
		for f, limit := range limits {
			overrides[quotaKeys[f]] = limit
		}
		for key, limit := range overrides {
			eventually(t, "a limit to be set", func(ctx context.Context) error {
				_, err := s.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{
					AppId: id, Quota: key, Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: limit},
				})
				return err
			})
		}
	}
}

// eventually tries something until it succeeds.
func eventually(t testing.TB, what string, try func(ctx context.Context) error) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		pass(20 * time.Millisecond)
	}
}
