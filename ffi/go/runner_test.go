package hybridrt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const testUnitMax = 1 << 16

// newTestRunner makes a runner of one kind, number 0, that is attached to nothing.
func newTestRunner(t *testing.T, handler Handler) *runner {
	r := &run{
		client: &Client{}, log: slog.New(slog.DiscardHandler), base: context.Background(),
		unitMax: testUnitMax, stopped: make(chan struct{}),
	}
	made := newRunner(r)
	setHandler(made, handler)
	r.runners = []*runner{made}
	r.lookout = newLookout(r)
	t.Cleanup(made.free)
	return made
}

func setHandler(r *runner, handler Handler) {
	r.run.byKind[0].Store(&route{kind: "test", handler: handler})
}

// newRaw makes a job as C would hand it over.
func newRaw() *rawJob {
	raw := &rawJob{id: 7, token: 9, attempt: 2, max_attempts: 5}
	allocate(&raw.started)
	return raw
}

// allocate makes what a pointer points to whose type has no name outside of cabi.go.
func allocate[T any](place **T) { *place = new(T) }

// Goal: a handler sees its job, its start is stored, and its result is what is settled.
func TestAttemptRunsTheHandler(t *testing.T) {
	raw := newRaw()
	r := newTestRunner(t, func(_ context.Context, job *Job) error {
		if *raw.started != 7 {
			t.Error("the handler began before its start was stored")
		}
		return job.SetResult(fmt.Appendf(nil, "%d %d %s %d %d", job.ID(), job.Token(),
			job.Kind(), job.Attempt(), job.MaxAttempts()))
	})
	end := r.attempt(raw)
	if end.outcome != outcomeOK || string(end.data) != "7 9 test 2 5" {
		t.Errorf("%d %q", end.outcome, end.data)
	}
	if r.current.Load() != nil {
		t.Error("the job still counts as running")
	}
}

func explode() { panic("too hot") }

// Goal: a handler that does not need anything costs no allocation, and its Job is used again clean.
func TestQuickJobsAllocateNothing(t *testing.T) {
	r := newTestRunner(t, nothing)
	raw := newRaw()
	if allocations := testing.AllocsPerRun(100, func() { r.attempt(raw) }); allocations != 0 {
		t.Errorf("%v allocations for each job", allocations)
	}
	setHandler(r, func(_ context.Context, job *Job) error { return job.SetResult([]byte("r")) })
	r.attempt(raw)
	setHandler(r, nothing)
	if end := r.attempt(raw); end.data != nil {
		t.Errorf("the result of an earlier job: %q", end.data)
	}
}

// Goal: whoever waits on a context, or cancels it, does so for one job only.
func TestTouchedJobsAreNotUsedAgain(t *testing.T) {
	var first context.Context
	r := newTestRunner(t, func(ctx context.Context, _ *Job) error {
		if first == nil {
			first = ctx
			_ = ctx.Done()
		} else if ctx == first {
			t.Error("a context that somebody waits on is used again")
		}
		return nil
	})
	raw := newRaw()
	r.attempt(raw)
	r.attempt(raw)
	<-first.Done()
	r.visitors.Add(1) // somebody looks at the job that is about to end
	r.attempt(raw)
	if r.spare != nil {
		t.Error("a job that somebody looks at is used again")
	}
}

// Goal: a panic is a failed attempt whose text names the value and the place, within the limit.
func TestPanicIsAFailureWithItsStack(t *testing.T) {
	raw := newRaw()
	end := newTestRunner(t, func(context.Context, *Job) error {
		explode()
		return nil
	}).attempt(raw)
	text := string(end.data)
	if end.outcome != outcomeRetry || end.delayNS != backOff || len(text) > errorMax ||
		!strings.HasPrefix(text, "panic: too hot\n\n") {
		t.Errorf("%d %q", end.outcome, text)
	}
	first := strings.SplitN(text, "\n", 4)[2]
	if !strings.Contains(first, "explode") {
		t.Errorf("the stack begins with %q", first)
	}
	wrapped := &panicError{value: errTest}
	if !errors.Is(wrapped, errTest) {
		t.Error("an error that was panicked with is not wrapped")
	}
}

// Goal: a handler that stops because the worker drains hands its job back; one that says what
// should become of it is obeyed.
func TestDrainedHandlerHandsItsJobBack(t *testing.T) {
	for _, c := range []struct {
		err  error
		want outcome
	}{
		{errTest, outcomeReturned},
		{Dead(errTest), outcomeDead},
		{Snooze(time.Second), outcomeSnooze},
		{nil, outcomeOK},
	} {
		raw := newRaw()
		r := newTestRunner(t, nil)
		setHandler(r, func(ctx context.Context, _ *Job) error {
			r.run.cancelAll(ErrDraining)
			<-ctx.Done()
			return c.err
		})
		if end := r.attempt(raw); end.outcome != c.want {
			t.Errorf("%v: %d, want %d", c.err, end.outcome, c.want)
		}
	}
}

// Goal: a handler that gives up because its worker drains hands its job back, and only then.
func TestErrDrainingHandsTheJobBackOnceTheWorkerDrains(t *testing.T) {
	r := newTestRunner(t, func(context.Context, *Job) error {
		return fmt.Errorf("at page 7: %w", ErrDraining)
	})
	if end := r.attempt(newRaw()); end.outcome != outcomeRetry {
		t.Errorf("before the drain: %d", end.outcome)
	}
	r.run.stop()
	<-r.run.stopped
	if end := r.attempt(newRaw()); end.outcome != outcomeReturned || end.data != nil {
		t.Errorf("after it: %d %q", end.outcome, end.data)
	}
}

// Goal: a request to stop finds its job, whether it comes before or while the job runs, and no
// other job.
func TestCancelNoticeFindsItsJob(t *testing.T) {
	var cause error
	r := newTestRunner(t, nil)
	early := notice{kind: noticeCancel, token: 9, code: int(outcomeTimeout)}
	setHandler(r, func(ctx context.Context, _ *Job) error {
		cause = context.Cause(ctx)
		return nil
	})
	r.run.onNotice(notice{kind: noticeCancel, token: 8, code: int(outcomeCancelled)})
	raw := newRaw()
	if r.attempt(raw); cause != nil {
		t.Errorf("cancelled by a notice for another job: %v", cause)
	}
	r.run.onNotice(early)
	if r.attempt(raw); cause != ErrTimeLimit {
		t.Errorf("early: %v", cause)
	}
	setHandler(r, func(ctx context.Context, _ *Job) error {
		r.run.onNotice(notice{kind: noticeRefused, token: 9, code: statusStale})
		cause = context.Cause(ctx)
		return nil
	})
	if r.attempt(raw); cause != ErrLeaseLost {
		t.Errorf("refused: %v", cause)
	}
}

// Goal: requests to stop that nobody takes do not pile up.
func TestEarlyStopsAreBounded(t *testing.T) {
	var early earlyStops
	for token := range uint64(3 * earlyMax) {
		early.add(token, ErrCancelled)
	}
	if len(early.causes) > earlyMax {
		t.Errorf("%d are kept", len(early.causes))
	}
	if early.take(3*earlyMax-1) != ErrCancelled || early.take(3*earlyMax-1) != nil {
		t.Error("the newest one is not kept, or is kept twice")
	}
}

// Goal: what cannot be committed in one step is a dead letter that says so.
func TestTooLargeEndIsADeadLetter(t *testing.T) {
	r := newTestRunner(t, nothing)
	raw := newRaw()
	end := ending{outcome: outcomeOK, follow: []spec{{payload: make([]byte, testUnitMax)}}}
	r.hold(raw, &end)
	if r.held.count != 1 || r.held.entries[0].outcome != 5 ||
		!strings.Contains(string(end.data), "one settle holds") {
		t.Errorf("%d %q", r.held.entries[0].outcome, end.data)
	}
	r.held.reset()
}

// Goal: follow-up jobs are looked up and copied when they are asked for, up to what fits.
func TestFollowUpsAreHeldBack(t *testing.T) {
	r := newTestRunner(t, func(_ context.Context, job *Job) error {
		payload := []byte("one")
		if err := job.Enqueue("resize", payload); err != nil {
			return err
		}
		payload[0] = 'x'
		if err := job.Enqueue("other", nil); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("unknown kind: %v", err)
		}
		if err := job.Enqueue("resize", make([]byte, testUnitMax)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if err := job.SetResult(make([]byte, resultMax+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("result: %v", err)
		}
		return nil
	})
	r.run.client.names = &nameTable{
		kinds:  newNumberTable(fixedNames{}.kind),
		queues: newNumberTable(fixedNames{}.queue),
	}
	raw := newRaw()
	end := r.attempt(raw)
	if len(end.follow) != 1 || end.follow[0].kind != 7 || string(end.follow[0].payload) != "one" {
		t.Errorf("%+v", end.follow)
	}
}

// Goal: a job that was kept after its handler does not show memory that is not its own any more.
func TestEndedJobShowsNoViews(t *testing.T) {
	var kept *Job
	r := newTestRunner(t, func(_ context.Context, job *Job) error {
		kept = job
		return nil
	})
	raw := newRaw()
	raw.payload_length, raw.key_length = 10, 10
	r.attempt(raw)
	if kept.Payload() != nil || kept.Key() != "" || kept.Meta() != nil || kept.ID() != 7 {
		t.Error("an ended job still shows its payload")
	}
}
