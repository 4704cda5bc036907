package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// A command that was sent and not answered may have run. Only what provably
// did not run is sent again; everything else is reported.

// verdict is what an error says about the command.
type verdict uint8

const (
	ran      verdict = iota // it was answered, or it may have run
	notSent                 // no connection carried it
	refused                 // the server refused it before running it
	noScript                // the server does not know the script
	moved                   // another node has the keys
	moving                  // the keys are on their way to another node
)

// refusals are the errors by which a server refuses a command unrun, and the
// reason that is told if they last.
var refusals = []struct {
	prefix  string
	verdict verdict
	reason  account.FaultReason
}{
	{"NOSCRIPT", noScript, account.StoreUnavailable},
	{"ERR Function not found", noScript, account.StoreUnavailable},
	{"ERR unknown command", refused, account.StoreUnavailable},
	{"MOVED ", moved, account.SlotMoving},
	{"ASK ", moving, account.SlotMoving},
	{"TRYAGAIN", moving, account.SlotMoving},
	{"BUSY ", refused, account.StoreUnavailable},
	{"LOADING", refused, account.StoreUnavailable},
	{"CLUSTERDOWN", refused, account.StoreUnavailable},
	{"MASTERDOWN", refused, account.StoreUnavailable},
	{"NOREPLICAS", refused, account.StoreUnavailable},
	{"READONLY", refused, account.StoreReadOnly},
	{"MISCONF", refused, account.StoreReadOnly},
	{"ERR max number of clients", refused, account.StoreUnavailable},
	{"WRONGTYPE", refused, account.UsageUnknown}, // every script reads a key before it writes it
	{"OOM ", refused, account.StoreOutOfMemory},
	{"NOAUTH", refused, account.StoreUnavailable},
	{"WRONGPASS", refused, account.StoreUnavailable},
	{"NOPERM", refused, account.StoreUnavailable},
	{"ERR DB index", refused, account.StoreUnavailable},
}

// final are refusals that trying again within the call does not change.
var final = map[account.FaultReason]bool{account.StoreOutOfMemory: true, account.UsageUnknown: true}

func judge(err error) (verdict, account.FaultReason) {
	var op *net.OpError
	var dialed *dialError
	switch {
	case errors.As(err, &dialed), errors.As(err, &op) && op.Op == "dial",
		isOfPool(err):
		return notSent, account.StoreUnavailable
	}
	if _, ok := errors.AsType[refusedBy](err); ok {
		return refused, account.StoreUnavailable
	}
	if reply, ok := errors.AsType[redis.Error](err); ok {
		for _, r := range refusals {
			if strings.HasPrefix(reply.Error(), r.prefix) {
				return r.verdict, r.reason
			}
		}
		return ran, account.OutcomeUnknown
	}
	if text := err.Error(); strings.Contains(text, "all sentinels") || strings.Contains(text, "cluster has no nodes") || strings.Contains(text, "cannot load cluster slots") {
		return notSent, account.StoreUnavailable
	}
	return ran, account.OutcomeUnknown
}

// isOfPool reports whether it is this process that had no connection to give.
func isOfPool(err error) bool {
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, redis.ErrClosed)
}

// How long a refused command is tried again, and at what pace.
const (
	retryFor   = time.Second
	retryFirst = 5 * time.Millisecond
	retryMost  = 100 * time.Millisecond
	retryHint  = 200 * time.Millisecond
	// leastAttempt is what an attempt takes at least. With less time left it would
	// be cut off, and nobody knew any more that nothing had run.
	leastAttempt = 10 * time.Millisecond
)

// command is one command and what became of it.
type command struct {
	script *script // nil: args is the whole command
	keys   []string
	args   []any
	writes bool
	kept   bool      // it writes what must last, and may be repeated
	ends   time.Time // the time of the first of its callers who has none left; zero: of none

	form       form   // of a script
	taught     bool   // the server was given the library
	detours    bool   // its keys are on their way to another node
	mark       string // what the script is to answer with
	replicated bool   // as many replicas have what it wrote as are to be waited for
	cmd        *redis.Cmd
	err        error // of cmd, or a fault
}

// once is a command that go-redis does not send twice by itself. Its Cluster
// client would, when a reply is lost: it follows MOVED and ASK with such a
// command and leaves the rest to deliver.
type once struct {
	*redis.Cmd

	answered bool
}

// NoRetry implements redis.Cmder.
func (*once) NoRetry() bool { return true }

// SetErr implements redis.Cmder. When a later reply of the pipeline is lost,
// go-redis calls all of it lost. What was answered before stays answered.
func (o *once) SetErr(err error) {
	if o.answered {
		return
	}
	o.answered = err == nil && o.Val() != nil // and not only begun
	o.Cmd.SetErr(err)
}

func (c *command) prepare(ctx context.Context) *once {
	c.replicated = false
	args := c.args
	if c.script != nil {
		name, text := "evalsha", c.script.sha
		switch c.form {
		case byText:
			name, text = "eval", c.script.source
		case byFunction:
			name, text = "fcall", c.script.function
		case byHash:
		}
		args = append(make([]any, 0, 4+len(c.keys)+len(c.args)), name, text, len(c.keys))
		for i := range c.keys {
			args = append(args, &c.keys[i]) // a pointer is an argument without an allocation
		}
		c.mark = strconv.FormatUint(rand.Uint64(), 36)
		args = append(append(args, c.args...), c.mark)
	}
	c.cmd = redis.NewCmd(ctx, args...)
	if c.script != nil {
		c.cmd.SetFirstKeyPos(3)
	}
	return &once{Cmd: c.cmd}
}

// errAnothers says that a reply is not of this call.
var errAnothers = errors.New("the reply is another call's")

// readReply takes the mark off a script's reply.
func (c *command) readReply() error {
	err := c.cmd.Err()
	if err != nil || c.script == nil {
		return err
	}
	reply, _ := c.cmd.Val().([]any)
	if len(reply) == 0 || len(reply) > 2 || reply[0] != c.mark {
		return errAnothers
	}
	c.cmd.SetVal(append(reply, nil)[1]) // a script that answers nil answers its mark alone
	return nil
}

// do runs one command. Its reply is nil when the error is not.
func (s *Store) do(ctx context.Context, c *command) (any, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	s.deliver(ctx, time.Now().Add(retryFor), []*command{c})
	return c.cmd.Val(), c.err
}

// doAll runs commands together; each has its own error, unless none is sent.
func (s *Store) doAll(ctx context.Context, commands []*command) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	s.deliver(ctx, time.Now().Add(retryFor), commands)
	return nil
}

// read runs a command that changes nothing and answers a list of strings, or
// nil for what is not there.
func (s *Store) read(ctx context.Context, args ...any) ([]any, error) {
	reply, err := s.do(ctx, &command{args: args})
	list, _ := reply.([]any)
	return list, err
}

// run evaluates a script that writes.
func (s *Store) run(ctx context.Context, sc *script, keys []string, args ...any) (any, error) {
	return s.do(ctx, &command{script: sc, keys: keys, args: args, writes: true})
}

// repeatable evaluates a script that changes nothing when it runs again: that
// its reply is lost leaves nothing in doubt.
func (s *Store) repeatable(ctx context.Context, sc *script, keys []string, args ...any) (any, error) {
	return s.do(ctx, &command{script: sc, keys: keys, args: args})
}

// mend undoes what a call began that is about to fail, once. The caller's time
// may be what is up.
func (s *Store) mend(ctx context.Context, c *command) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.target.timeout)
	defer cancel()
	s.deliver(ctx, time.Now(), []*command{c})
	return c.err
}

// admit refuses what is not worth sending.
func (s *Store) admit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return gone(err)
	}
	return s.trusted(ctx)
}

// deliver runs commands, together, until the servers have run each of them or
// refused it to the end.
func (s *Store) deliver(ctx context.Context, deadline time.Time, commands []*command) {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		s.dispatch(ctx, commands)
		var again []*command
		hurry := true // nothing is wrong that a pause would help
		for _, c := range commands {
			if c.err = c.readReply(); c.err == nil {
				continue
			}
			s.suspect(ctx, c.err)
			v, reason := judge(c.err)
			if v == ran || final[reason] {
				c.err = s.faultOf(c.err, c.writes)
				continue
			}
			hurry = hurry && v == noScript && c.form != byText
			if v == noScript {
				c.form = byText
			}
			c.detours = c.detours || v == moving
			again = append(again, c)
		}
		if len(again) == 0 {
			return
		}
		if !hurry && !s.wait(ctx, deadline, pause) {
			for _, c := range again {
				c.err = s.faultOf(c.err, c.writes)
			}
			return
		}
		commands = again
	}
}

// dispatch sends commands once: one alone, several in a pipeline.
func (s *Store) dispatch(ctx context.Context, commands []*command) {
	if s.target.wait > 0 {
		commands = s.dispatchWaiting(ctx, commands)
	}
	switch len(commands) {
	case 0:
		return
	case 1:
		_ = s.client.Process(ctx, commands[0].prepare(ctx)) // the command has its error
		return
	}
	pipe := s.client.Pipeline()
	for _, c := range commands {
		_ = pipe.Process(ctx, c.prepare(ctx)) // only queues it
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
}

// wait pauses before commands are sent again, and finds out who has the keys
// now. While the circuit is open nothing is sent. It reports whether there is
// time for another attempt.
func (s *Store) wait(ctx context.Context, deadline time.Time, pause time.Duration) bool {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return hasTime(ctx, pause) && s.circuit.await(ctx) && rest(ctx, s.client, pause) && s.circuit.await(ctx)
}

// hasTime reports whether there is time for another attempt after a pause.
func hasTime(ctx context.Context, pause time.Duration) bool {
	ends, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(ends) >= pause+leastAttempt)
}

// rest pauses, and has a client find out who has the keys now. It reports
// whether there is time left.
func rest(ctx context.Context, client redis.UniversalClient, pause time.Duration) bool {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func gone(err error) *account.Fault {
	return &account.Fault{Reason: account.CallerGone, Detail: "the caller's time was up before the store was asked", Err: err}
}

// faultOf makes a fault of the error that a command ended with. When it writes
// and may have run, its outcome is unknown.
func (s *Store) faultOf(err error, writes bool) *account.Fault {
	var f *account.Fault
	if errors.As(err, &f) {
		return f
	}
	v, reason := judge(err)
	f = &account.Fault{Reason: reason, Err: err, RetryAfter: retryHint}
	switch {
	case v == ran && writes:
		f.Detail = s.target.String() + " did not answer: the request may have been counted; repeat it with the same request id"
	case v == ran:
		f.Reason = account.StoreUnavailable
		f.Detail = s.target.String() + " did not answer"
	case reason == account.SlotMoving:
		f.Detail = "the app's keys are moving between nodes of " + s.target.String()
	case reason == account.StoreReadOnly:
		f.Detail = s.target.String() + " refuses writes"
	case reason == account.UsageUnknown:
		f.Detail, f.RetryAfter = "a stored value is damaged", 0
	case reason == account.StoreOutOfMemory:
		f.Detail = s.target.String() + " is out of memory; releases and changes of records still work"
	case v == refused, v == noScript:
		f.Detail = s.target.String() + " refuses the command"
	default:
		f.Detail = s.target.String() + " cannot be reached"
	}
	return f
}
