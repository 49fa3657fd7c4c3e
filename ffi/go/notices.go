// News from the runtime: one goroutine takes them and tells those who wait.

package hybridrt

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// noticeLimit bounds one wait for notices; a later one follows at once.
const noticeLimit = time.Minute

// noticeBoard knows who waits for the end of which job.
type noticeBoard struct {
	lock    sync.Mutex
	changed *sync.Cond // wanted or ended
	wanted  int        // how many want to hear something
	ended   bool       // the client closes
	started bool
	stopped error // why nobody listens any more
	waiters map[uint64][]chan notice
	// onLease hears of notices about jobs that this process runs, onQuiet of each wait that brought
	// none, and onLost when the runtime is gone. Set before listening begins.
	onLease func(notice)
	onQuiet func()
	onLost  func()
}

func newNoticeBoard() *noticeBoard {
	board := &noticeBoard{waiters: map[uint64][]chan notice{}}
	board.changed = sync.NewCond(&board.lock)
	return board
}

// want begins to wait for notices, until as many calls of unwant.
func (b *noticeBoard) want() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.wanted++
	b.changed.Signal()
}

func (b *noticeBoard) unwant() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.wanted--
}

// end lets the goroutine that takes notices go.
func (b *noticeBoard) end() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.ended = true
	b.changed.Signal()
}

// waitUntilWanted sleeps while nobody wants to hear anything.
func (b *noticeBoard) waitUntilWanted() {
	b.lock.Lock()
	defer b.lock.Unlock()
	for b.wanted == 0 && !b.ended {
		b.changed.Wait()
	}
}

// listen starts the goroutine that takes notices, if it does not run yet.
func (c *Client) listen() {
	c.notices.lock.Lock()
	defer c.notices.lock.Unlock()
	if !c.notices.started {
		c.notices.started = true
		go c.takeNotices()
	}
}

// takeNotices runs until the client is closed or the runtime is gone.
func (c *Client) takeNotices() {
	places := newNoticeBuffer()
	defer places.free()
	for {
		c.notices.waitUntilWanted()
		if err := c.enter(); err != nil {
			c.notices.stop(err)
			return
		}
		found, status := c.native.poll(places, noticeLimit)
		c.leave()
		for _, one := range found {
			c.notices.tell(one)
		}
		if status == statusAgain && c.notices.onQuiet != nil {
			c.notices.onQuiet()
		}
		if status != statusOK && status != statusAgain {
			c.notices.stop(statusError(status, ""))
			if c.notices.onLost != nil {
				c.notices.onLost()
			}
			return
		}
	}
}

// tell hands a notice to those that it concerns.
func (b *noticeBoard) tell(one notice) {
	if one.kind != noticeResult {
		if b.onLease != nil {
			b.onLease(one)
		}
		return
	}
	b.lock.Lock()
	waiters := b.waiters[one.job]
	delete(b.waiters, one.job)
	b.lock.Unlock()
	for _, waiter := range waiters {
		own := one
		own.data = bytes.Clone(one.data)
		waiter <- own // has room: each waiter hears once
	}
}

// stop tells everybody that no notice will come.
func (b *noticeBoard) stop(err error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.stopped = err
	for job, waiters := range b.waiters {
		for _, waiter := range waiters {
			close(waiter)
		}
		delete(b.waiters, job)
	}
}

func (b *noticeBoard) add(job uint64) (chan notice, error) {
	waiter := make(chan notice, 1)
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.stopped != nil {
		return nil, b.stopped
	}
	b.waiters[job] = append(b.waiters[job], waiter)
	return waiter, nil
}

func (b *noticeBoard) remove(job uint64, waiter chan notice) {
	b.lock.Lock()
	defer b.lock.Unlock()
	waiters := b.waiters[job]
	for i := range waiters {
		if waiters[i] == waiter {
			waiters = append(waiters[:i], waiters[i+1:]...)
			break
		}
	}
	if len(waiters) == 0 {
		delete(b.waiters, job)
		return
	}
	b.waiters[job] = waiters
}

// await waits for the RESULT notice of a job.
func (c *Client) await(ctx context.Context, job uint64) (notice, error) {
	c.listen()
	waiter, err := c.notices.add(job)
	if err != nil {
		return notice{}, err
	}
	defer c.notices.remove(job, waiter)
	c.notices.want()
	defer c.notices.unwant()
	if err := c.watch(job); err != nil {
		return notice{}, err
	}
	select {
	case end, open := <-waiter:
		if !open {
			return notice{}, fmt.Errorf("%w: while waiting for job %d", ErrClosed, job)
		}
		return end, nil
	case <-ctx.Done():
		return notice{}, context.Cause(ctx)
	}
}

func (c *Client) watch(job uint64) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	return c.native.watch(job)
}
