package boltstore

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// onlineBucket is made by the first report.
var onlineBucket = []byte("online") // app -> gateways and peaks

// online is what an app's gateways reported, as it is stored: JSON, with times in
// Unix milliseconds.
type online struct {
	Gateways map[string]lease `json:"gateways,omitempty"`
	MonthEnd int64            `json:"monthEnd,omitempty"` // of the last report
	Peaks    map[string]int64 `json:"peaks,omitempty"`    // by the first instant of the month
}

type lease struct {
	Users int64 `json:"users"`
	End   int64 `json:"end"`
}

func decodeOnline(b []byte) (*online, error) {
	o := &online{}
	if b != nil {
		if err := json.Unmarshal(b, o); err != nil || !o.isPossible() {
			return nil, errCorrupt
		}
	}
	if o.Gateways == nil {
		o.Gateways = make(map[string]lease)
	}
	if o.Peaks == nil {
		o.Peaks = make(map[string]int64)
	}
	return o, nil
}

// isPossible reports whether all are numbers of users, all of them together too.
func (o *online) isPossible() bool {
	var users int64
	for _, l := range o.Gateways {
		if l.Users < 0 || l.Users > catalog.MaxLimit-users {
			return false
		}
		users += l.Users
	}
	for _, n := range o.Peaks {
		if n < 0 || n > catalog.MaxLimit {
			return false
		}
	}
	return true
}

func onlineAt(in *transaction, app uint32) (*online, error) {
	return decodeOnline(in.online().get(appKey(app)))
}

func (o *online) put(in *transaction, app uint32) error {
	b := in.online()
	if !b.exists() {
		if _, err := in.tx.CreateBucket(onlineBucket); err != nil {
			return err
		}
		b = in.online()
	}
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return b.put(appKey(app), value)
}

// readOnline reads what gateways reported and, of a report, notes it in s.online,
// which is written with the rest.
func (s *step) readOnline(o *quota.Outcome) (err error) {
	t := &s.txn.Online
	if t.Op == quota.OnlineNone {
		return nil
	}
	if s.online, err = onlineAt(s.in, s.txn.App); err != nil {
		return corrupt("users online of app", strconv.FormatUint(uint64(s.txn.App), 10))
	}
	now := s.clock.UnixMilli()
	s.online.turn(now)
	for gateway, l := range s.online.Gateways {
		if l.End <= now || t.Op == quota.OnlineReport && gateway == t.Gateway {
			delete(s.online.Gateways, gateway)
		}
	}
	if t.Op == quota.OnlineReport && t.Users > 0 {
		if len(s.online.Gateways) >= quota.MaxGateways {
			return quota.ErrGateways
		}
		ends := s.clock.Add(t.Lease)
		s.online.Gateways[t.Gateway] = lease{t.Users, ends.UnixMilli()}
		o.Online.LeaseEnd = time.UnixMilli(ends.UnixMilli())
	}
	for _, l := range s.online.Gateways {
		o.Online.Users += l.Users
	}
	o.Online.Gateways = len(s.online.Gateways)
	if t.Op == quota.OnlineReport {
		s.online.MonthEnd = t.Months[0].End.UnixMilli()
		s.online.peak(t.Months[0].Start.UnixMilli(), o.Online.Users, now)
	}
	o.Online.Peaks = make([]int64, len(t.Months))
	for i, month := range t.Months {
		o.Online.Peaks[i] = s.online.Peaks[peakName(month.Start.UnixMilli())]
	}
	return nil
}

// turn notes who was online when the month after that of the last report began,
// once it has.
func (o *online) turn(now int64) {
	if o.MonthEnd == 0 || now < o.MonthEnd {
		return
	}
	var users int64
	for _, l := range o.Gateways {
		if l.End > o.MonthEnd {
			users += l.Users
		}
	}
	o.peak(o.MonthEnd, users, now)
}

// peak notes the peak of a month, and forgets those of months long past.
func (o *online) peak(month, users, now int64) {
	name := peakName(month)
	if users <= o.Peaks[name] {
		return
	}
	o.Peaks[name] = users
	for name := range o.Peaks {
		if start, err := strconv.ParseInt(name, 10, 64); err != nil || start+quota.PeakKept.Milliseconds() < now {
			delete(o.Peaks, name)
		}
	}
}

func peakName(month int64) string { return strconv.FormatInt(month, 10) }

func (s *step) writeOnline() error {
	if s.txn.Online.Op != quota.OnlineReport {
		return nil
	}
	s.changed = true
	return s.online.put(s.in, s.txn.App)
}

// sweepOnline removes the gateways of an app that is gone; the peaks stay.
func (b *broom) sweepOnline(tx *bolt.Tx) error {
	in := inPlace(tx)
	stored, err := onlineAt(in, b.app)
	if err != nil {
		stored, err = decodeOnline(nil) // what is damaged is nobody's any more
	} else if len(stored.Gateways) == 0 {
		return nil
	}
	if err != nil || b.left() == 0 {
		return err
	}
	b.removed++
	stored.Gateways, stored.MonthEnd = nil, 0
	return stored.put(in, b.app)
}
