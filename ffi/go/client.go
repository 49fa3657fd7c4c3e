// The client: attach, enqueue, wait for results, cancel, close.

package hybridrt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerLimit bounds the wait for the runtime's answer when the context has no deadline.
	answerLimit = 30 * time.Second
	// roomSlice is how long one call waits for room before the context is looked at again.
	roomSlice = 2 * time.Second
	// closePause is between two attempts of Close to get the last caller out.
	closePause = time.Millisecond
)

// AttachOptions say which runtime to attach to, and how. The zero value is what Open("") uses.
type AttachOptions struct {
	// Address is the path of the attach socket. Empty means: the lane that the supervisor
	// handed to this process, else $HYBRIDRT_SOCKET, else the user's own runtime.
	Address string
	// Name is shown to operators; empty means the name of the program.
	Name string
	// Timeout limits the attempt to connect; 0 means 5 s.
	Timeout time.Duration
	// SubmitCapacity is the size in bytes, a power of two, of the ring that jobs leave through;
	// 0 means 1 MiB. One job with its follow-ups cannot be larger than half of it.
	SubmitCapacity int
}

// Client is an attached process: it enqueues jobs, waits for results and cancels jobs. Its
// methods may be called from any goroutine.
type Client struct {
	native *native
	// gate is held for reading during every call into C, and for writing by Close.
	gate    sync.RWMutex
	closing atomic.Bool
	closed  chan struct{}

	names   *nameTable
	notices *noticeBoard
	arenas  sync.Mutex
	spare   []*arena // C memory to use again, at most spareMax
}

const spareMax = 16

// Open attaches to the runtime at address, the path of its attach socket. Empty means the lane
// that the supervisor handed to this process, else $HYBRIDRT_SOCKET, else the user's own runtime.
func Open(address string) (*Client, error) {
	return Attach(AttachOptions{Address: address})
}

// Attach attaches to a runtime. Errors wrap ErrUnreachable, ErrVersion, ErrPermission, ErrLimit
// or ErrTimeout. The caller closes the client.
func Attach(options AttachOptions) (*Client, error) {
	attached, err := attachNative(options)
	if err != nil {
		return nil, err
	}
	return &Client{
		native:  attached,
		closed:  make(chan struct{}),
		names:   newNameTable(attached),
		notices: newNoticeBoard(),
	}, nil
}

// Close detaches. Calls that wait return ErrClosed, as do all later ones. It may be called more
// than once.
func (c *Client) Close() error {
	if c.closing.Swap(true) {
		<-c.closed
		return nil
	}
	c.notices.end()
	for !c.gate.TryLock() {
		c.native.interrupt()
		time.Sleep(closePause)
	}
	defer c.gate.Unlock()
	c.native.detach()
	for _, memory := range c.spare {
		memory.free()
	}
	c.spare = nil
	close(c.closed)
	return nil
}

// enter admits a caller to C. Every successful enter is followed by leave.
func (c *Client) enter() error {
	c.gate.RLock()
	if c.closing.Load() {
		c.gate.RUnlock()
		return fmt.Errorf("%w: the client was closed", ErrClosed)
	}
	return nil
}

func (c *Client) leave() { c.gate.RUnlock() }

// interrupt gets those out of C that wait for jobs or notices; they may wait again.
func (c *Client) interrupt() {
	if c.enter() == nil {
		c.native.interrupt()
		c.leave()
	}
}

// ID is the runtime's unique number of this client.
func (c *Client) ID() uint64 {
	if c.enter() != nil {
		return 0
	}
	defer c.leave()
	return c.native.incarnation()
}

// Enqueue appends one job and waits until it is in the log, at the durability of its queue.
// Errors wrap ErrUnknownKind, ErrUnknownQueue, ErrQueueFull, ErrLogFull, ErrDiskFull, ErrTooLarge,
// ErrName, ErrPaused, ErrTimeout or ErrClosed. After ErrTimeout, or the context's error, the job
// may nevertheless be in the log.
func (c *Client) Enqueue(ctx context.Context, kind string, payload []byte,
	options ...Option) (Receipt, error) {
	job := Spec{Kind: kind, Payload: payload}
	for _, option := range options {
		option(&job)
	}
	outcomes, err := c.EnqueueMany(ctx, []Spec{job})
	if err != nil {
		return Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// EnqueueJSON is Enqueue with the JSON of value as payload.
func (c *Client) EnqueueJSON(ctx context.Context, kind string, value any,
	options ...Option) (Receipt, error) {
	payload, err := json.Marshal(value)
	if err != nil {
		return Receipt{}, fmt.Errorf("hybridrt: payload of %q: %w", kind, err)
	}
	return c.Enqueue(ctx, kind, payload, options...)
}

// Enqueue appends one job whose payload is the JSON of args. Together with Handle it gives a kind
// one type on both sides.
func Enqueue[T any](ctx context.Context, client *Client, kind string, args T,
	options ...Option) (Receipt, error) {
	return client.EnqueueJSON(ctx, kind, args, options...)
}

// Outcome is what became of one Spec of EnqueueMany.
type Outcome struct {
	// Receipt is that of the new job, when Err is nil.
	Receipt Receipt
	// Err says why there is no job, with the errors of Enqueue.
	Err error
}

// EnqueueMany appends many jobs with one call into C, and waits until they are in the log. Each
// job succeeds or fails by itself: the outcomes are in the order of specs.
// The error is not nil when nothing was tried: the client is closed or the context is done.
func (c *Client) EnqueueMany(ctx context.Context, specs []Spec) ([]Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	outcomes := make([]Outcome, len(specs))
	encoded := make([]spec, 0, len(specs))
	places := make([]int, 0, len(specs))
	for i := range specs {
		job, err := specs[i].encode(c.names)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		encoded, places = append(encoded, job), append(places, i)
	}
	c.submit(ctx, specs, encoded, places, outcomes)
	return outcomes, nil
}

// submit enqueues jobs, again and again those that wait for room, and notes their outcomes. Places
// are those of the jobs among the specs.
func (c *Client) submit(ctx context.Context, specs []Spec, jobs []spec, places []int,
	outcomes []Outcome) {
	for len(jobs) > 0 {
		limit, bounded := waitLimit(ctx, jobs)
		memory := c.borrow()
		answers, err := c.native.enqueueWait(memory, jobs, limit)
		c.giveBack(memory)
		again := 0
		for i, answer := range answers {
			if answer == statusFull && jobs[i].block && !bounded && ctx.Err() == nil {
				jobs[again], places[again] = jobs[i], places[i]
				again++
				continue
			}
			place := places[i]
			outcomes[place] = c.outcome(&specs[place], answer, err)
		}
		jobs, places = jobs[:again], places[:again]
	}
}

// waitLimit says how long one call may wait, and whether that is all the time there is.
func waitLimit(ctx context.Context, jobs []spec) (limit time.Duration, bounded bool) {
	limit = answerLimit
	for i := range jobs {
		if jobs[i].block {
			limit = roomSlice
			break
		}
	}
	if deadline, has := ctx.Deadline(); has && time.Until(deadline) < limit {
		return max(time.Until(deadline), 0), true
	}
	return limit, false
}

// outcome turns an answer of the runtime into an Outcome. first is the error of the whole call,
// whose sentence belongs to the job that was refused first.
func (c *Client) outcome(job *Spec, answer int64, first error) Outcome {
	if answer > 0 {
		return Outcome{Receipt: Receipt{ID: uint64(answer), client: c}}
	}
	switch answer {
	case statusFull, statusLogFull, statusNoSpace, statusPaused:
		return Outcome{Err: statusError(int(answer),
			fmt.Sprintf("a job of kind %q for queue %q was not taken", job.Kind, job.queueName()))}
	}
	if sentinel, known := sentinels[int(answer)]; known && errors.Is(first, sentinel) {
		return Outcome{Err: first}
	}
	return Outcome{Err: statusError(int(answer), "")}
}

func (c *Client) borrow() *arena {
	c.arenas.Lock()
	defer c.arenas.Unlock()
	if len(c.spare) == 0 {
		return newArena()
	}
	memory := c.spare[len(c.spare)-1]
	c.spare = c.spare[:len(c.spare)-1]
	return memory
}

func (c *Client) giveBack(memory *arena) {
	memory.reset()
	c.arenas.Lock()
	defer c.arenas.Unlock()
	if len(c.spare) == spareMax {
		memory.free()
		return
	}
	c.spare = append(c.spare, memory)
}

// Cancel asks the runtime to cancel a job of any client. A job that waits is cancelled at once;
// the context of one that runs is cancelled with ErrCancelled.
func (c *Client) Cancel(job uint64) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	return c.native.cancel(job)
}

// Receipt gives the receipt of a job that was enqueued elsewhere or earlier.
func (c *Client) Receipt(job uint64) Receipt {
	return Receipt{ID: job, client: c}
}

// Receipt is the runtime's acknowledgement of one job: it is in the log.
type Receipt struct {
	// ID is the job's number: the sequence of its record in the log.
	ID     uint64
	client *Client
}

// Cancel asks the runtime to cancel the job.
func (r Receipt) Cancel() error { return r.client.Cancel(r.ID) }

// Result waits until the job ends and returns its result. A job that did not complete gives a
// *FailedError, which wraps ErrFailed. ErrNotFound means that the end of the job is no longer
// kept: give it a ResultTTL to ask late.
func (r Receipt) Result(ctx context.Context) ([]byte, error) {
	end, err := r.client.await(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if end.code < 0 {
		return nil, statusError(end.code, fmt.Sprintf("job %d has no result to wait for", r.ID))
	}
	if state := State(end.code); state != StateCompleted {
		return nil, &FailedError{ID: r.ID, State: state, Reason: string(end.data)}
	}
	return end.data, nil
}

// ResultJSON waits as Result does and decodes the result's JSON into value.
func (r Receipt) ResultJSON(ctx context.Context, value any) error {
	data, err := r.Result(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("hybridrt: result of job %d: %w", r.ID, err)
	}
	return nil
}
