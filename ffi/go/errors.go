// What can go wrong: one sentinel for each status of the C library, and the causes with which a
// job's context is cancelled.

package hybridrt

import (
	"context"
	"errors"
	"fmt"
)

// These errors can be returned when jobs are enqueued. Test for them with errors.Is: the error
// itself carries a sentence that says what, where and why.
var (
	// ErrQueueFull is returned when the queue holds as many waiting jobs as it may.
	ErrQueueFull = errors.New("hybridrt: the queue is full")
	// ErrLogFull is returned when the log has reached its size limit.
	ErrLogFull = errors.New("hybridrt: the log has reached its size limit")
	// ErrDiskFull is returned when the log could grow, but not the disk that it is on. The runtime
	// takes jobs again by itself once there is space.
	ErrDiskFull = errors.New("hybridrt: no space is left on the device")
	// ErrTooLarge is returned when a payload, key, result, or a job with its follow-ups is over
	// its limit.
	ErrTooLarge = errors.New("hybridrt: too large")
	// ErrUnknownKind is returned when no worker and no configuration ever named the kind.
	ErrUnknownKind = errors.New("hybridrt: unknown kind")
	// ErrUnknownQueue is returned when the queue is not declared in the configuration.
	ErrUnknownQueue = errors.New("hybridrt: unknown queue")
	// ErrName is returned when a name or key is empty, too long or holds control characters.
	ErrName = errors.New("hybridrt: not a valid name")
	// ErrPaused is returned when the runtime is shutting down and takes no new jobs.
	ErrPaused = errors.New("hybridrt: the runtime takes no new jobs")
	// ErrTimeout is returned when the answer did not come in time; the job may be in the log.
	ErrTimeout = errors.New("hybridrt: the time limit passed")
)

// These errors can be returned when a client attaches, or when its runtime went away.
var (
	// ErrClosed is returned after Close, and when the runtime is gone. It is also the cause with
	// which the contexts of handlers are cancelled when their runtime is gone.
	ErrClosed = errors.New("hybridrt: closed")
	// ErrUnreachable is returned when nothing answers at the address.
	ErrUnreachable = errors.New("hybridrt: cannot reach the runtime")
	// ErrVersion is returned when the library and the runtime have different ABI versions.
	ErrVersion = errors.New("hybridrt: the version does not match")
	// ErrPermission is returned when the runtime belongs to another user.
	ErrPermission = errors.New("hybridrt: the peer belongs to another user")
	// ErrLimit is returned when a fixed limit is reached, such as the count of clients.
	ErrLimit = errors.New("hybridrt: a fixed limit is reached")
	// ErrForked is returned when a client is used in a process that did not attach it.
	ErrForked = errors.New("hybridrt: the client belongs to another process")
)

// These errors can be returned for a single job.
var (
	// ErrNotFound is returned when the runtime does not know the job (any more).
	ErrNotFound = errors.New("hybridrt: no such job")
	// ErrState is returned when the job is not in a state that allows the operation.
	ErrState = errors.New("hybridrt: the job is in another state")
	// ErrFailed is wrapped by the error of Receipt.Result when the job ended without success.
	ErrFailed = errors.New("hybridrt: the job did not complete")
)

// These are the causes, as context.Cause tells them, for which a job's context is cancelled.
var (
	// ErrCancelled is the cause when somebody asked to cancel the job.
	ErrCancelled = errors.New("hybridrt: the job was cancelled")
	// ErrTimeLimit is the cause when the attempt is over its time limit. It is a
	// context.DeadlineExceeded.
	ErrTimeLimit = fmt.Errorf("hybridrt: the attempt is over its time limit: %w",
		context.DeadlineExceeded)
	// ErrLeaseLost is the cause when the job no longer belongs to this worker: what the handler
	// returns will be refused.
	ErrLeaseLost = errors.New("hybridrt: the lease is lost")
	// ErrDraining is the cause when the worker stops and the grace time is over. A handler that
	// then returns an error hands its job back, and no attempt is counted. So does one that
	// returns this error, as it is or wrapped, once Job.Draining is closed.
	ErrDraining = errors.New("hybridrt: the worker is draining")
)

// errOther stands for the statuses that a caller cannot do anything about.
var errOther = errors.New("hybridrt: failed")

var sentinels = map[int]error{
	statusFull:     ErrQueueFull,
	statusLogFull:  ErrLogFull,
	statusNoSpace:  ErrDiskFull,
	statusTooLarge: ErrTooLarge,
	statusKind:     ErrUnknownKind,
	statusQueue:    ErrUnknownQueue,
	statusName:     ErrName,
	statusPaused:   ErrPaused,
	statusTimeout:  ErrTimeout,
	statusClosed:   ErrClosed,
	statusReach:    ErrUnreachable,
	statusVersion:  ErrVersion,
	statusDenied:   ErrPermission,
	statusLimit:    ErrLimit,
	statusForked:   ErrForked,
	statusNotFound: ErrNotFound,
	statusGone:     ErrNotFound,
	statusState:    ErrState,
	statusStale:    ErrLeaseLost,
	statusDraining: ErrDraining,
}

// statusError makes the error of a status: the sentinel, then the sentence of the C library.
func statusError(status int, sentence string) error {
	sentinel, known := sentinels[status]
	if !known {
		sentinel = errOther
	}
	if sentence == "" {
		sentence = statusText(status)
	}
	return fmt.Errorf("%w: %s", sentinel, sentence)
}

// FailedError tells how a job ended that did not complete. It wraps ErrFailed.
type FailedError struct {
	// ID is the job.
	ID uint64
	// State is StateDead, StateCancelled, StateExpired or StateDiscarded.
	State State
	// Reason is the text of the last error, or the reason that the handler gave.
	Reason string
}

// Error says how the job ended and why.
func (e *FailedError) Error() string {
	text := fmt.Sprintf("hybridrt: job %d is %s", e.ID, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Unwrap returns ErrFailed.
func (e *FailedError) Unwrap() error { return ErrFailed }

var stateNames = map[State]string{
	StateScheduled: "scheduled",
	StateReady:     "ready",
	StateRunning:   "running",
	StateRetrying:  "retrying",
	StateCompleted: "completed",
	StateDead:      "dead",
	StateCancelled: "cancelled",
	StateExpired:   "expired",
	StateDiscarded: "discarded",
}

// String returns the name of the state, as everywhere in hybridrt.
func (s State) String() string {
	if name, known := stateNames[s]; known {
		return name
	}
	return fmt.Sprintf("state %d", int(s))
}
