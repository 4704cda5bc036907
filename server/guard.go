package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// errDefect says that imquota itself is at fault.
var errDefect = errors.New("a defect of imquota kept the request from being answered; its log has the cause")

// Guard answers, in the form of all other errors, for what grpc-go would answer
// in its own or not at all: a request that Codec could not read, and a call that
// panics. One call that meets a defect does not end the process for all others;
// the log has the stack.
func Guard(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (out any, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				log.ErrorContext(ctx, "a call panicked", "method", info.FullMethod, "cause", cause, "stack", string(debug.Stack()))
				out, err = nil, toStatus(errDefect)
			}
		}()
		if why, ok := unreadable(in); ok {
			return nil, toStatus(fmt.Errorf("%w: %s", errMalformed, why))
		}
		return handle(ctx, in)
	}
}

// Codec returns the codec of protobuf, but for requests that it cannot read, and
// those that are larger than any valid one: grpc-go would answer them by itself, as a defect of the server. They become
// empty ones that carry the reason, for Guard to answer.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(encodingproto.Name)} }

type codec struct{ encoding.CodecV2 }

// reasonField is where an unreadable request carries the reason: the highest
// number that a field can have.
const reasonField = protowire.MaxValidNumber

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	err := tooLarge(data, m.ProtoReflect())
	if err == nil {
		err = c.CodecV2.Unmarshal(data, v)
	}
	if err == nil {
		return nil
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, reasonField, protowire.BytesType), err.Error()))
	return nil
}

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
