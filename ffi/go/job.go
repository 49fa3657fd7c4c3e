// A job in the hands of a handler.

package hybridrt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Job is one attempt to run a job, as a handler gets it. It is valid until the handler returns;
// after that it may stand for another job, so do not keep it. It is meant for the goroutine that
// the handler runs in.
type Job struct {
	raw     rawJob
	run     *run
	route   *route
	context attemptContext

	result      []byte
	follow      []spec
	followBytes int
	ended       bool
}

// ID is the job's number: the sequence of its record in the log.
func (j *Job) ID() uint64 { return uint64(j.raw.id) }

// Token is the number of this lease: unique, and greater than that of any earlier attempt of any
// job. Give it to systems that should refuse writes of an attempt that has lost its lease.
func (j *Job) Token() uint64 { return uint64(j.raw.token) }

// Kind is what to run.
func (j *Job) Kind() string { return j.route.kind }

// Queue is where the job waited.
func (j *Job) Queue() string { return j.run.queueName(uint16(j.raw.queue)) }

// Payload is what the producer sent. The slice points into the log: do not write to it, and do
// not keep it longer than the handler runs. Clone gives a copy.
func (j *Job) Payload() []byte {
	if j.ended {
		return nil
	}
	return payloadOf(&j.raw)
}

// Clone returns a copy of the payload that the caller may keep and change.
func (j *Job) Clone() []byte { return bytes.Clone(j.Payload()) }

// Decode reads the payload as JSON into value.
func (j *Job) Decode(value any) error {
	if err := json.Unmarshal(j.Payload(), value); err != nil {
		return fmt.Errorf("hybridrt: payload of job %d (%s): %w", j.ID(), j.Kind(), err)
	}
	return nil
}

// Key is the key that orders the job, or empty.
func (j *Job) Key() string {
	if j.ended {
		return ""
	}
	return string(keyOf(&j.raw))
}

// Meta is a copy of the bytes that the producer attached for the application's own use.
func (j *Job) Meta() []byte {
	if j.ended {
		return nil
	}
	return bytes.Clone(metaOf(&j.raw))
}

// Trace is the trace that the job belongs to, if its producer named one.
func (j *Job) Trace() (TraceContext, bool) {
	if j.ended {
		return TraceContext{}, false
	}
	place := traceOf(&j.raw)
	if place == nil {
		return TraceContext{}, false
	}
	return decodeTrace(place), true
}

// Attempt counts from 1. Snoozed and handed back attempts do not count.
func (j *Job) Attempt() int { return int(j.raw.attempt) }

// MaxAttempts is how often the job may fail before it becomes a dead letter.
func (j *Job) MaxAttempts() int { return int(j.raw.max_attempts) }

// Parent is the job that enqueued this one as a follow-up, or 0.
func (j *Job) Parent() uint64 { return uint64(j.raw.parent) }

// EnqueuedAt is when the job came into the log.
func (j *Job) EnqueuedAt() time.Time { return time.Unix(0, int64(j.raw.enqueued_ns)) }

// Saved is what an earlier attempt of this job saved with Checkpoint, or nil. Like the payload it
// points into the log: do not write to it, and do not keep it longer than the handler runs.
func (j *Job) Saved() []byte {
	if j.ended {
		return nil
	}
	return savedOf(&j.raw)
}

// Checkpoint saves state for the next attempt of this job, in place of what was saved before. It is
// copied, and goes to the log at the durability of the job's queue, in order with everything else
// that this worker says. It is gone when the job ends. ErrTooLarge means it is over 64 KiB.
func (j *Job) Checkpoint(state []byte) error {
	if err := j.run.client.enter(); err != nil {
		return err
	}
	defer j.run.client.leave()
	return j.run.client.native.save(j.ID(), j.Token(), state)
}

// Draining is closed when the worker was told to stop, by the runtime or by its own program. A
// handler that would take long may then save what it has done with Checkpoint and return
// ErrDraining: its job goes back to its queue, no attempt is used, and another worker goes on with
// it. Others just finish; their context is not done before the grace time is over.
func (j *Job) Draining() <-chan struct{} {
	return j.run.draining()
}

// SetResult sets the result that is stored when the handler returns nil. It is not copied, so it
// must not change until then. ErrTooLarge means it is over 64 KiB.
func (j *Job) SetResult(result []byte) error {
	if len(result) > resultMax {
		return fmt.Errorf("%w: a result of %d bytes; the limit is %d", ErrTooLarge, len(result),
			resultMax)
	}
	j.result = result
	return nil
}

// ReturnJSON sets the JSON of value as the result. A handler ends well with
// "return job.ReturnJSON(value)".
func (j *Job) ReturnJSON(value any) error {
	result, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("hybridrt: result of job %d: %w", j.ID(), err)
	}
	return j.SetResult(result)
}

// Enqueue adds a follow-up job. It is held back until the handler returns nil, and then commits
// together with the end of this job, or not at all. Errors are those of Client.Enqueue that can
// be told without the runtime's answer; ErrTooLarge also means that this job has too many
// follow-ups to commit in one step.
func (j *Job) Enqueue(kind string, payload []byte, options ...Option) error {
	job := Spec{Kind: kind, Payload: payload}
	for _, option := range options {
		option(&job)
	}
	encoded, err := job.encode(j.run.client.names)
	if err != nil {
		return err
	}
	size := j.followBytes + encoded.laneBytes()
	if room := j.run.unitMax - settleOverhead - len(j.result); size > room {
		return fmt.Errorf("%w: %d bytes of follow-up jobs; one settle holds %d", ErrTooLarge,
			size, room)
	}
	if len(j.follow) == followMax {
		return fmt.Errorf("%w: more than %d follow-up jobs", ErrTooLarge, followMax)
	}
	encoded.own()
	j.follow = append(j.follow, encoded)
	j.followBytes = size
	return nil
}

// EnqueueJSON is Enqueue with the JSON of value as payload.
func (j *Job) EnqueueJSON(kind string, value any, options ...Option) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("hybridrt: payload of %q: %w", kind, err)
	}
	return j.Enqueue(kind, payload, options...)
}

// Progress reports how far the job is, 0 to 1000, with a short note of up to 255 bytes. It is
// kept in memory for operators and does not go to the log.
func (j *Job) Progress(permille int, note string) error {
	if err := j.run.client.enter(); err != nil {
		return err
	}
	defer j.run.client.leave()
	permille = min(max(permille, 0), 1000)
	return j.run.client.native.progress(j.ID(), j.Token(), permille, cutText(note, noteMax))
}

// Extend moves the time limit of this attempt to more from now. Leases need no renewal.
func (j *Job) Extend(more time.Duration) error {
	if err := j.run.client.enter(); err != nil {
		return err
	}
	defer j.run.client.leave()
	if err := j.run.client.native.extend(j.ID(), j.Token(), max(more, 0)); err != nil {
		return err
	}
	j.context.deadlineNS.Store(monotonicNS() + nanoseconds(more))
	return nil
}

// cutText shortens text to at most limit bytes without breaking a character.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
