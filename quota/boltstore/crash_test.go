package boltstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

const (
	crashRounds  = 15
	crashCallers = 32
	crashApp     = 1
)

// sending counts a request twice over, by app and by user, and registers a
// user: what is torn apart shows.
func sending(app *account.App, n uint64) quota.Txn {
	txn := adding(app, "sent")
	txn.Request = request(n)
	txn.Users = quota.UserStep{Op: quota.UsersRegister, IDs: []string{strconv.FormatUint(n, 10)}}
	txn.Charges = append(txn.Charges,
		quota.Charge{Counter: quota.Counter{Quota: "users"}, Delta: 1, Basis: quota.PerNewUser, Limit: catalog.Unlimited()},
		quota.Charge{Counter: quota.Counter{Quota: "sent by"}, Subjects: []string{"alice"}, Delta: 1, Limit: catalog.Unlimited()})
	return txn
}

// workUntilKilled prints "try N" before it asks for N, and "done N" once the
// store has answered; N begins above what the store has counted so far.
func workUntilKilled(path string, out io.Writer) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	app, err := s.App(ctx, crashApp)
	if err != nil {
		return err
	}
	var next atomic.Uint64
	next.Store(rand.Uint64N(1<<40) << 20) // of this round alone
	var printing sync.Mutex
	say := func(what string, n uint64) {
		printing.Lock()
		defer printing.Unlock()
		_, _ = fmt.Fprintln(out, what, n)
	}
	var wg sync.WaitGroup
	for range crashCallers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				say("try", n)
				if o := s.Apply(ctx, []quota.Txn{sending(app, n)})[0]; !o.Applied {
					say("refused", n)
				}
				say("done", n)
				if o := s.Apply(ctx, []quota.Txn{sending(app, n)})[0]; !o.Replayed {
					say("twice", n)
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKilledProcessLosesNothingItAnswered kills a process that works on a
// store, again and again: what it had answered is there, what it had not is
// there as a whole or not at all, and nothing is there twice.
func TestKilledProcessLosesNothingItAnswered(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, crashApp)
	shut(t, s)

	var tried []uint64
	var done int
	for range crashRounds {
		c := startChild(t, "work", path)
		t1, d1 := killAfter(t, c, rand.IntN(400))
		tried, done = append(tried, t1...), done+len(d1)

		s := open(t, path)
		for _, n := range d1 {
			txn := sending(app, n)
			txn.Mode = quota.ModeJudge
			if o := applyOne(t, s, txn); !o.Replayed {
				t.Errorf("request %d was answered and is forgotten", n)
			}
		}
		var known int64
		for _, n := range tried {
			txn := sending(app, n)
			txn.Mode = quota.ModeJudge
			if applyOne(t, s, txn).Replayed {
				known++
			}
		}
		if known < int64(done) || known > int64(len(tried)) {
			t.Errorf("%d requests are known; %d were answered, %d tried", known, done, len(tried))
		}
		counted(t, s, app, known)
		shut(t, s)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d tried, %d answered", len(tried), done)

	// A caller who got no answer asks again, and each is counted once.
	s = open(t, path)
	for _, n := range tried {
		applyOne(t, s, sending(app, n))
	}
	counted(t, s, app, int64(len(tried)))
}

func counted(t *testing.T, s *Store, app *account.App, want int64) {
	t.Helper()
	txn := sending(app, 0)
	txn.Mode = quota.ModeJudge
	for i, c := range applyOne(t, s, txn).Charges {
		if c.Used[0] != want {
			t.Errorf("%s: counted %d, known are %d", txn.Charges[i].Quota, c.Used[0], want)
		}
	}
}

// killAfter kills a process once it has printed some answers, and returns all
// that it had tried and printed by then.
func killAfter(t *testing.T, c *child, answers int) (tried, done []uint64) {
	t.Helper()
	c.lines.Split(bufio.ScanLines)
	for c.lines.Scan() {
		what, number, _ := strings.Cut(c.lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("the other process says %q", c.lines.Text())
		}
		switch what {
		case "try":
			tried = append(tried, n)
		case "done":
			done = append(done, n)
		default:
			t.Errorf("the other process says %q", c.lines.Text())
		}
		if len(done) >= answers {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			answers = 1 << 30 // what is in the pipe still counts
		}
	}
	_ = c.Wait()
	return tried, done
}
