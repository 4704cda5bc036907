package server

import (
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Codec returns the codec of protobuf, but for requests that it cannot read, and
// those that are larger than any valid one: grpc-go would answer them by itself, as
// a defect of the server. They become empty ones that carry the reason, for Guard
// to answer. What comes and goes most often is read and written faster.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(encodingproto.Name)} }

type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	e := encode(v)
	if e == nil {
		return c.CodecV2.Marshal(v)
	}
	defer e.free()
	if n := len(e.wire); !mem.IsBelowBufferPoolingThreshold(n) {
		pool := mem.DefaultBufferPool()
		wire := pool.Get(n)
		copy(*wire, e.wire)
		return mem.BufferSlice{mem.NewBuffer(wire, pool)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(append([]byte(nil), e.wire...))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	err := tooLarge(data, m.ProtoReflect())
	if err == nil {
		if len(data) == 1 && decode(data[0].ReadOnlyData(), m) {
			return nil
		}
		err = c.CodecV2.Unmarshal(data, v)
	}
	if err == nil {
		return nil
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, reasonField, protowire.BytesType), err.Error()))
	return nil
}

// reasonField is where an unreadable request carries the reason: the highest
// number that a field can have.
const reasonField = protowire.MaxValidNumber

// unreadable returns why a request could not be read, if that is so.
func unreadable(in any) (why string, ok bool) {
	m, isMessage := in.(proto.Message)
	if !isMessage {
		return "", false
	}
	unknown := m.ProtoReflect().GetUnknown()
	number, _, n := protowire.ConsumeTag(unknown)
	if number != reasonField {
		return "", false
	}
	why, size := protowire.ConsumeString(unknown[n:])
	return why, size >= 0
}
