package server

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// call notes when it is ended.
type call struct{ ended []time.Time }

// WriteStatus implements ender.
func (c *call) WriteStatus(*status.Status) error {
	c.ended = append(c.ended, time.Now())
	return nil
}

// TestPatience: each call is ended when its own time is up, once, whoever had its
// timer before; one that is over is not.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Second
		tm := &term{patience: &patience{limit: limit, answer: status.New(codes.Canceled, "late")}}
		begin := func() (*call, time.Time) {
			c := &call{}
			tm.begin(c, time.Now())
			return c, time.Now()
		}
		wantEnded := func(name string, c *call, times ...time.Time) {
			t.Helper()
			synctest.Wait()
			tm.mu.Lock()
			defer tm.mu.Unlock()
			if len(c.ended) != len(times) || len(times) > 0 && !c.ended[0].Equal(times[0]) {
				t.Errorf("%s: ended at %v, want %v", name, c.ended, times)
			}
		}
		quick, _ := begin()
		<-time.After(limit / 2)
		tm.over()
		slow, began := begin() // by the timer of the quick one
		<-time.After(limit - 1)
		wantEnded("before its time", slow)
		<-time.After(1)
		wantEnded("at its time", slow, began.Add(limit))
		<-time.After(5 * limit)
		wantEnded("later", slow, began.Add(limit))
		wantEnded("over", quick)
		tm.over()
		slow, began = begin() // by no timer that runs
		<-time.After(limit)
		wantEnded("the next one", slow, began.Add(limit))
		tm.over()
		quick, _ = begin()
		tm.over()
		<-time.After(5 * limit)
		wantEnded("the last one", quick)
		if tm.isSet {
			t.Error("the timer runs though nobody calls")
		}
	})
}
