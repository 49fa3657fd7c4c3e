package hybridrt

import (
	"context"
	"errors"
	"testing"
	"time"
)

type keyType struct{}

func newAttempt() *attemptContext {
	return &attemptContext{base: context.WithValue(context.Background(), keyType{}, "value")}
}

// Goal: the cause of a cancellation reaches the handler and whatever it derived, before or after.
func TestCancelReachesChildren(t *testing.T) {
	attempt := newAttempt()
	early, stopEarly := context.WithCancel(attempt)
	defer stopEarly()
	attempt.cancel(ErrCancelled)
	attempt.cancel(ErrDraining) // the first cause stays
	late, stopLate := context.WithTimeout(attempt, time.Hour)
	defer stopLate()
	for name, ctx := range map[string]context.Context{
		"own": attempt, "early": early, "late": late,
	} {
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) || context.Cause(ctx) != ErrCancelled {
			t.Errorf("%s: %v, cause %v", name, ctx.Err(), context.Cause(ctx))
		}
	}
}

// Goal: a cancellation that comes before anybody looked is not lost.
func TestCancelBeforeFirstUseIsKept(t *testing.T) {
	attempt := newAttempt()
	if attempt.Err() != nil {
		t.Fatal(attempt.Err())
	}
	attempt.cancel(ErrTimeLimit)
	if attempt.Err() == nil || !errors.Is(context.Cause(attempt), context.DeadlineExceeded) {
		t.Errorf("%v, cause %v", attempt.Err(), context.Cause(attempt))
	}
}

// Goal: the context ends with its handler, and tells the worker why it was cancelled before.
func TestFinishEndsTheContext(t *testing.T) {
	quiet := newAttempt()
	if cause := quiet.finish(); cause != nil {
		t.Error(cause)
	}
	used := newAttempt()
	done := used.Done()
	if cause := used.finish(); cause != nil {
		t.Error(cause)
	}
	<-done
	used.cancel(ErrCancelled) // too late, and harmless
	if cause := context.Cause(used); cause == ErrCancelled {
		t.Error(cause)
	}
	drained := newAttempt()
	drained.cancel(ErrDraining)
	if cause := drained.finish(); cause != ErrDraining {
		t.Error(cause)
	}
}

// Goal: values and the deadline are those of the worker and of the attempt.
func TestValuesAndDeadline(t *testing.T) {
	attempt := newAttempt()
	if attempt.Value(keyType{}) != "value" {
		t.Error("the value is lost")
	}
	if _, has := attempt.Deadline(); has {
		t.Error("a deadline out of nothing")
	}
	attempt.deadlineNS.Store(monotonicNS() + uint64(time.Hour))
	deadline, has := attempt.Deadline()
	if left := time.Until(deadline); !has || left > time.Hour || left < 50*time.Minute {
		t.Errorf("%v left", left)
	}
}

// Goal: a handler that never waits costs no allocation for its context.
func TestUntouchedContextAllocatesNothing(t *testing.T) {
	attempt := newAttempt()
	allocations := testing.AllocsPerRun(100, func() {
		if attempt.Err() != nil || attempt.finish() != nil {
			t.Fail()
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
