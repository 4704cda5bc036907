package server

import (
	"sync"
	"unicode/utf8"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// encode writes the answers that are given most often, as protobuf does and in half
// of its time; none where an answer is another one, or has a text that is no UTF-8,
// which protobuf says best itself. Whoever gets it gives it back.
func encode(answer any) *encoder {
	e, ok := encoders.Get().(*encoder)
	if !ok {
		e = &encoder{}
	}
	switch m := answer.(type) {
	case *imquotav1.CheckQuotaResponse:
		e.decision(1, m.GetDecision())
	case *imquotav1.ReleaseQuotaResponse:
		e.decision(1, m.GetDecision())
	case *imquotav1.BatchCheckQuotaResponse:
		for _, item := range m.GetItems() {
			began := e.begin(1)
			switch r := item.GetResult().(type) {
			case *imquotav1.BatchItem_Decision:
				e.decision(1, r.Decision)
			case *imquotav1.BatchItem_Error:
				e.rare(2, r.Error)
			}
			e.end(began)
		}
	default:
		e.isOdd = true
	}
	if e.isOdd {
		e.free()
		return nil
	}
	return e
}

// encoder writes a message field by field.
type encoder struct {
	wire  []byte
	isOdd bool // there is something that is left to protobuf
}

// encoders are used again.
var encoders sync.Pool

// mostKept bounds the bytes of one that is used again.
const mostKept = 64 << 10

func (e *encoder) free() {
	if cap(e.wire) > mostKept {
		return
	}
	e.wire, e.isOdd = e.wire[:0], false
	encoders.Put(e)
}

func (e *encoder) tag(n protowire.Number, kind uint64) {
	e.wire = protowire.AppendVarint(e.wire, uint64(n)<<3|kind)
}

func (e *encoder) number(n protowire.Number, v uint64) {
	if v != 0 {
		e.tag(n, varint)
		e.wire = protowire.AppendVarint(e.wire, v)
	}
}

func (e *encoder) flag(n protowire.Number, v bool) { e.number(n, protowire.EncodeBool(v)) }

func (e *encoder) text(n protowire.Number, s string) {
	if s == "" {
		return
	}
	e.isOdd = e.isOdd || !utf8.ValidString(s)
	e.tag(n, sized)
	e.wire = protowire.AppendString(e.wire, s)
}

// begin begins a message, with room for the length of one of up to 127 bytes.
func (e *encoder) begin(n protowire.Number) (began int) {
	e.tag(n, sized)
	e.wire = append(e.wire, 0)
	return len(e.wire)
}

// end ends it.
func (e *encoder) end(began int) {
	size := len(e.wire) - began
	if more := protowire.SizeVarint(uint64(size)) - 1; more > 0 {
		e.wire = append(e.wire, "\x00\x00\x00\x00"[:more]...)
		copy(e.wire[began+more:], e.wire[began:began+size])
	}
	protowire.AppendVarint(e.wire[:began-1], uint64(size))
}

// rare writes a message that is not worth more.
func (e *encoder) rare(n protowire.Number, m proto.Message) {
	began := e.begin(n)
	wire, err := proto.MarshalOptions{}.MarshalAppend(e.wire, m)
	if err != nil {
		e.isOdd = true
		return
	}
	e.wire = wire
	e.end(began)
}

func (e *encoder) decision(n protowire.Number, d *imquotav1.Decision) {
	if d == nil {
		return
	}
	began := e.begin(n)
	e.flag(1, d.GetAllowed())
	for _, v := range d.GetViolations() {
		e.violation(2, v)
	}
	e.number(3, uint64(d.GetViolationCount()))
	if d.GetUpgrade() != nil {
		e.rare(4, d.GetUpgrade())
	}
	e.number(5, uint64(d.GetSource()))
	e.flag(6, d.GetReplayed())
	e.flag(7, d.GetClamped())
	for _, q := range d.GetQuotas() {
		e.state(8, q)
	}
	e.text(9, d.GetEdition())
	e.number(10, uint64(d.GetAppState()))
	e.time(11, d.GetGraceUntil())
	e.text(12, d.GetCatalogVersion())
	e.text(13, d.GetReservationId())
	e.time(14, d.GetReservationExpireTime())
	e.flag(15, d.GetLate())
	e.number(16, uint64(d.GetDurability()))
	e.end(began)
}

func (e *encoder) violation(n protowire.Number, v *imquotav1.Violation) {
	began := e.begin(n)
	e.number(1, uint64(v.GetReason()))
	e.text(2, v.GetQuota())
	e.text(3, v.GetFeature())
	e.text(4, v.GetSubject())
	e.number(5, uint64(v.GetLimit()))
	e.number(6, uint64(v.GetUsed()))
	e.number(7, uint64(v.GetRequested()))
	e.number(8, uint64(v.GetUpstreamCode()))
	e.time(9, v.GetSince())
	e.text(10, v.GetMessage())
	for _, s := range v.GetSuspensions() {
		e.rare(11, s)
	}
	e.number(12, uint64(v.GetHeld()))
	e.end(began)
}

func (e *encoder) state(n protowire.Number, q *imquotav1.QuotaState) {
	began := e.begin(n)
	e.text(1, q.GetQuota())
	e.text(2, q.GetSubject())
	e.number(3, uint64(q.GetLimit()))
	e.flag(4, q.GetUnlimited())
	e.number(5, uint64(q.GetUsed()))
	e.number(6, uint64(q.GetHeld()))
	e.number(7, uint64(q.GetRemaining()))
	e.number(8, uint64(q.GetOverage()))
	e.time(9, q.GetResetTime())
	e.number(10, uint64(q.GetChange()))
	e.end(began)
}

func (e *encoder) time(n protowire.Number, t *timestamppb.Timestamp) {
	if t == nil {
		return
	}
	began := e.begin(n)
	e.number(1, uint64(t.GetSeconds()))
	e.number(2, uint64(t.GetNanos()))
	e.end(began)
}
