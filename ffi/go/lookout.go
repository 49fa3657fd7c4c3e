// The lookout notices runners that are busy with one batch for long.

package hybridrt

import (
	"sync"
	"sync/atomic"
	"time"
)

// holdLimit is between two looks. A runner that is still at the same batch has a slow handler:
// what it has done before is settled, so that it need not wait for the rest, and the notices are
// listened to, so that the handler can be told to stop.
const holdLimit = time.Millisecond

// lookout looks only while batches come and go, so an idle worker has no timer, and it costs a
// fast one next to nothing. While no handler is slow nobody waits for notices: that thread would
// be woken for every job, and only then wake the pump.
type lookout struct {
	run       *run
	timer     *time.Timer
	armed     atomic.Bool
	listening atomic.Bool

	lock sync.Mutex // guards the rest
	seen []uint64   // the step of each runner at the last look
}

func newLookout(of *run) *lookout {
	l := &lookout{run: of, seen: make([]uint64, len(of.runners))}
	l.timer = time.AfterFunc(time.Hour, l.look)
	l.timer.Stop()
	return l
}

// arm makes sure that a look follows.
func (l *lookout) arm() {
	if !l.armed.Load() && !l.armed.Swap(true) {
		l.timer.Reset(holdLimit)
	}
}

func (l *lookout) look() {
	l.armed.Store(false)
	l.lock.Lock()
	defer l.lock.Unlock()
	slow, moving := false, false
	for i, one := range l.run.runners {
		step := one.step.Load()
		switch {
		case !isBusy(step):
		case step == l.seen[i]:
			slow = true
			one.flush()
		default:
			moving = true
		}
		l.seen[i] = step
	}
	l.listen(slow)
	if moving {
		l.arm()
	}
}

// listen begins or ends to wait for notices.
func (l *lookout) listen(wanted bool) {
	if l.listening.Swap(wanted) == wanted {
		return
	}
	if wanted {
		l.run.client.notices.want()
	} else {
		l.run.client.notices.unwant()
		l.run.client.interrupt()
	}
}

func (l *lookout) stop() {
	l.timer.Stop()
	l.lock.Lock()
	defer l.lock.Unlock()
	l.listen(false)
}

// isBusy tells the step of a runner that is at a batch: it counts up at each begin and each end.
func isBusy(step uint64) bool { return step%2 == 1 }
