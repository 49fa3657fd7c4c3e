package hybridrt

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Goal: notices are listened to while a handler is slow, and only then.
func TestLookoutListensWhileAHandlerIsSlow(t *testing.T) {
	r := newTestRunner(t, nothing)
	r.run.client.notices = newNoticeBoard()
	r.run.client.closing.Store(true) // so that nobody is interrupted in C
	wanted := func() int {
		r.run.client.notices.lock.Lock()
		defer r.run.client.notices.lock.Unlock()
		return r.run.client.notices.wanted
	}
	look := r.run.lookout
	t.Cleanup(func() { look.timer.Stop() })
	look.look()
	if look.armed.Load() || wanted() != 0 {
		t.Error("an idle worker looks again, or listens")
	}
	r.step.Add(1)
	look.look()
	if !look.armed.Load() || wanted() != 0 {
		t.Error("a batch that began since the last look is not looked at again, or is slow")
	}
	look.look()
	look.look()
	if wanted() != 1 {
		t.Errorf("a slow handler is not listened for: %d", wanted())
	}
	r.step.Add(1)
	look.look()
	if wanted() != 0 {
		t.Error("still listening after the slow handler")
	}
}

// Goal: the news of a job's end reaches all who wait for it, and only them.
func TestResultsReachTheirWaiters(t *testing.T) {
	board := newNoticeBoard()
	first, _ := board.add(7)
	second, _ := board.add(7)
	other, _ := board.add(8)
	gone, _ := board.add(7)
	board.remove(7, gone)
	board.tell(notice{kind: noticeResult, job: 7, data: []byte("r")})
	for _, waiter := range []chan notice{first, second} {
		if end := <-waiter; string(end.data) != "r" {
			t.Errorf("%q", end.data)
		}
	}
	if len(other) != 0 || len(gone) != 0 {
		t.Error("a stranger was told")
	}
	board.stop(ErrClosed)
	if _, open := <-other; open {
		t.Error("a waiter is left waiting after the end")
	}
	if _, err := board.add(9); err != ErrClosed {
		t.Errorf("waiting for what cannot come: %v", err)
	}
}

// Goal: a closed client answers, whatever it is asked.
func TestClosedClientSaysSo(t *testing.T) {
	client := &Client{notices: newNoticeBoard()}
	client.closing.Store(true)
	_, enqueued := client.EnqueueMany(context.Background(), []Spec{{Kind: "a"}})
	_, stats := client.Stats()
	for _, err := range []error{enqueued, stats, client.Cancel(1), client.watch(1)} {
		if err == nil {
			t.Error("a closed client works")
		}
	}
	if client.ID() != 0 {
		t.Error("a closed client has a number")
	}
}

// Goal: the shared clock runs as the time package's does.
func TestMonotonicRunsAtThePaceOfTime(t *testing.T) {
	outer := time.Now()
	shared := Monotonic()
	inner := time.Now()
	for time.Since(inner) < time.Millisecond {
		runtime.Gosched()
	}
	least := time.Since(inner)
	passed := Monotonic() - shared
	if most := time.Since(outer); passed < least || passed > most {
		t.Errorf("the shared clock says %v, which is not in %v to %v", passed, least, most)
	}
}
