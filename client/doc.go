// Package client is how Go services call imquota.
//
//	quotas := client.New(conn, client.Options{ID: "gateway"})
//	answer, err := quotas.Check(ctx, request)
//
// [Client.Check] asks whether an action may be done and counts it, [Client.Release]
// gives back what an action counted, and [Client.Reserve] holds what a creation
// needs while it is under way. Packages grpcquota and httpquota check the calls of a
// server before it handles them.
//
// # Answers
//
// A denial is an answer and no error: the violations of its Decision say why. An
// error is a fault. It carries the status that imquota answered with (status.Code,
// and the ErrorInfo of domain "imquota"), is about the request or a defect unless
// [IsUnanswered], and says nothing about the action. Never take one for the other.
//
// # Gathering
//
// A few checks at a time go out at once, each as an RPC of its own: 12 that are
// counted and 4 features, and more while the server is slow, up to 64 of each, for
// then they come too slowly to be worth gathering. While so many are under way two
// more go, and the following ones gather: as soon as one of those two returns all of
// them go out together as one BatchCheckQuota; or, where calls take long, as soon as
// another check comes.
// No timer waits for company: whoever is alone goes at once, by its own goroutine,
// and the busier it is the fuller the batches are, up to what a server takes (256
// checks, 1000 ids in lists, 256 KiB). Apps take turns, so that one with very much
// to ask does not keep others waiting; and features, which the plan decides, gather
// apart from what is counted, and do not wait for the store.
//
// Nobody notices who else is in a batch:
//
//   - Each check has its own answer, or its own error, which is the status that a
//     call of its own would have ended with. What a batch cannot carry, or makes it
//     fail as a whole, is asked by itself.
//   - Each has its own deadline, and goes when its context ends; if it was not sent
//     by then, it never is. The batch has the latest deadline of its members, and
//     none of the other things that their contexts hold: no values, no metadata, no
//     trace. Credentials of the connection are sent with it as with every call.
//   - A check with metadata for the server in its context (metadata.NewOutgoingContext),
//     or with call options, does not gather: it is an RPC of its own at once.
//
// Interceptors of the connection see BatchCheckQuota, whose items were encoded by
// those who ask and are there as unknown fields alone; and they see CheckQuota with
// the caller's context when one goes alone. If yours need the caller's context each
// time, set Options.NoGathering.
//
// # Repeating
//
// What is lost on its way is asked for again: a reply (OUTCOME_UNKNOWN, a connection
// that breaks), a sidecar that is OVERLOADED or starting, and everything else that
// is UNAVAILABLE and passes by itself. The pause begins at 25 ms and doubles up to
// 1 s, is drawn at random below that, and comes on top of what RetryInfo asks for.
// What does not pass by itself, such as INVALID_ARGUMENT or a store that an operator
// has to see to, is returned at once. An attempt that gets no answer is given up
// after 2 s.
//
// Nothing counts twice by that. A check or release that would is sent with a
// request id if it has none: a new one for each call of Check, the same for all its
// attempts. MODE_CHECK_ONLY and features count nothing, logins and registrations
// find their users counted: these are sent as they are, so that the store need not
// remember them. (A login that is repeated just after the end of a month counts in
// both.) If Check returns an error, you do not know the id: to go on with the same
// action later, give your own.
//
// Check, Release, and Reserve before its creation ask until Options.Timeout is over,
// or their context ends.
//
// # Failing open
//
// When imquota does not answer, an action is not allowed: Check returns the fault.
// Options.FailOpen lets chosen actions go on instead; [FailOpenFeatures] is the
// choice for most, because what is not counted when it should be stays wrong.
//
// An answer that failed open is not a grant and does not look like one: it has no
// Decision, and Answer.FailedOpen is the fault. [Client.Stats] counts them. Denials
// never fail open, nor what imquota refuses as wrong, nor what is reserved, nor the
// check of a caller who has hung up. The action may have been counted all the same,
// if it was the reply that was lost.
//
// # Reserving
//
// A group service reserves, creates the group, and commits, in one call:
//
//	decision, err := quotas.Reserve(ctx, request, func(ctx context.Context) error {
//		return groups.Insert(ctx, group)
//	})
//
// While the creation runs, its share of every limit is held. It is counted when
// the creation succeeds and given back when it fails, panics, or the process
// dies: a hold ends by itself. Errors that come after the creation have a type,
// because something has to be done about them:
//
//   - [NotCountedError]: it is created, and imquota does not count it. Undo it, or
//     count it over the limit with MODE_ADJUST.
//   - [UnsettledError]: it is not known whether it is counted, or whether it was
//     created. Commit or cancel the reservation later.
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
// The connection is the caller's: its address, TLS, balancing, interceptors.
// [DialOptions] have it find a sidecar that was away within half a second, and
// notice one that is gone without a word. One Client and one connection are right
// for a process, however busy: of several each gathers for itself, and less.
package client
