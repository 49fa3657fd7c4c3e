package hybridrt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var errTest = errors.New("no such host")

// Goal: each way to end an attempt reaches the runtime as the outcome it stands for.
func TestErrorsBecomeOutcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		outcome outcome
		delay   uint64
		text    string
	}{
		{"plain error", errTest, outcomeRetry, backOff, "no such host"},
		{"retry", RetryAfter(time.Second, errTest), outcomeRetry, 1e9, "no such host"},
		{"retry, negative", RetryAfter(-time.Second, errTest), outcomeRetry, 0, "no such host"},
		{"snooze", Snooze(time.Minute), outcomeSnooze, 60e9, ""},
		{"snooze until the past", SnoozeUntil(time.Unix(0, 0)), outcomeSnooze, 0, ""},
		{"discard", Discard("too old"), outcomeDiscard, 0, "too old"},
		{"dead", Dead(errTest), outcomeDead, 0, "no such host"},
		{"wrapped", fmt.Errorf("step 2: %w", Dead(errTest)), outcomeDead, 0,
			"step 2: no such host"},
	} {
		end := endOf(c.err)
		if end.outcome != c.outcome || end.delayNS != c.delay || string(end.data) != c.text {
			t.Errorf("%s: %d %d %q, want %d %d %q", c.name, end.outcome, end.delayNS, end.data,
				c.outcome, c.delay, c.text)
		}
	}
	if !errors.Is(Dead(errTest), errTest) || !errors.Is(RetryAfter(0, errTest), errTest) {
		t.Error("the handler's error is not wrapped")
	}
}

// Goal: an error text keeps the log's limit and stays valid UTF-8.
func TestErrorTextIsCutBetweenCharacters(t *testing.T) {
	text := errorText("x" + strings.Repeat("é", errorMax))
	if len(text) > errorMax || len(text) < errorMax-3 || !utf8.Valid(text) {
		t.Errorf("%d bytes, valid %v", len(text), utf8.Valid(text))
	}
	if text := errorText("a\xffb"); !utf8.Valid(text) {
		t.Errorf("%q is not valid", text)
	}
}
