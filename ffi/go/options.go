// What an enqueue may ask for, and how it becomes what the C library takes.

package hybridrt

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// None as a Timeout or ResultTTL option means none at all, instead of the queue's default.
const None time.Duration = -1

// Spec is one new job. Only Kind is required; the zero value of any other field means the
// default of the queue.
type Spec struct {
	// Kind says what to run.
	Kind string
	// Payload is what the handler gets, at most 256 KiB.
	Payload []byte
	// Queue is where the job waits; empty means "default".
	Queue string
	// Key orders jobs: those with the same key in the same queue start in the order of their
	// ids, one at a time. At most 255 bytes.
	Key string
	// Meta is carried along for the application's own use, at most 4096 bytes.
	Meta []byte
	// Delay puts the first attempt off.
	Delay time.Duration
	// At is the earliest time of the first attempt, instead of Delay.
	At time.Time
	// MaxAttempts is how often the job may fail before it becomes a dead letter.
	MaxAttempts int
	// Timeout limits each attempt; None means no limit. Milliseconds are the finest grain.
	Timeout time.Duration
	// ResultTTL is how long the end of the job and its result are kept; None means not at all.
	ResultTTL time.Duration
	// Expires drops the job when it has not started within this time.
	Expires time.Duration
	// Trace is the trace that the job belongs to.
	Trace *TraceContext
	// Block waits for room, as long as the context allows, when the queue is full.
	Block bool
}

// Option changes one field of a Spec.
type Option func(*Spec)

// Queue says where the job waits. The default is the queue "default".
func Queue(name string) Option { return func(s *Spec) { s.Queue = name } }

// Key orders the job behind earlier ones with the same key in the same queue.
func Key(key string) Option { return func(s *Spec) { s.Key = key } }

// Delay puts the first attempt off.
func Delay(delay time.Duration) Option { return func(s *Spec) { s.Delay = delay } }

// At sets the earliest time of the first attempt. It wins over Delay.
func At(due time.Time) Option { return func(s *Spec) { s.At = due } }

// MaxAttempts sets how often the job may fail before it becomes a dead letter.
func MaxAttempts(count int) Option { return func(s *Spec) { s.MaxAttempts = count } }

// Timeout limits each attempt; None means no limit.
func Timeout(limit time.Duration) Option { return func(s *Spec) { s.Timeout = limit } }

// ResultTTL sets how long the end of the job and its result are kept; None means not at all.
func ResultTTL(keep time.Duration) Option { return func(s *Spec) { s.ResultTTL = keep } }

// Expires drops the job when it has not started within this time.
func Expires(limit time.Duration) Option { return func(s *Spec) { s.Expires = limit } }

// Meta attaches bytes for the application's own use.
func Meta(data []byte) Option { return func(s *Spec) { s.Meta = data } }

// Trace says which trace the job belongs to.
func Trace(trace TraceContext) Option { return func(s *Spec) { s.Trace = &trace } }

// Block waits for room, as long as the context allows, when the queue is full.
func Block() Option { return func(s *Spec) { s.Block = true } }

// spec is a Spec with its names looked up and its times in the units of the C library.
type spec struct {
	payload, key, meta, trace []byte
	delayNS, dueNS            uint64
	timeoutMS, resultTTLMS    uint32
	expiresMS                 uint32
	kind, queue               uint16
	maxAttempts               uint16
	block                     bool
}

// laneBytes is what the job needs in the lane.
func (s *spec) laneBytes() int {
	return followOverhead + len(s.payload) + len(s.key) + len(s.meta) + len(s.trace)
}

// namer looks up the numbers of names.
type namer interface {
	kind(name string) (uint16, error)
	queue(name string) (uint16, error)
}

const defaultQueue = "default"

// encode checks a Spec and looks its names up. The bytes are not copied.
func (s *Spec) encode(names namer) (spec, error) {
	if err := s.check(); err != nil {
		return spec{}, err
	}
	kind, err := names.kind(s.Kind)
	if err != nil {
		return spec{}, err
	}
	queue, err := names.queue(s.queueName())
	if err != nil {
		return spec{}, err
	}
	encoded := spec{
		payload: s.Payload, key: []byte(s.Key), meta: s.Meta,
		delayNS: nanoseconds(s.Delay), timeoutMS: milliseconds(s.Timeout),
		resultTTLMS: milliseconds(s.ResultTTL), expiresMS: milliseconds(s.Expires),
		kind: kind, queue: queue, maxAttempts: uint16(s.MaxAttempts), block: s.Block,
	}
	if !s.At.IsZero() {
		encoded.delayNS, encoded.dueNS = 0, uint64(s.At.UnixNano())
	}
	if s.Trace != nil {
		encoded.trace = s.Trace.encode()
	}
	return encoded, nil
}

func (s *Spec) queueName() string {
	if s.Queue == "" {
		return defaultQueue
	}
	return s.Queue
}

// check refuses what would not fit the fields of the C library.
func (s *Spec) check() error {
	switch {
	case len(s.Payload) > payloadMax:
		return fmt.Errorf("%w: a payload of %d bytes; the limit is %d", ErrTooLarge,
			len(s.Payload), payloadMax)
	case len(s.Key) > keyMax:
		return fmt.Errorf("%w: a key of %d bytes; the limit is %d", ErrName, len(s.Key), keyMax)
	case strings.ContainsFunc(s.Key, isControl):
		return fmt.Errorf("%w: key %q holds control characters", ErrName, s.Key)
	case len(s.Meta) > metaMax:
		return fmt.Errorf("%w: meta of %d bytes; the limit is %d", ErrTooLarge, len(s.Meta),
			metaMax)
	case s.MaxAttempts < 0 || s.MaxAttempts > math.MaxUint16:
		return fmt.Errorf("%w: MaxAttempts %d is not in 0 to %d", ErrLimit, s.MaxAttempts,
			math.MaxUint16)
	case s.Expires < 0:
		return fmt.Errorf("%w: Expires %v is negative", ErrLimit, s.Expires)
	case !s.At.IsZero() && s.At.UnixNano() <= 0:
		return fmt.Errorf("%w: At %v lies before 1970", ErrLimit, s.At)
	}
	return nil
}

// isControl tells the characters that no name and no key may hold.
func isControl(character rune) bool { return character < ' ' || character == 0x7f }

// milliseconds rounds up, so that a short limit does not become none; None stays none.
func milliseconds(limit time.Duration) uint32 {
	if limit < 0 {
		return unset
	}
	whole := limit / time.Millisecond
	if limit%time.Millisecond > 0 {
		whole++
	}
	return uint32(min(whole, unset-1))
}

// own copies the bytes that belong to the caller.
func (s *spec) own() {
	s.payload = bytes.Clone(s.payload)
	s.meta = bytes.Clone(s.meta)
}
