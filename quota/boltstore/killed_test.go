package boltstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Long runs and those that repeat another come from variables.
const (
	soakVariable = "IMQUOTA_SOAK" // a duration such as 10m
	seedVariable = "IMQUOTA_SEED" // as the test prints it
)

const (
	killedApp     = 1
	killedParties = 12
	killedRounds  = 40
)

// killedLimits are reached now and then.
var killedLimits = map[string]int64{
	"users": 1 << 40, "free_mau": 1 << 40, "daily_net_groups": 1 << 40,
	"friends": 12, "groups": 2 * killedParties, "joined_groups": 8, "group_members": 8,
}

// assignment is what the process that is to be killed begins with.
type assignment struct {
	Seed    uint64   `json:"seed"`
	Parties []*party `json:"parties"`
}

// line is what it says: a try before it asks, the same with an answer after.
type line struct {
	Try    try       `json:"try"`
	Answer *answered `json:"answer,omitempty"`
}

func assignmentPath(path string) string { return path + ".assignment" }

// callUntilKilled has each party call, one call after the other, all parties at
// once.
func callUntilKilled(path string, out io.Writer) error {
	text, err := os.ReadFile(assignmentPath(path))
	if err != nil {
		return err
	}
	var a assignment
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	var printing sync.Mutex
	say := func(l line) {
		b, err := json.Marshal(l)
		if err != nil {
			panic(err)
		}
		printing.Lock()
		defer printing.Unlock()
		_, _ = out.Write(append(b, '\n')) // in one piece, for a pipe
	}
	_, _ = io.WriteString(out, "opening\n")
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	caller := newCaller(s)
	go s.Watch(ctx, caller.enforcer)
	errs := make(chan error)
	for i, p := range a.Parties {
		random := rand.New(rand.NewPCG(a.Seed, uint64(i)))
		go func() {
			for {
				t := p.draw(random)
				t.Party = i
				say(line{Try: t})
				answer, err := caller.call(ctx, &t)
				if err != nil {
					errs <- fmt.Errorf("%+v: %w", t, err)
					return
				}
				say(line{t, answer})
				p.settle(&t, answer)
			}
		}()
	}
	return <-errs
}

// TestKilledUnderEveryKindOfCall kills a process at any moment of its work, of
// its opening and of compacting, again and again. Each time all that was
// acknowledged is there, and what was not takes effect once when it is asked
// again; so every counter, and what is held of it, is the sum of what the calls
// say.
func TestKilledUnderEveryKindOfCall(t *testing.T) {
	t.Parallel()
	random, goesOn := soak(t, killedRounds)
	k := newKilled(t)
	for goesOn() {
		switch random.IntN(8) {
		case 0:
			k.kill("compact", nil, "", time.Duration(random.IntN(6000))*time.Microsecond)
		case 1: // while it opens the file
			k.kill("call", &assignment{random.Uint64(), k.parties}, "", time.Duration(random.IntN(3000))*time.Microsecond)
		default:
			k.kill("call", &assignment{random.Uint64(), k.parties}, "{", time.Duration(random.IntN(60_000))*time.Microsecond)
		}
		k.reopen()
		if t.Failed() {
			return
		}
	}
	k.settleAll()
	t.Logf("%d kills; %d calls acknowledged, %d of them denied; %d not, of which %d had taken effect", k.kills, k.acknowledged, k.denied, k.unacknowledged, k.effective)
}

// soak returns a source of chance, and whether a test is to go on: for so many
// rounds, or as long as the variable says.
func soak(t *testing.T, rounds int) (random *rand.Rand, goesOn func() bool) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	random = rand.New(rand.NewPCG(seed, 0))
	if text := os.Getenv(soakVariable); text != "" {
		lasts, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", soakVariable, err)
		}
		end := time.Now().Add(lasts)
		return random, func() bool { return time.Now().Before(end) }
	}
	return random, func() bool { rounds--; return rounds >= 0 }
}

// killed is a store whose processes are killed, and what they said.
type killed struct {
	t       *testing.T
	path    string
	parties []*party

	kills, acknowledged, denied, unacknowledged, effective int
}

func newKilled(t *testing.T) *killed {
	t.Helper()
	k := &killed{t: t, path: newPath(t)}
	for i := range killedParties {
		k.parties = append(k.parties, newParty("p"+strconv.Itoa(i)))
	}
	s := open(t, k.path)
	app := &account.App{ID: killedApp, Account: "acme", Edition: "developer", Created: time.Now().UTC(), Overrides: make(map[string]account.Override)}
	for key, limit := range killedLimits {
		app.Overrides[key] = account.Override{Limit: catalog.Max(limit)}
	}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 10, false); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	return k
}

// kill starts a process and kills it so long after its first line that begins so.
func (k *killed) kill(mode string, a *assignment, begin string, after time.Duration) {
	k.t.Helper()
	if a != nil {
		text, err := json.Marshal(a)
		if err != nil {
			k.t.Fatal(err)
		}
		write(k.t, assignmentPath(k.path), text)
	}
	c := startChild(k.t, mode, k.path)
	c.lines.Split(bufio.ScanLines)
	var timer *time.Timer
	for c.lines.Scan() {
		if timer == nil && strings.HasPrefix(c.lines.Text(), begin) {
			timer = time.AfterFunc(after, func() { _ = c.Process.Kill() })
		}
		if strings.HasPrefix(c.lines.Text(), "{") {
			k.hear(c.lines.Bytes())
		}
	}
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		k.t.Fatalf("the process ended by itself: %v", err)
	}
	timer.Stop()
	k.kills++
}

func (k *killed) hear(text []byte) {
	k.t.Helper()
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		k.t.Fatalf("%q: %v", text, err)
	}
	p := k.parties[l.Try.Party]
	p.Next = max(p.Next, l.Try.Number+1)
	if l.Answer == nil {
		p.doubt = &l.Try
		return
	}
	k.acknowledged++
	if !l.Answer.Allowed {
		k.denied++
	}
	p.doubt = nil
	p.last, p.lastAnswer = &l.Try, l.Answer
	p.settle(&l.Try, l.Answer)
}

// reopen opens the store, asks again what nobody answered, and compares.
func (k *killed) reopen() {
	k.t.Helper()
	s := open(k.t, k.path)
	caller := newCaller(s)
	var asking sync.WaitGroup // all at once, for one sync
	answers, errs := make([]*answered, len(k.parties)), make([]error, len(k.parties))
	for i, p := range k.parties {
		// What was answered last is remembered; of the record's changes only the
		// very last is, which may be one that nobody answered.
		isOver := p.last != nil && p.last.Kind == "rename" && p.doubt != nil && p.doubt.Kind == "rename"
		if p.last != nil && p.lastAnswer.Allowed && !isOver {
			again, err := caller.call(k.t.Context(), p.last)
			if err != nil || !again.Replayed || !again.Allowed {
				k.t.Errorf("%+v was answered %+v, and asked again %+v, %v", p.last, p.lastAnswer, again, err)
			}
		}
		p.last = nil
		if p.doubt == nil {
			continue
		}
		asking.Go(func() { answers[i], errs[i] = caller.call(k.t.Context(), p.doubt) })
	}
	asking.Wait()
	for i, p := range k.parties {
		if errs[i] != nil {
			k.t.Fatalf("%+v, asked again: %v", p.doubt, errs[i])
		}
		if p.doubt == nil {
			continue
		}
		k.unacknowledged++
		if answers[i].Replayed {
			k.effective++
		}
		p.settle(p.doubt, answers[i])
		p.doubt = nil
	}
	k.compare(caller)
	sound(k.t, s)
	shut(k.t, s)
}

// settleAll commits one half of the reservations and cancels the other.
func (k *killed) settleAll() {
	k.t.Helper()
	s := open(k.t, k.path)
	caller := newCaller(s)
	for _, p := range k.parties {
		for i := 0; len(p.Held) > 0; i++ {
			t := try{Kind: []string{"commit", "cancel"}[i%2], Hold: p.Held[0].ID}
			answer, err := caller.call(k.t.Context(), &t)
			if err != nil || !answer.Allowed {
				k.t.Fatalf("%+v: %+v, %v", t, answer, err)
			}
			p.settle(&t, answer)
		}
	}
	k.compare(caller)
	shut(k.t, s)
}

// compare compares all counters with what the calls add up to.
func (k *killed) compare(c *caller) {
	k.t.Helper()
	ctx := k.t.Context()
	want, got := make(map[number]count), make(map[number]count)
	for _, p := range k.parties {
		p.addTo(want)
	}
	read := func(q quota.UsageQuery) {
		q.App = killedApp
		usage, err := c.enforcer.Usage(ctx, q)
		if err != nil {
			k.t.Fatalf("%+v: %v", q, err)
		}
		for _, s := range usage.States {
			if s.Used+s.Held > killedLimits[s.Quota] {
				k.t.Errorf("%s of %q: %d and %d held, the limit is %d", s.Quota, s.Subject, s.Used, s.Held, killedLimits[s.Quota])
			}
			if s.Used != 0 || s.Held != 0 {
				got[number{s.Quota, s.Subject}] = count{s.Used, s.Held}
			}
		}
	}
	read(quota.UsageQuery{Quotas: []string{"users", "free_mau", "groups"}})
	for _, p := range k.parties {
		for _, user := range p.users() {
			read(quota.UsageQuery{Quotas: []string{"friends", "joined_groups"}, UserID: user})
		}
		for n := range p.Next {
			if group := p.group(n); p.Groups[group] != nil || n >= p.Next-50 {
				read(quota.UsageQuery{Quotas: []string{"group_members"}, GroupID: group})
			}
		}
	}
	same(k.t, "counters", want, got)

	app, err := c.store.App(ctx, killedApp)
	if err != nil {
		k.t.Fatal(err)
	}
	renames := 0
	for _, p := range k.parties {
		renames += p.Renames
	}
	same(k.t, "changes of the record", uint64(1+renames), app.Version.Revision)
	events, err := c.store.Events(ctx, killedApp, 0, 1)
	if err != nil || len(events) != 1 || events[0].Revision != app.Version.Revision {
		k.t.Errorf("the log ends with %+v, %v", events, err)
	}
}

// number names a counter.
type number struct{ Quota, Subject string }

// count is what is used of a counter and held.
type count struct{ Used, Held int64 }

// caller carries tries out.
type caller struct {
	store    *Store
	enforcer *quota.Enforcer
}

func newCaller(s *Store) *caller {
	return &caller{s, quota.New(quota.Options{Catalog: catalog.Default(), Store: s, Registry: s})}
}

func (c *caller) call(ctx context.Context, t *try) (*answered, error) {
	id, ok := quota.ParseHoldID(t.Hold)
	end := quota.ReservationEnd{App: killedApp, ID: id}
	switch t.Kind {
	case "commit", "cancel":
		if !ok {
			return nil, errors.New("no reservation")
		}
		if t.Kind == "commit" {
			return replied(c.enforcer.Commit(ctx, end))
		}
		return replied(c.enforcer.Cancel(ctx, end))
	case "set":
		change, err := c.enforcer.SetUsage(ctx, quota.UsageSetting{
			App: killedApp, RequestID: t.ID, Quota: "friends", Subject: t.Users[0], Used: t.N,
		})
		if err != nil {
			return nil, err
		}
		return &answered{Allowed: true, Replayed: change.Replayed}, nil
	case "rename":
		return c.rename(ctx, t)
	}
	r := &quota.Request{App: killedApp, ID: t.ID, Action: t.action()}
	if t.Reserve {
		r.Mode, r.Hold = quota.Reserve, quota.MaxHold
	}
	return replied(c.enforcer.Check(ctx, r))
}

// rename changes the app's record, whose name says which change was the last of
// each party.
func (c *caller) rename(ctx context.Context, t *try) (*answered, error) {
	for {
		app, err := c.store.App(ctx, killedApp)
		if err != nil {
			return nil, err
		}
		if app.Name == t.ID {
			return &answered{Allowed: true, Replayed: true}, nil
		}
		app.Name = t.ID
		err = c.store.UpdateApp(ctx, app, account.Event{At: time.Now().UTC(), Action: "Rename"})
		if !errors.Is(err, account.ErrConflict) {
			return &answered{Allowed: true}, err
		}
	}
}

func replied(d *quota.Decision, err error) (*answered, error) {
	if err != nil {
		return nil, err
	}
	r := &answered{Allowed: d.Allowed, Replayed: d.Replayed}
	if d.Reservation != nil {
		r.Hold = d.Reservation.ID.String()
	}
	return r, nil
}
