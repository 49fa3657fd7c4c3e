// One run of a worker: the pump that fetches batches, and what its runners share.

package hybridrt

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batchSize = 256 // jobs of one fetch
	// spareBatches are those that the pump fills while every runner looks at one.
	spareBatches = 2
	// fetchLimit bounds one wait for jobs; a later one follows at once.
	fetchLimit = time.Minute
)

// run is the state of one Worker.Run.
type run struct {
	client  *Client
	log     *slog.Logger
	base    context.Context
	routes  map[string]*route
	byKind  [kindsMax]atomic.Pointer[route]
	unitMax int

	runners  []*runner
	empty    chan *batch
	ready    chan *batch
	stopping atomic.Bool   // no job begins any more
	stopped  chan struct{} // closed with it
	leaving  atomic.Bool   // nothing is fetched any more
	lookout  *lookout
	early    earlyStops
	queues   queueNames
}

func newRun(base context.Context, client *Client, routes map[string]*route,
	concurrency int) *run {
	r := &run{
		client: client, log: slog.Default(), base: base, routes: routes,
		unitMax: client.native.unitMax(),
		empty:   make(chan *batch, concurrency+spareBatches),
		ready:   make(chan *batch, concurrency),
		stopped: make(chan struct{}),
	}
	for range concurrency {
		r.runners = append(r.runners, newRunner(r))
	}
	for range cap(r.empty) {
		r.empty <- newBatch(batchSize)
	}
	r.lookout = newLookout(r)
	return r
}

// free gives up the C memory and detaches. Nothing runs any more.
func (r *run) free() {
	r.lookout.stop()
	_ = r.client.Close() // has no way to fail
	for _, one := range r.runners {
		one.free()
	}
	for len(r.empty) > 0 {
		(<-r.empty).free()
	}
}

// work fetches and runs jobs until the worker has to stop, and returns when no handler runs.
func (r *run) work() error {
	if len(r.runners) == 1 {
		return r.pump(r.runners[0].work)
	}
	var busy sync.WaitGroup
	for _, one := range r.runners {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for jobs := range r.ready {
				one.work(jobs)
			}
		}()
	}
	err := r.pump(r.share)
	close(r.ready)
	busy.Wait()
	return err
}

// pump fetches batches until the worker has to stop and hands each on. It keeps its thread, which
// sleeps in C while there is nothing to do. With one runner the handlers run right here, so that
// no job changes threads.
func (r *run) pump(hand func(*batch)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for !r.leaving.Load() {
		jobs := <-r.empty
		status := r.client.native.fetch(jobs, fetchLimit)
		if status != statusOK {
			r.empty <- jobs
			if status == statusAgain {
				continue
			}
			return r.endOfJobs(status)
		}
		if r.client.native.draining() {
			r.stop()
		}
		jobs.users.Store(int64(min(jobs.count, len(r.runners))))
		hand(jobs)
	}
	return nil
}

// share hands a batch to as many runners as it has jobs. Each takes the next job when it is done
// with one, so a slow job holds up nobody but its runner.
func (r *run) share(jobs *batch) {
	for range jobs.users.Load() {
		r.ready <- jobs
	}
}

// endOfJobs decides what the end of the pump means.
func (r *run) endOfJobs(status int) error {
	if status == statusDraining {
		r.stop()
		return nil
	}
	r.onLost()
	return statusError(status, "")
}

// onLost stops everything: the runtime is gone, and so is the lease of whatever runs.
func (r *run) onLost() {
	r.stop()
	r.cancelAll(ErrClosed)
}

func (r *run) stop() {
	if !r.stopping.Swap(true) {
		close(r.stopped)
		r.log.Info("worker is draining")
	}
}

// draining is closed once the worker stops. The pump may be busy with a handler when the runtime
// asks for it: then whoever asks here, or takes the notices, sees it first.
func (r *run) draining() <-chan struct{} {
	r.onQuiet()
	return r.stopped
}

// onQuiet looks whether the runtime has asked to drain.
func (r *run) onQuiet() {
	if !r.stopping.Load() && r.client.enter() == nil {
		defer r.client.leave()
		if r.client.native.draining() {
			r.stop()
		}
	}
}

// watchStop waits for the end of ctx or of the work. After the former it gets the pump out of its
// wait, and cancels the handlers once the grace time is over.
func (r *run) watchStop(ctx context.Context, grace time.Duration, done <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-done:
		return
	}
	r.stop()
	r.leaving.Store(true)
	r.client.native.interrupt()
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-limit.C:
		r.cancelAll(ErrDraining)
	case <-done:
	}
}

func (r *run) cancelAll(cause error) {
	for _, one := range r.runners {
		one.cancel(anyToken, cause)
	}
}

// routeOf finds the handler of a kind's number, and asks for the name at the first job.
func (r *run) routeOf(kind uint16) *route {
	if int(kind) >= kindsMax {
		return nil
	}
	if known := r.byKind[kind].Load(); known != nil {
		return known
	}
	found := r.routes[r.client.native.kindName(kind)]
	if found != nil {
		r.byKind[kind].Store(found)
	}
	return found
}

// queueNames remembers the names of queues by their numbers.
type queueNames struct {
	lock  sync.Mutex
	names map[uint16]string
}

func (r *run) queueName(number uint16) string {
	r.queues.lock.Lock()
	defer r.queues.lock.Unlock()
	if name, known := r.queues.names[number]; known {
		return name
	}
	if r.client.enter() != nil {
		return ""
	}
	defer r.client.leave()
	if r.queues.names == nil {
		r.queues.names = map[uint16]string{}
	}
	name := r.client.native.queueName(number)
	r.queues.names[number] = name
	return name
}

// onNotice hears what the runtime has to say about jobs of this worker.
func (r *run) onNotice(news notice) {
	if news.kind == noticeRefused {
		r.log.Warn("the runtime refused the end of an attempt", "job", news.job,
			"token", news.token, "reason", statusText(news.code))
		r.cancelRunning(news.token, ErrLeaseLost)
		return
	}
	cause := causeOf(outcome(news.code))
	r.early.add(news.token, cause)
	if r.cancelRunning(news.token, cause) {
		r.early.take(news.token)
	}
}

func causeOf(why outcome) error {
	switch why {
	case outcomeTimeout:
		return ErrTimeLimit
	case outcomeLost:
		return ErrLeaseLost
	default:
		return ErrCancelled
	}
}

// cancelRunning cancels the context of the attempt with this token, if it runs now.
func (r *run) cancelRunning(token uint64, cause error) bool {
	for _, one := range r.runners {
		if one.cancel(token, cause) {
			return true
		}
	}
	return false
}

// earlyMax bounds the requests to stop that wait for their job to begin. A forgotten one costs no
// more than the runtime's patience: it ends what does not stop.
const earlyMax = 1024

// earlyStops are requests to stop jobs that were fetched and have not begun. A runner first says
// what it runs and then looks here; the notices first write here and then look at the runners: so
// one of the two sees the other.
type earlyStops struct {
	count  atomic.Int64
	lock   sync.Mutex
	causes map[uint64]error // by token
}

func (e *earlyStops) add(token uint64, cause error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.causes == nil || len(e.causes) == earlyMax {
		e.causes = map[uint64]error{}
	}
	e.causes[token] = cause
	e.count.Store(int64(len(e.causes)))
}

// take removes the request for this token and returns its cause, or nil.
func (e *earlyStops) take(token uint64) error {
	if e.count.Load() == 0 {
		return nil
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	cause := e.causes[token]
	delete(e.causes, token)
	e.count.Store(int64(len(e.causes)))
	return cause
}
