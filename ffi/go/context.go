// The context of one attempt, made without allocating until somebody waits on it.

package hybridrt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// attemptContext is the context.Context of a handler. Most handlers never look at it, so the real
// context, which can be waited on and has a cause, is made at first need. Everything that the
// standard library asks a context for is answered by that real one, so children, AfterFunc and
// context.Cause work as with any other.
type attemptContext struct {
	base       context.Context // carries values; is never cancelled
	deadlineNS atomic.Uint64   // on CLOCK_MONOTONIC, 0: none
	touched    atomic.Bool     // real exists, or a cause is set

	lock   sync.Mutex
	real   context.Context
	stop   context.CancelCauseFunc
	cause  error
	closed bool
}

// Deadline is the end of the attempt's time limit.
func (c *attemptContext) Deadline() (time.Time, bool) {
	deadline := c.deadlineNS.Load()
	if deadline == 0 {
		return time.Time{}, false
	}
	return time.Now().Add(time.Duration(int64(deadline) - int64(monotonicNS()))), true
}

// Done is closed when the handler should stop.
func (c *attemptContext) Done() <-chan struct{} { return c.reality().Done() }

// Err says whether the handler should stop. Ask context.Cause for the reason.
func (c *attemptContext) Err() error {
	if !c.touched.Load() {
		return nil
	}
	return c.reality().Err()
}

// Value looks up the values of the context that the worker was started with.
func (c *attemptContext) Value(key any) any { return c.reality().Value(key) }

// reality makes the real context at first need.
func (c *attemptContext) reality() context.Context {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.real == nil {
		c.touched.Store(true)
		c.real, c.stop = context.WithCancelCause(c.base)
		if c.cause != nil {
			c.stop(c.cause)
		}
	}
	return c.real
}

// cancel tells the handler to stop; the first cause stays.
func (c *attemptContext) cancel(cause error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.cause != nil || c.closed {
		return
	}
	c.cause = cause
	c.touched.Store(true)
	if c.real != nil {
		c.stop(cause)
	}
}

// finish ends the context with its handler, as an http.Request's ends, and returns the cause for
// which it was cancelled before that, if any.
func (c *attemptContext) finish() error {
	if !c.touched.Load() {
		return nil
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.closed = true
	if c.real != nil {
		c.stop(nil)
	}
	return c.cause
}
