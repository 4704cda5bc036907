package server

import (
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// decode reads the requests that come most often, as protobuf does and in half
// of its time: all strings of a request share one copy of its bytes, and a batch's
// messages are made many at once. Where anything is out of the ordinary (a field
// that is unknown or of another kind, a message that is there twice, a string that
// is no UTF-8, bytes that are cut off) it says no, and protobuf is to read the
// request anew: so what a request says, and whether it can be read, is protobuf's
// word alone.
func decode(wire []byte, into proto.Message) bool {
	switch m := into.(type) {
	case *imquotav1.CheckQuotaRequest:
		d := decoder{left: 1}
		return d.check(string(wire), m)
	case *imquotav1.BatchCheckQuotaRequest:
		d := decoder{}
		return d.batch(string(wire), m)
	}
	return false
}

// decoder makes the messages of a request.
type decoder struct {
	left     int // how many checks are to be read yet
	checks   slab[imquotav1.CheckQuotaRequest]
	clients  slab[imquotav1.Client]
	features slab[featureAction]
}

// featureAction is the action that is asked for most often, and what holds it.
type featureAction struct {
	held    imquotav1.CheckQuotaRequest_UseFeature
	feature imquotav1.UseFeature
}

// slab makes values many at once.
type slab[T any] struct{ free []T }

// mostAtOnce bounds what is kept of a batch by whoever keeps one of its items.
const mostAtOnce = 32

// next returns a value of which so many are wanted.
func (s *slab[T]) next(wanted int) *T {
	if len(s.free) == 0 {
		s.free = make([]T, max(1, min(wanted, mostAtOnce)))
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}

func (d *decoder) batch(wire string, m *imquotav1.BatchCheckQuotaRequest) bool {
	r := wireReader{wire: wire}
	for r.more() {
		if r.number() != 1<<3|sized {
			return false
		}
		r.bytes()
		d.left++
	}
	m.Items = make([]*imquotav1.CheckQuotaRequest, 0, d.left)
	for r = (wireReader{wire: wire, isOdd: r.isOdd}); r.more(); d.left-- {
		r.number()
		item := d.checks.next(d.left)
		if !d.check(r.bytes(), item) {
			return false
		}
		m.Items = append(m.Items, item)
	}
	return !r.isOdd
}

func (d *decoder) check(wire string, m *imquotav1.CheckQuotaRequest) bool {
	r := wireReader{wire: wire}
	for r.more() {
		isFine := true
		switch tag := r.number(); tag {
		case 1<<3 | varint:
			m.AppId = uint32(r.number())
		case 2<<3 | sized:
			m.RequestId = r.text()
		case 3<<3 | varint:
			m.Mode = imquotav1.Mode(r.number())
		case 4<<3 | varint:
			m.View = imquotav1.View(r.number())
		case 5<<3 | sized:
			inner := r.message(m.GetClient() == nil)
			m.Client = d.clients.next(d.left)
			isFine = texts(inner, &m.Client.Id, &m.Client.Platform, &m.Client.SdkVersion)
		case 6<<3 | sized:
			inner := r.message(m.GetHold() == nil)
			m.Hold = &durationpb.Duration{}
			isFine = rare(inner, m.GetHold())
		default:
			isFine = tag&7 == sized && d.action(tag>>3, r.message(m.Action == nil), m)
		}
		if !isFine {
			return false
		}
	}
	return !r.isOdd
}

// action reads the action, by the number of its field.
func (d *decoder) action(which uint64, wire string, m *imquotav1.CheckQuotaRequest) bool {
	switch which {
	case 10:
		a := d.features.next(d.left)
		a.held.UseFeature, m.Action = &a.feature, &a.held
		return texts(wire, &a.feature.Feature, &a.feature.GroupType, &a.feature.GroupId)
	case 11:
		a := &imquotav1.RegisterUsers{}
		m.Action = &imquotav1.CheckQuotaRequest_RegisterUsers{RegisterUsers: a}
		return rare(wire, a)
	case 12:
		a := &imquotav1.Login{}
		m.Action = &imquotav1.CheckQuotaRequest_Login{Login: a}
		return texts(wire, &a.UserId)
	case 13:
		a := &imquotav1.AddFriend{}
		m.Action = &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: a}
		return friends(wire, a)
	case 14:
		a := &imquotav1.CreateGroup{}
		m.Action = &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: a}
		return rare(wire, a)
	case 15:
		a := &imquotav1.JoinGroup{}
		m.Action = &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: a}
		return texts(wire, &a.GroupId, &a.GroupType, &a.UserId)
	case 16:
		a := &imquotav1.AddGroupMembers{}
		m.Action = &imquotav1.CheckQuotaRequest_AddGroupMembers{AddGroupMembers: a}
		return rare(wire, a)
	case 17:
		a := &imquotav1.UseQuota{}
		m.Action = &imquotav1.CheckQuotaRequest_UseQuota{UseQuota: a}
		return rare(wire, a)
	}
	return false
}

// texts reads a message whose fields are strings, numbered from 1.
func texts(wire string, into ...*string) bool {
	r := wireReader{wire: wire}
	for r.more() {
		tag := r.number()
		which := tag >> 3
		if tag&7 != sized || which < 1 || which > uint64(len(into)) {
			return false
		}
		*into[which-1] = r.text()
	}
	return !r.isOdd
}

func friends(wire string, m *imquotav1.AddFriend) bool {
	r := wireReader{wire: wire}
	for r.more() {
		switch r.number() {
		case 1<<3 | sized:
			m.UserId = r.text()
		case 2<<3 | sized:
			m.FriendId = r.text()
		case 3<<3 | varint:
			m.OneWay = r.number() != 0
		default:
			return false
		}
	}
	return !r.isOdd
}

// rare reads a message that is not worth more.
func rare(wire string, m proto.Message) bool { return proto.Unmarshal([]byte(wire), m) == nil }
