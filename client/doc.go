// Package client is how Go services call imquota.
//
// A group service reserves, creates the group, and commits, in one call:
//
//	decision, err := quotas.Reserve(ctx, request, func(ctx context.Context) error {
//		return groups.Insert(ctx, group)
//	})
//
// While the creation runs, its share of every limit is held. It is counted when
// the creation succeeds and given back when it fails, panics, or the process
// dies: a hold ends by itself.
//
// # Answers
//
// A denial is an answer and no error: Decision.Allowed is false, the violations
// say why, and nothing was created. Errors that come after the creation have a
// type, because something has to be done about them:
//
//   - [NotCountedError]: it is created, and imquota does not count it. Undo it, or
//     count it over the limit with MODE_ADJUST.
//   - [UnsettledError]: it is not known whether it is counted, or whether it was
//     created. Commit or cancel the reservation later.
//
// All others carry the status that imquota answered with (status.Code, and the
// ErrorInfo of domain "imquota"), or what the creation returned.
//
// # Repeating
//
// Reserving, committing and cancelling take effect once, however often they are
// asked for, so they are repeated when their reply is lost (OUTCOME_UNKNOWN, a
// connection that breaks), when the sidecar is OVERLOADED, and on everything else
// that is UNAVAILABLE and passes by itself. The pause begins at 25 ms and doubles
// up to 1 s, is drawn at random below that, and comes on top of what RetryInfo
// asks for. What does not pass by itself, such as INVALID_ARGUMENT or a store
// that an operator has to see to, is returned at once.
//
// # Time
//
// A hold is 1 second to 15 minutes, 30 seconds when not set. The context of the
// creation ends before the hold does, by a quarter of it and at most 5 seconds,
// which is what committing has left. Both are measured on this machine from
// before the reservation was asked for, so that clocks need not agree. Choose a
// hold of at least twice what the creation may take.
//
// A creation that takes longer all the same is judged anew when it is committed,
// by what holds then, and may be refused: NotCountedError.
//
// # Connections
//
// The connection is the caller's: its address, TLS, balancing. Turn keepalive on
// if what is between may drop connections without a word.
package client
