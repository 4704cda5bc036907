package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/redis/go-redis/v9"
)

// Replies are drawn from bytes: 'n' is nil, 'i' a number, 's' a text and 'l' a
// list, with a varint, a length and bytes, or a length and elements.

func encodeReply(b []byte, reply any) []byte {
	switch v := reply.(type) {
	case int:
		return binary.AppendVarint(append(b, 'i'), int64(v))
	case string:
		return append(append(b, 's', byte(len(v))), v...)
	case []any:
		b = append(b, 'l', byte(len(v)))
		for _, element := range v {
			b = encodeReply(b, element)
		}
		return b
	}
	return append(b, 'n')
}

func decodeReply(b []byte) (reply any, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	kind, n, b := b[0], int(b[1]), b[1:]
	switch kind {
	case 'i':
		v, size := binary.Varint(b)
		return v, b[max(1, size):]
	case 's':
		n = min(n, len(b)-1)
		return string(b[1 : 1+n]), b[1+n:]
	case 'l':
		list := []any{}
		for b = b[1:]; n > 0 && len(b) > 0; n-- {
			var element any
			element, b = decodeReply(b)
			list = append(list, element)
		}
		return list, b
	}
	return nil, b
}

// repliedTxns are what the replies are to.
func repliedTxns() []quota.Txn {
	unlimited := catalog.Unlimited()
	month := catalog.WindowAt(catalog.KindMonth, monday, time.UTC)
	return []quota.Txn{
		{App: 1, Mode: quota.ModeConsume, Charges: []quota.Charge{
			{Counter: quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}, Subjects: []string{"a", "b"}, Delta: 1, Limit: unlimited},
			{Counter: quota.Counter{Quota: "group_members"}, Members: true, Delta: 1, Limit: unlimited},
		}},
		{App: 1, Mode: quota.ModeReserve, Hold: quota.HoldStep{Op: quota.HoldPlace}, Charges: []quota.Charge{{Counter: quota.Counter{Quota: "groups"}, Delta: 1, Limit: unlimited}}},
		{App: 1, Online: quota.OnlineStep{Op: quota.OnlineRead, Months: []catalog.Window{month}}},
	}
}

// FuzzReply has the store read replies of scripts and commands that are not what
// they should be: each is understood, or is a fault.
func FuzzReply(f *testing.F) {
	for _, reply := range []any{
		[]any{[]any{"1.1", nil, "0"}, []any{`1.1 {"format":3,"id":1,"account":"acme"}`}},
		[]any{[]any{"1.1", nil, "0"}, []any{`1.2 {"format":3,"id":1,"account":"acme"}`}},
		[]any{[]any{nil, "token", "0"}, []any{nil}},
		[]any{"1-1", `{"format":1,"id":"acme"}`},
		[]any{"17", "server", []any{"1", "live acme", "2", "pending x 1"}},
		"pending token 12", "17:3:server", "",
	} {
		f.Add(encodeReply(nil, reply))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, _ := decodeReply(data)
		header, record := reply, reply
		if both, _ := reply.([]any); len(both) == 2 {
			header, record = both[0], both[1]
		}
		found := newStored(header, record)
		app, _, err := (&Store{prefix: "imq"}).decode(&found, 1)
		wantFault(t, err)
		if app != nil && app.ID != 1 {
			t.Errorf("app %d", app.ID)
		}
		owned, number := &command{cmd: redis.NewCmd(context.Background())}, &command{cmd: redis.NewCmd(context.Background())}
		owned.cmd.SetVal(reply)
		number.cmd.SetVal(reply)
		owner, err := decodeOwner("acme", []*command{owned, number, number})
		wantFault(t, err)
		if err == nil && owner.ID != "acme" {
			t.Errorf("account %q", owner.ID)
		}
		if p, ok := decodePart(3, reply); ok && p.next.directory != 3 && p.next.directory != 4 {
			t.Errorf("goes on at %+v", p.next)
		}
		text, isText := reply.(string)
		if !isText {
			return
		}
		newPlace(1, text)
		if v, err := parseVersion(text); err == nil {
			again, err := parseVersion(versionText(v))
			if err != nil || again != v {
				t.Errorf("version %q is %+v, and then %+v, %v", text, v, again, err)
			}
		}
		if p, err := parsePosition(text); err == nil {
			if again, err := parsePosition(p.String()); err != nil || again != p {
				t.Errorf("position %q is %+v, and then %+v, %v", text, p, again, err)
			}
		}
		for _, field := range []string{logApp, logOwner} {
			if subject, ok := decodeEntry(&redis.XMessage{Values: map[string]any{field: text}}); ok && subject == (account.Subject{}) {
				t.Errorf("%s %q is nobody", field, text)
			}
		}
	})
}

// FuzzAnswer has the store read what the script does not answer: each transaction
// has an outcome or an error.
func FuzzAnswer(f *testing.F) {
	const clock, sequence = 1_772_445_600_000, 7
	for _, answer := range [][]any{
		{
			replyDone, clock, sequence, 29,
			doneApplied | doneFound | doneHeld, "p", 20_000, 11, 3, 4, 0, 1, 1, 11, 2,
			doneApplied, 5, 1, 1_772_445_660_000, "",
			0, 12, 2, 1_772_445_600_000, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		},
		{replyDone, clock, sequence, 20, doneApplied | doneFound, "p", 20_000, 11, 3, 4, 1, 11, doneApplied, 5, 1, clock, "", 0, 12, 2, clock, 15},
		{replyDone, clock, sequence, 6, -replyWindowPassed, "", -replyReused, "", -replyBrokeOff, "why"},
		{replyDone, clock, sequence, 1 << 40},
		{replyDone, clock, sequence, -1},
		{replyDone, clock},
		{replyDone, clock, sequence, 12, doneFound, "", 1, 1, 3, 4, 0, doneHeld, 1, 1, 2, 3}, // a group of no type
		{replyStale, 0},
		{replyAhead, 1},
		{replyCorrupt, "what"},
		{replyClockSkew, 1},
		{replyHolds, 1},
		{replyNotPermitted, "NOPERM"},
		{99, 1},
		{},
	} {
		f.Add([]byte(packAnswer(answer)))
	}
	txns := repliedTxns()
	at, err := parseURL("redis://127.0.0.1:1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &Store{tails: newTails(1, nil), target: at}
		w := &work{Store: s, ctx: t.Context(), txns: txns, outcomes: make([]quota.Outcome, len(txns))}
		p := w.plan([]int{0, 1, 2})[0][0]
		e := &evaluation{sections: []*section{{parcels: []*parcel{p}, now: monday, known: s.tails.before(p.app)}}}
		s.encode(e)
		e.cmd = redis.NewCmd(t.Context())
		e.cmd.SetVal(string(data))
		s.land(t.Context(), e)
		if p.refusal != nil {
			wantReason(t, w.faultOf(p.refusal, true), account.StoreUnavailable)
			return
		}
		w.settle(p)
		wantOutcomes(t, txns, w.outcomes)
	})
}

func packAnswer(answer []any) string {
	p := newArray(0)
	for _, element := range answer {
		switch v := element.(type) {
		case int:
			p.number(int64(v))
		case string:
			p.text(v)
		}
	}
	return string(p.array())
}

// wantOutcomes expects each transaction to have an outcome or an error.
func wantOutcomes(t *testing.T, txns []quota.Txn, outcomes []quota.Outcome) {
	t.Helper()
	for i, o := range outcomes {
		if o.Err != nil {
			if o.Applied || o.Charges != nil {
				t.Errorf("an outcome beside an error: %+v", o)
			}
			if f, ok := errors.AsType[*account.Fault](o.Err); ok && f.Reason == "" {
				t.Errorf("a fault without a reason: %v", f)
			}
			continue
		}
		if len(o.Charges) != len(txns[i].Charges) || len(o.Online.Peaks) != len(txns[i].Online.Months) {
			t.Fatalf("%+v is answered by %+v", txns[i], o)
		}
		for k, found := range o.Charges {
			subjects := max(1, len(txns[i].Charges[k].Subjects))
			if found.Used != nil && len(found.Used) != subjects || found.Held != nil && len(found.Held) != subjects {
				t.Errorf("%+v is answered by %+v", txns[i].Charges[k], found)
			}
		}
	}
}

func wantFault(t *testing.T, err error) {
	t.Helper()
	if f, ok := errors.AsType[*account.Fault](err); err != nil && (!ok || f.Reason == "") {
		t.Errorf("error %v", err)
	}
}
