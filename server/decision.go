package server

import (
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// answer is a decision as it is sent, by itself or in a batch: one piece of memory.
// Many requests may have it, so nobody changes it. grpc-go encodes it for several at
// once: that reads it, but for the sizes that messages remember, which are atomic.
type answer struct {
	response imquotav1.CheckQuotaResponse
	item     imquotav1.BatchItem
	result   imquotav1.BatchItem_Decision
	decision imquotav1.Decision
}

// answerOf converts a decision, or finds it converted.
func answerOf(d *quota.Decision) *answer {
	a, _ := d.Form(func(d *quota.Decision) any { return newAnswer(d) }).(*answer)
	return a
}

func newAnswer(d *quota.Decision) *answer { return (&answerRoom{}).answerOf(d) }

// counter is a counter as it is sent: one piece of memory.
type counter struct {
	state imquotav1.QuotaState
	reset timestamppb.Timestamp
}

// answerRoom is where the answers of a batch lie together that are one request's
// alone.
type answerRoom struct {
	items    int // that may need a place still
	answers  []answer
	counters []counter
	lists    []*imquotav1.QuotaState
}

// answerOf converts a decision in the next place.
func (r *answerRoom) answerOf(d *quota.Decision) *answer {
	if len(r.answers) == 0 {
		r.answers = make([]answer, max(1, r.items))
	}
	a := &r.answers[0]
	r.answers = r.answers[1:]
	out := &a.decision
	a.response.Decision, a.result.Decision, a.item.Result = out, out, &a.result
	out.Allowed = d.Allowed
	out.Violations = fromViolations(d.Violations)
	out.ViolationCount = int32(d.ViolationCount)
	out.Source = fromSource(d.Source)
	out.Replayed, out.Clamped, out.Late = d.Replayed, d.Clamped, d.Late
	out.Durability = fromDurability(d.Durability)
	if d.Reservation != nil {
		out.ReservationId, out.ReservationExpireTime = d.Reservation.ID.String(), fromTime(d.Reservation.End)
	}
	out.Upgrade = fromUpgrade(d.Upgrade, d.Currency)
	out.Edition = d.Edition
	out.CatalogVersion = d.CatalogVersion
	if d.Lifecycle != nil {
		out.AppState = fromStage(d.Lifecycle.Stage)
		out.GraceUntil = fromTime(d.Lifecycle.GraceUntil)
	}
	out.Quotas = r.fromStates(d.Quotas)
	return a
}

func fromSource(s quota.Source) imquotav1.Source {
	switch s {
	case quota.SourceStore:
		return imquotav1.Source_SOURCE_STORE
	case quota.SourceCache:
		return imquotav1.Source_SOURCE_CACHE
	case quota.SourceDegraded:
		return imquotav1.Source_SOURCE_DEGRADED
	}
	return imquotav1.Source_SOURCE_UNSPECIFIED
}

func fromDurability(d quota.Durability) imquotav1.Durability {
	switch d {
	case quota.DurabilityPrimary:
		return imquotav1.Durability_DURABILITY_PRIMARY
	case quota.DurabilityReplicated:
		return imquotav1.Durability_DURABILITY_REPLICATED
	case quota.DurabilitySynced:
		return imquotav1.Durability_DURABILITY_SYNCED
	case quota.DurabilityUnknown:
	}
	return imquotav1.Durability_DURABILITY_UNSPECIFIED
}

func fromStage(s account.Stage) imquotav1.AppState {
	switch s {
	case account.Active:
		return imquotav1.AppState_APP_STATE_ACTIVE
	case account.Grace:
		return imquotav1.AppState_APP_STATE_GRACE
	case account.Suspended:
		return imquotav1.AppState_APP_STATE_SUSPENDED
	case account.Reclaimed:
		return imquotav1.AppState_APP_STATE_RECLAIMED
	case account.Deleted:
		return imquotav1.AppState_APP_STATE_DELETED
	}
	return imquotav1.AppState_APP_STATE_UNSPECIFIED
}

// reasons are the names of the domain's reasons on the wire.
var reasons = [...]imquotav1.Reason{
	quota.AppNotFound:          imquotav1.Reason_REASON_APP_NOT_FOUND,
	quota.AppSuspended:         imquotav1.Reason_REASON_APP_SUSPENDED,
	quota.FeatureNotInEdition:  imquotav1.Reason_REASON_FEATURE_NOT_IN_EDITION,
	quota.ApprovalMissing:      imquotav1.Reason_REASON_APPROVAL_MISSING,
	quota.ApprovalPending:      imquotav1.Reason_REASON_APPROVAL_PENDING,
	quota.RegionExcluded:       imquotav1.Reason_REASON_REGION_EXCLUDED,
	quota.PlatformUnsupported:  imquotav1.Reason_REASON_PLATFORM_UNSUPPORTED,
	quota.SDKTooOld:            imquotav1.Reason_REASON_SDK_TOO_OLD,
	quota.GroupTypeUnsupported: imquotav1.Reason_REASON_GROUP_TYPE_UNSUPPORTED,
	quota.GroupTooLarge:        imquotav1.Reason_REASON_GROUP_TOO_LARGE,
	quota.TrialNotStarted:      imquotav1.Reason_REASON_TRIAL_NOT_STARTED,
	quota.TrialEnded:           imquotav1.Reason_REASON_TRIAL_ENDED,
	quota.OperationNotAllowed:  imquotav1.Reason_REASON_OPERATION_NOT_ALLOWED,
	quota.LimitExceeded:        imquotav1.Reason_REASON_LIMIT_EXCEEDED,
}

func fromViolations(vs []quota.Violation) []*imquotav1.Violation {
	if len(vs) == 0 {
		return nil
	}
	out := make([]*imquotav1.Violation, len(vs))
	for i := range vs {
		v := &vs[i]
		out[i] = &imquotav1.Violation{
			Reason: reasons[v.Reason], Quota: v.Quota, Feature: v.Feature, Subject: v.Subject,
			Limit: v.Limit, Used: v.Used, Held: v.Held, Requested: v.Requested, UpstreamCode: v.UpstreamCode,
			Since: fromTime(v.Since), Suspensions: fromSuspensions(v.Suspensions), Message: v.Message,
		}
	}
	return out
}

func fromUpgrade(e *catalog.Edition, currency string) *imquotav1.Upgrade {
	if e == nil {
		return nil
	}
	return &imquotav1.Upgrade{
		Edition:      e.Key,
		MonthlyPrice: &imquotav1.Money{CurrencyCode: currency, Amount: e.MonthlyPrice.StringFixed(2)},
	}
}

func fromState(s *quota.State) *imquotav1.QuotaState {
	return fromStates([]quota.State{*s})[0]
}

// fromStates converts counters.
func fromStates(all []quota.State) []*imquotav1.QuotaState {
	return (&answerRoom{}).fromStates(all)
}

// fromStates converts counters in the next places.
func (r *answerRoom) fromStates(all []quota.State) []*imquotav1.QuotaState {
	n := len(all)
	if n == 0 {
		return nil
	}
	if len(r.counters) < n {
		most := n * max(1, r.items)
		r.counters, r.lists = make([]counter, most), make([]*imquotav1.QuotaState, most)
	}
	list, messages := r.lists[:n:n], r.counters[:n]
	r.lists, r.counters = r.lists[n:], r.counters[n:]
	for i := range all {
		s, m := &all[i], &messages[i]
		out := &m.state
		list[i] = out
		out.Quota, out.Subject, out.Limit, out.Unlimited = s.Quota, s.Subject, s.Limit.Max(), s.Limit.IsUnlimited()
		out.Used, out.Held, out.Overage, out.Change = s.Used, s.Held, s.Overage(), s.Change
		if !out.GetUnlimited() {
			out.Remaining = s.Limit.Remaining(s.Used + s.Held)
		}
		if !s.Reset.IsZero() {
			m.reset.Seconds, m.reset.Nanos = s.Reset.Unix(), int32(s.Reset.Nanosecond())
			out.ResetTime = &m.reset
		}
	}
	return list
}

// fromTime converts an instant; the zero time is left out.
func fromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
