// The five ways in which a handler may end an attempt, as error values.

package hybridrt

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// outcomeError is an error that says what becomes of the job.
type outcomeError struct {
	outcome outcome
	delayNS uint64
	err     error // nil: nothing to tell
}

// Error tells the reason, or else the outcome.
func (e *outcomeError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("hybridrt: run again in %v", time.Duration(e.delayNS))
}

// Unwrap gives the error that the handler reported.
func (e *outcomeError) Unwrap() error { return e.err }

// RetryAfter reports a failed attempt that should be repeated after delay instead of the queue's
// back-off. When no attempts are left the job becomes a dead letter.
func RetryAfter(delay time.Duration, err error) error {
	return &outcomeError{outcome: outcomeRetry, delayNS: nanoseconds(delay), err: err}
}

// Snooze puts the job off for delay. It is not a failure and uses no attempt.
func Snooze(delay time.Duration) error {
	return &outcomeError{outcome: outcomeSnooze, delayNS: nanoseconds(delay)}
}

// SnoozeUntil puts the job off until a time. It is not a failure and uses no attempt.
func SnoozeUntil(due time.Time) error {
	return Snooze(time.Until(due))
}

// Discard drops the job with a reason. It is neither completed nor a dead letter.
func Discard(reason string) error {
	return &outcomeError{outcome: outcomeDiscard, err: errors.New(reason)}
}

// Dead reports an error that no repetition can cure: the job becomes a dead letter at once.
func Dead(err error) error {
	return &outcomeError{outcome: outcomeDead, err: err}
}

// nanoseconds gives a delay that cannot be negative.
func nanoseconds(delay time.Duration) uint64 {
	return uint64(max(delay, 0))
}

// ending is all that the runtime is told about the end of an attempt.
type ending struct {
	outcome outcome
	delayNS uint64
	data    []byte
	follow  []spec
}

// endOf turns a handler's error into the end of its attempt.
func endOf(err error) ending {
	var chosen *outcomeError
	if !errors.As(err, &chosen) {
		return ending{outcome: outcomeRetry, delayNS: backOff, data: errorText(err.Error())}
	}
	end := ending{outcome: chosen.outcome, delayNS: chosen.delayNS}
	if chosen.err != nil {
		end.data = errorText(err.Error())
	}
	return end
}

// errorText cuts a text to what the log keeps of it, without breaking a character.
func errorText(text string) []byte {
	return []byte(cutText(strings.ToValidUTF8(text, "\uFFFD"), errorMax))
}
