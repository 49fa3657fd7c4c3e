// Which handler runs which kind.

package hybridrt

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Handler runs one attempt of a job. The error decides what becomes of it:
//
//	nil                   completed, with the result and the follow-up jobs that were set
//	RetryAfter(d, err)    failed, run again after d
//	Snooze(d)             not a failure, run again after d
//	Discard(reason)       dropped
//	Dead(err)             a dead letter at once
//	any other error       failed, run again after the queue's back-off
//
// A panic counts as a failure; its text is the stack. The job is run at least once: a handler
// whose process dies is run again elsewhere.
type Handler func(ctx context.Context, job *Job) error

// Middleware wraps a handler, to do something before or after each job.
type Middleware func(next Handler) Handler

// Mux maps kinds to handlers. Its zero value is ready for use. It must not be changed while a
// worker runs with it.
type Mux struct {
	lock       sync.Mutex
	handlers   map[string]Handler
	middleware []Middleware
}

// NewMux returns an empty Mux.
func NewMux() *Mux { return &Mux{} }

// HandleFunc registers the handler of a kind. It panics when the kind is no valid name or has a
// handler already: both are mistakes in the program.
func (m *Mux) HandleFunc(kind string, handler func(ctx context.Context, job *Job) error) {
	if err := checkKind(kind); err != nil {
		panic(err)
	}
	if handler == nil {
		panic(fmt.Sprintf("hybridrt: the handler of kind %q is nil", kind))
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if _, taken := m.handlers[kind]; taken {
		panic(fmt.Sprintf("hybridrt: kind %q has two handlers", kind))
	}
	if m.handlers == nil {
		m.handlers = map[string]Handler{}
	}
	m.handlers[kind] = handler
}

// Handle registers a handler that takes its payload decoded from JSON. A payload that is not the
// JSON of a T becomes a dead letter at once: running it again would not help.
func Handle[T any](mux *Mux, kind string,
	handler func(ctx context.Context, job *Job, args T) error) {
	mux.HandleFunc(kind, func(ctx context.Context, job *Job) error {
		var args T
		if err := job.Decode(&args); err != nil {
			return Dead(err)
		}
		return handler(ctx, job, args)
	})
}

// Use adds middleware around every handler. The first one added is the outermost.
func (m *Mux) Use(middleware ...Middleware) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.middleware = append(m.middleware, middleware...)
}

// checkKind repeats the rule of the C library, to name a mistake where it is made.
func checkKind(kind string) error {
	switch {
	case kind == "":
		return fmt.Errorf("%w: a kind cannot be empty", ErrName)
	case len(kind) > kindNameMax:
		return fmt.Errorf("%w: kind %q has more than %d bytes", ErrName, kind, kindNameMax)
	case strings.ContainsFunc(kind, isControl):
		return fmt.Errorf("%w: kind %q holds control characters", ErrName, kind)
	}
	return nil
}

// route is a kind with its handler in all its middleware.
type route struct {
	kind    string
	handler Handler
}

// routes wraps every handler once and lists them by kind.
func (m *Mux) routes() map[string]*route {
	m.lock.Lock()
	defer m.lock.Unlock()
	wrapped := make(map[string]*route, len(m.handlers))
	for kind, handler := range m.handlers {
		for _, middleware := range slices.Backward(m.middleware) {
			handler = middleware(handler)
		}
		wrapped[kind] = &route{kind: kind, handler: handler}
	}
	return wrapped
}

// kindsOf lists what the routes serve, in order.
func kindsOf(routes map[string]*route) []string {
	return slices.Sorted(maps.Keys(routes))
}
