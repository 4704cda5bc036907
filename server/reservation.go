package server

import (
	"context"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"google.golang.org/protobuf/types/known/durationpb"
)

// hold validates for how long a check is to hold, and that it can.
func (v *invalidFields) hold(d *durationpb.Duration, r *quota.Request) {
	if r.Mode != quota.Reserve {
		if d != nil {
			v.add("hold", "is for MODE_RESERVE alone")
		}
		return
	}
	if r.Action != nil && !quota.CanReserve(r.Action) {
		v.add("mode", "MODE_RESERVE is for create_group, add_group_members and add_friend")
	}
	if d == nil {
		return
	}
	r.Hold = d.AsDuration().Truncate(time.Millisecond)
	if d.CheckValid() != nil || d.AsDuration() < quota.MinHold || d.AsDuration() > quota.MaxHold {
		v.add("hold", "is %v; it must be from %v to %v", d.AsDuration(), quota.MinHold, quota.MaxHold)
	}
}

// reservationEnd is a request to commit or cancel.
type reservationEnd interface {
	GetAppId() uint32
	GetReservationId() string
	GetView() imquotav1.View
}

// endReservation validates the request, ends the reservation and converts the
// decision.
func (s *quotaService) endReservation(
	ctx context.Context, in reservationEnd, action string, end func(context.Context, quota.ReservationEnd) (*quota.Decision, error),
) (*imquotav1.Decision, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	r := quota.ReservationEnd{App: in.GetAppId(), Basic: v.view(in.GetView())}
	var ok bool
	if r.ID, ok = quota.ParseHoldID(in.GetReservationId()); !ok {
		v.add("reservation_id", "is not what a decision told: 32 hexadecimal digits")
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	d, err := end(ctx, r)
	if err != nil {
		return nil, toStatus(err)
	}
	s.metrics.decided(action, d)
	return &answerOf(d).decision, nil
}
