package hybridrt

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Goal: the error of a status is its sentinel and carries the library's sentence.
func TestStatusesBecomeSentinels(t *testing.T) {
	err := statusError(statusFull, "queue images holds 100 jobs")
	if !errors.Is(err, ErrQueueFull) || !strings.Contains(err.Error(), "holds 100 jobs") {
		t.Error(err)
	}
	if err := statusError(statusFull, ""); !strings.Contains(err.Error(), "the queue is full") {
		t.Error(err)
	}
	if err := statusError(statusIO, "the disk"); errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Goal: a job that failed says how and why, and is ErrFailed.
func TestFailedErrorTellsTheReason(t *testing.T) {
	var err error = &FailedError{ID: 7, State: StateDead, Reason: "no such host"}
	if !errors.Is(err, ErrFailed) ||
		err.Error() != "hybridrt: job 7 is dead: no such host" {
		t.Error(err)
	}
	if State(99).String() != "state 99" {
		t.Error(State(99))
	}
}

// Goal: code that looks for the standard deadline error finds it.
func TestTimeLimitIsADeadline(t *testing.T) {
	if !errors.Is(ErrTimeLimit, context.DeadlineExceeded) {
		t.Error("ErrTimeLimit is no context.DeadlineExceeded")
	}
}

// Goal: where no runtime listens, the error says so and names the place.
func TestOpenOfNothingIsUnreachable(t *testing.T) {
	path := t.TempDir() + "/attach.sock"
	_, err := Open(path)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}
