package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// wireOf is what protobuf makes of a message.
func wireOf(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eachField calls with a copy of a message for each field that it may have, and
// each field of the messages within, set to each of a few values.
func eachField(m protoreflect.Message, depth int, call func(name string, m proto.Message)) {
	list := m.Descriptor().Fields()
	for i := range list.Len() {
		f := list.Get(i)
		if f.IsMap() {
			continue
		}
		set := func(v protoreflect.Value, name string) {
			c := proto.Clone(m.Interface()).ProtoReflect()
			if f.IsList() {
				l := c.Mutable(f).List()
				l.Append(v)
				l.Append(v)
			} else {
				c.Set(f, v)
			}
			call(string(f.Name())+name, c.Interface())
		}
		if f.Message() == nil {
			for _, v := range valuesOf(f) {
				set(v, "")
			}
			continue
		}
		empty := m.NewField(f)
		if f.IsList() {
			empty = empty.List().NewElement()
		}
		set(empty, " {}")
		if depth > 0 {
			eachField(empty.Message(), depth-1, func(name string, inner proto.Message) {
				set(protoreflect.ValueOfMessage(inner.ProtoReflect()), "."+name)
			})
		}
	}
}

// valuesOf are values at the bounds of a field's kind.
func valuesOf(f protoreflect.FieldDescriptor) (out []protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.StringKind:
		for _, s := range []string{"x", "\u00fc", strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("x", 20_000)} {
			out = append(out, protoreflect.ValueOfString(s))
		}
	case protoreflect.BoolKind:
		out = append(out, protoreflect.ValueOfBool(true))
	case protoreflect.EnumKind:
		out = append(out, protoreflect.ValueOfEnum(1), protoreflect.ValueOfEnum(300), protoreflect.ValueOfEnum(-1))
	case protoreflect.Int32Kind:
		out = append(out, protoreflect.ValueOfInt32(1), protoreflect.ValueOfInt32(-1), protoreflect.ValueOfInt32(1<<31-1))
	case protoreflect.Int64Kind:
		out = append(out, protoreflect.ValueOfInt64(1), protoreflect.ValueOfInt64(-1), protoreflect.ValueOfInt64(1<<62))
	case protoreflect.Uint32Kind:
		out = append(out, protoreflect.ValueOfUint32(1), protoreflect.ValueOfUint32(1<<32-1))
	default:
		panic(fmt.Sprint("no values of ", f.Kind()))
	}
	return out
}

// TestAnswersAreProtobufs: whatever field an answer has, those that are written here are
// the bytes that protobuf writes.
func TestAnswersAreProtobufs(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{&imquotav1.CheckQuotaResponse{}, &imquotav1.ReleaseQuotaResponse{}, &imquotav1.BatchCheckQuotaResponse{}} {
		n := 0
		eachField(m.ProtoReflect(), 4, func(name string, m proto.Message) {
			n++
			e := encode(m)
			if e == nil {
				t.Errorf("%s is not written", name)
				return
			}
			defer e.free()
			if want := wireOf(t, m); string(want) != string(e.wire) {
				t.Errorf("%T %s: got %x, want %x", m, name, e.wire[:min(len(e.wire), 100)], want[:min(len(want), 100)])
			}
		})
		if n < 100 {
			t.Errorf("%T has but %d fields", m, n)
		}
	}
	bad := &imquotav1.CheckQuotaResponse{Decision: &imquotav1.Decision{Edition: "\xff"}}
	if _, err := Codec().Marshal(bad); err == nil {
		t.Error("a text that is no UTF-8 is written")
	}
}

// TestRequestsAreProtobufs: whatever field a request has, those that are read here
// are the messages that protobuf reads.
func TestRequestsAreProtobufs(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{&imquotav1.CheckQuotaRequest{}, &imquotav1.BatchCheckQuotaRequest{}} {
		eachField(m.ProtoReflect(), 3, func(name string, m proto.Message) {
			got := m.ProtoReflect().New().Interface()
			if !decode(wireOf(t, m), got) && !strings.Contains(name, "mode") && !strings.Contains(name, "view") {
				t.Errorf("%T %s is not read", m, name) // below zero, a mode takes ten bytes
			}
			if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wireOf(t, m))}, got); err != nil {
				t.Errorf("%T %s: %v", m, name, err)
			}
			if d := cmp.Diff(m, got, protocmp.Transform()); d != "" {
				t.Errorf("%T %s (-protobuf +here): %s", m, name, d)
			}
		})
	}
}

// FuzzDecode: what is read here protobuf reads too, and as the same message.
func FuzzDecode(f *testing.F) {
	for _, m := range []proto.Message{&imquotav1.CheckQuotaRequest{}, &imquotav1.BatchCheckQuotaRequest{}} {
		eachField(m.ProtoReflect(), 3, func(_ string, m proto.Message) {
			if wire := wireOf(f, m); len(wire) < 1000 {
				f.Add(wire)
			}
		})
	}
	for _, odd := range []string{"\x08", "\x08\x80", "\x12\x05abc", "\x12\x01\xff", "\x2a\x00\x2a\x00", "\x52\x00\x62\x00", "\x52\x00\x52\x00", "\x88\x00\x01", "\xf8\x3f\x01", "\x0a\x02\x52\x00\x0a\x00", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		for _, m := range []proto.Message{&imquotav1.CheckQuotaRequest{}, &imquotav1.BatchCheckQuotaRequest{}} {
			got := m.ProtoReflect().New().Interface()
			if !decode(wire, got) {
				continue
			}
			if err := proto.Unmarshal(wire, m); err != nil {
				t.Fatalf("%x was read as %v, and protobuf says %v", wire, got, err)
			}
			if !proto.Equal(m, got) {
				t.Errorf("%x was read as %v, and is %v", wire, got, m)
			}
		}
	})
}

// countedAnswer is one to a login that was counted.
func countedAnswer() *imquotav1.Decision {
	return &imquotav1.Decision{
		Allowed: true, Source: imquotav1.Source_SOURCE_STORE, Edition: "premium", AppState: imquotav1.AppState_APP_STATE_ACTIVE, CatalogVersion: "2024-06-15",
		Durability: imquotav1.Durability_DURABILITY_PRIMARY,
		Quotas: []*imquotav1.QuotaState{
			{Quota: "users", Unlimited: true, Used: 123_456},
			{Quota: "mau", Limit: 100_000, Used: 23_456, Remaining: 76_544, Change: 1, ResetTime: &timestamppb.Timestamp{Seconds: 1_719_763_200}},
		},
	}
}

// BenchmarkCodec is what a request and its answer cost on their way in and out,
// and what they would with protobuf alone.
func BenchmarkCodec(b *testing.B) {
	check := &imquotav1.CheckQuotaRequest{
		AppId: 1400000003, RequestId: "req-00000000000000000000000001",
		Client: &imquotav1.Client{Id: "gateway-7", Platform: "android", SdkVersion: "5.8.1668"},
		Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "multi_device_login"}},
	}
	feature := &imquotav1.Decision{Allowed: true, Source: imquotav1.Source_SOURCE_CACHE, Edition: "premium", CatalogVersion: "2024-06-15", AppState: imquotav1.AppState_APP_STATE_ACTIVE}
	batch, answers := &imquotav1.BatchCheckQuotaRequest{}, &imquotav1.BatchCheckQuotaResponse{}
	for range 32 {
		batch.Items = append(batch.Items, check)
		answers.Items = append(answers.Items, &imquotav1.BatchItem{Result: &imquotav1.BatchItem_Decision{Decision: feature}})
	}
	for _, bb := range []struct {
		name            string
		request, answer proto.Message
	}{
		{"check", check, &imquotav1.CheckQuotaResponse{Decision: feature}},
		{"counted", check, &imquotav1.CheckQuotaResponse{Decision: countedAnswer()}},
		{"batch=32", batch, answers},
	} {
		codecs := map[string]encoding.CodecV2{"here": Codec(), "protobuf": encoding.GetCodecV2(encodingproto.Name)}
		wire := mem.BufferSlice{mem.SliceBuffer(wireOf(b, bb.request))}
		for _, name := range []string{"here", "protobuf"} {
			b.Run(bb.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := codecs[name].Unmarshal(wire, bb.request.ProtoReflect().New().Interface()); err != nil {
						b.Fatal(err)
					}
					out, err := codecs[name].Marshal(bb.answer)
					if err != nil {
						b.Fatal(err)
					}
					out.Free()
				}
			})
		}
	}
}
