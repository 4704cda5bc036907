package server

import "google.golang.org/grpc"

// streamWorkers carry out calls one after the other. A call that finds one of them
// free is spared a new goroutine, whose stack would be grown several times before
// the call is decided; one that does not gets a goroutine of its own. Each keeps
// some KiB of stack, so many more of them than there are calls at once cost more
// than they spare.
const streamWorkers = 64

// Windows of flow control.
const (
	connWindow = 1 << 20  // of all calls of a connection; given back as it comes in
	callWindow = 64 << 10 // of bytes that nobody has asked for yet; grpc-go lets it grow to 16 MiB otherwise
)

// TransportOptions are how bytes become calls and answers become bytes, whatever
// is served: a bare server that has them too differs from a sidecar in what the
// sidecar does.
func TransportOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InitialWindowSize(callWindow), grpc.InitialConnWindowSize(connWindow),
	}
}
