package hybridrt

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// fixedNames knows one kind and two queues.
type fixedNames struct{}

func (fixedNames) kind(name string) (uint16, error) {
	if name != "resize" {
		return 0, statusError(statusKind, "no kind "+name)
	}
	return 7, nil
}

func (fixedNames) queue(name string) (uint16, error) {
	numbers := map[string]uint16{"default": 1, "images": 2}
	if number, known := numbers[name]; known {
		return number, nil
	}
	return 0, statusError(statusQueue, "no queue "+name)
}

func specOf(options ...Option) Spec {
	job := Spec{Kind: "resize", Payload: []byte("p")}
	for _, option := range options {
		option(&job)
	}
	return job
}

// Goal: every option reaches the field of the C library that it stands for.
func TestOptionsAreEncoded(t *testing.T) {
	trace := TraceContext{Flags: 1}
	job := specOf(Queue("images"), Key("k"), Delay(time.Second), MaxAttempts(3),
		Timeout(1500*time.Microsecond), ResultTTL(None), Expires(time.Minute), Meta([]byte("m")),
		Trace(trace), Block())
	encoded, err := job.encode(fixedNames{})
	if err != nil {
		t.Fatal(err)
	}
	if encoded.kind != 7 || encoded.queue != 2 || string(encoded.key) != "k" ||
		encoded.delayNS != 1e9 || encoded.maxAttempts != 3 || encoded.timeoutMS != 2 ||
		encoded.resultTTLMS != unset || encoded.expiresMS != 60000 ||
		string(encoded.meta) != "m" || !bytes.Equal(encoded.trace, trace.encode()) ||
		!encoded.block || string(encoded.payload) != "p" {
		t.Errorf("%+v", encoded)
	}
}

// Goal: a Spec with nothing but a kind goes to the default queue with the queue's own settings.
func TestZeroSpecTakesTheQueuesDefaults(t *testing.T) {
	encoded, err := (&Spec{Kind: "resize"}).encode(fixedNames{})
	if err != nil {
		t.Fatal(err)
	}
	if encoded.queue != 1 || encoded.timeoutMS != 0 || encoded.resultTTLMS != 0 ||
		encoded.maxAttempts != 0 || encoded.dueNS != 0 || encoded.block {
		t.Errorf("%+v", encoded)
	}
}

// Goal: a time wins over a delay.
func TestAtWinsOverDelay(t *testing.T) {
	job := specOf(Delay(time.Hour), At(time.Unix(5, 6)))
	encoded, err := job.encode(fixedNames{})
	if err != nil {
		t.Fatal(err)
	}
	if encoded.delayNS != 0 || encoded.dueNS != 5e9+6 {
		t.Errorf("delay %d due %d", encoded.delayNS, encoded.dueNS)
	}
}

// Goal: what the runtime would refuse is refused before it, with the same sentinels.
func TestBadSpecsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		job  Spec
		want error
	}{
		"kind":     {Spec{Kind: "paint"}, ErrUnknownKind},
		"queue":    {specOf(Queue("slow")), ErrUnknownQueue},
		"payload":  {Spec{Kind: "resize", Payload: make([]byte, payloadMax+1)}, ErrTooLarge},
		"key":      {specOf(Key(strings.Repeat("k", keyMax+1))), ErrName},
		"control":  {specOf(Key("a\nb")), ErrName},
		"meta":     {specOf(Meta(make([]byte, metaMax+1))), ErrTooLarge},
		"attempts": {specOf(MaxAttempts(1 << 16)), ErrLimit},
		"negative": {specOf(MaxAttempts(-1)), ErrLimit},
		"expires":  {specOf(Expires(-time.Second)), ErrLimit},
		"at":       {specOf(At(time.Unix(-1, 0))), ErrLimit},
	} {
		if _, err := c.job.encode(fixedNames{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Goal: the longest limit that is no "none" is not taken for it.
func TestMillisecondsNeverBecomeNoneByAccident(t *testing.T) {
	for limit, want := range map[time.Duration]uint32{
		0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, None: unset,
		1<<63 - 1: unset - 1,
	} {
		if got := milliseconds(limit); got != want {
			t.Errorf("%v: %d, want %d", limit, got, want)
		}
	}
}

// Goal: a trace header survives the way through the job.
func TestTraceGoesThere(t *testing.T) {
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	trace, err := ParseTrace(header)
	if err != nil {
		t.Fatal(err)
	}
	if back := decodeTrace(trace.encode()); back != trace || back.String() != header {
		t.Errorf("%v", back)
	}
	for _, bad := range []string{"", "00-11-22", "00-4bf9-00f067aa0ba902b7-01",
		"zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		if _, err := ParseTrace(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
