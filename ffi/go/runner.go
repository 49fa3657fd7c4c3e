// A runner runs handlers one at a time and gathers what becomes of their jobs.

package hybridrt

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

type runner struct {
	run      *run
	current  atomic.Pointer[Job] // what runs now; nil between jobs
	visitors atomic.Int64        // goroutines that look at current
	spare    *Job                // to be used again
	step     atomic.Uint64       // batches begun and ended, see isBusy

	lock sync.Mutex // guards the rest; the lookout also flushes
	held *settleBuffer
}

func newRunner(of *run) *runner {
	return &runner{run: of, held: newSettleBuffer(batchSize)}
}

func (r *runner) free() {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.held.free()
}

// work takes jobs from the batch until none is left, and then settles at once all that it ran.
func (r *runner) work(jobs *batch) {
	r.step.Add(1)
	r.run.lookout.arm()
	last := int64(jobs.count) - 1
	for {
		place := jobs.next.Add(1) - 1
		if place > last {
			break
		}
		raw := &jobs.jobs[place]
		end := ending{outcome: outcomeReturned}
		if !r.run.stopping.Load() {
			end = r.attempt(raw)
		}
		r.hold(raw, &end)
	}
	r.flush()
	r.step.Add(1)
	if r.run.lookout.listening.Load() {
		r.run.lookout.arm()
	}
	if jobs.users.Add(-1) == 0 {
		r.run.empty <- jobs
	}
}

// attempt runs the handler of one job.
func (r *runner) attempt(raw *rawJob) ending {
	route := r.run.routeOf(uint16(raw.kind))
	if route == nil {
		return ending{outcome: outcomeRetry, delayNS: backOff,
			data: []byte("this worker has no handler for the kind")}
	}
	job := r.newJob(raw, route)
	r.current.Store(job)
	if cause := r.run.early.take(job.Token()); cause != nil {
		job.context.cancel(cause)
	}
	markStarted(raw)
	err := invoke(job)
	r.current.Store(nil)
	cause := job.context.finish()
	job.ended = true
	if !job.context.touched.Load() && r.visitors.Load() == 0 {
		r.spare = job
	}
	if err == nil {
		return ending{outcome: outcomeOK, data: job.result, follow: job.follow}
	}
	return r.failure(job, err, cause)
}

// newJob makes a Job, out of the last one if nobody can know that one any more: garbage for each
// job would cost more than all the rest. A context that was waited on or derived from is left to
// those who did so, and so is a job at which another goroutine looks just now.
func (r *runner) newJob(raw *rawJob, route *route) *Job {
	job := r.spare
	r.spare = nil
	if job == nil {
		job = &Job{run: r.run}
		job.context.base = r.run.base
	}
	job.raw, job.route = *raw, route
	job.result, job.follow, job.followBytes, job.ended = nil, nil, 0, false
	if deadline := uint64(raw.deadline_ns); deadline != job.context.deadlineNS.Load() {
		job.context.deadlineNS.Store(deadline)
	}
	return job
}

// cancel cancels the context of what runs now, if it is the attempt with this token; anyToken
// stands for whatever runs.
func (r *runner) cancel(token uint64, cause error) bool {
	// Said before the look: a job that is seen now is not used again meanwhile.
	r.visitors.Add(1)
	defer r.visitors.Add(-1)
	job := r.current.Load()
	if job == nil || (token != anyToken && job.Token() != token) {
		return false
	}
	job.context.cancel(cause)
	return true
}

// anyToken is no lease's token: those are sequence numbers, which begin at 1.
const anyToken = 0

// invoke calls the handler and turns a panic into an error.
func invoke(job *Job) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return job.route.handler(&job.context, job)
}

// failure decides what an error means. A handler that gave up because the worker is draining
// hands its job back: that is nobody's failure.
func (r *runner) failure(job *Job, err, cause error) ending {
	end := endOf(err)
	gaveUp := errors.Is(err, ErrDraining) && r.run.stopping.Load()
	if end.outcome == outcomeRetry && (gaveUp || cause == ErrDraining) {
		return ending{outcome: outcomeReturned}
	}
	if end.outcome == outcomeRetry || end.outcome == outcomeDead {
		r.run.log.Warn("attempt failed", "job", job.ID(), "kind", job.Kind(),
			"attempt", job.Attempt(), "error", string(end.data))
	}
	return end
}

// panicError is what a handler panicked with.
type panicError struct {
	value any
	stack []byte
}

// Error tells the value and where it happened, innermost first.
func (e *panicError) Error() string {
	stack := string(e.stack)
	// What lies above the call of panic is this package's own recovery.
	if _, below, found := strings.Cut(stack, "\npanic("); found {
		_, stack, _ = strings.Cut(below, "\n")
		_, stack, _ = strings.Cut(stack, "\n")
	}
	return fmt.Sprintf("panic: %v\n\n%s", e.value, stack)
}

// Unwrap gives the error that the handler panicked with, if it was one.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// hold keeps the end of a job for the next call into C.
func (r *runner) hold(raw *rawJob, end *ending) {
	size := laneBytes(end)
	if size > r.run.unitMax {
		*end = tooLarge(size, r.run.unitMax)
		size = laneBytes(end)
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.held.isFull() || r.held.bytes+size > r.run.unitMax {
		r.flushLocked()
	}
	r.held.add(raw, end, size)
}

// laneBytes is what the end of an attempt needs in the lane.
func laneBytes(end *ending) int {
	size := settleOverhead + len(end.data)
	for i := range end.follow {
		size += end.follow[i].laneBytes()
	}
	return size
}

// tooLarge replaces an end that cannot be committed in one step. Running the job again would come
// to the same, so it is a dead letter.
func tooLarge(size, limit int) ending {
	return ending{outcome: outcomeDead, data: errorText(fmt.Sprintf(
		"the result and the follow-up jobs need %d bytes; one settle holds %d", size, limit))}
}

func (r *runner) flush() {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.flushLocked()
}

func (r *runner) flushLocked() {
	if r.held.count == 0 {
		return
	}
	err := r.run.client.native.settle(r.held)
	if err != nil && !errors.Is(err, ErrClosed) {
		// A runtime that is gone is reported by the pump.
		r.run.log.Error("could not settle", "jobs", r.held.count, "error", err)
	}
	r.held.reset()
}
