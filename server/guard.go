package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
)

// errDefect says that imquota itself is at fault.
var errDefect = errors.New("a defect of imquota kept the request from being answered; its log has the cause")

// Guard answers, in the form of all other errors, for what grpc-go would answer
// in its own or not at all: a request that Codec could not read, and a call that
// panics in inner. One call that meets a defect does not end the process for all
// others; the log has the stack.
func Guard(log *slog.Logger, inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
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
		return inner(ctx, in, info, handle)
	}
}
