package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
)

// errDefect says that imquota itself is at fault.
var errDefect = errors.New("a defect of imquota kept the request from being answered; its log has the cause")

// Recover answers INTERNAL where a call panics, so that one call that meets a
// defect does not end the process for all others. The log has the stack.
func Recover(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (out any, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				log.ErrorContext(ctx, "a call panicked", "method", info.FullMethod, "cause", cause, "stack", string(debug.Stack()))
				out, err = nil, toStatus(errDefect)
			}
		}()
		return handle(ctx, in)
	}
}
