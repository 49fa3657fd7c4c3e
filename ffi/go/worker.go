// The worker: attach, register, run until told to stop, drain, detach.

package hybridrt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	concurrencyMax = 4096
	// drainGraceDefault is how long handlers may go on after a worker was told to stop. It is
	// below the 5 s after which the supervisor kills a pool's processes.
	drainGraceDefault = 3 * time.Second
)

// Worker runs jobs with the handlers of a Mux. Only Mux is required.
type Worker struct {
	// Mux holds the handlers.
	Mux *Mux
	// Address is as in AttachOptions. A worker that the supervisor spawned leaves it empty.
	Address string
	// Name is shown to operators; empty means the name of the program.
	Name string
	// Version of the program is shown to operators.
	Version string
	// Concurrency is how many handlers run at a time; 0 means 1.
	Concurrency int
	// Credit is the most jobs to hold, running or about to; 0 lets the runtime adapt it to the
	// pace of the handlers.
	Credit int
	// DrainGrace is how long handlers may go on after the context of Run is done, before their
	// own contexts are cancelled with ErrDraining; 0 means 3 s.
	DrainGrace time.Duration
	// Logger gets a line for each failed attempt and for start and stop; nil means
	// slog.Default().
	Logger *slog.Logger
}

// Run attaches, runs jobs, and returns nil after a clean stop: when ctx is done, or when the
// runtime asked the worker to drain. Jobs that have not begun are handed back, and those that run
// may end within the grace time; Run waits for their handlers. It returns an error when it cannot
// attach or the runtime goes away.
func (w *Worker) Run(ctx context.Context) error {
	current, err := w.start(ctx)
	if err != nil {
		return err
	}
	stopped := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Add(1)
	go func() {
		defer watcher.Done()
		current.watchStop(ctx, w.drainGrace(), stopped)
	}()
	err = current.work()
	close(stopped)
	watcher.Wait()
	current.free()
	if err != nil {
		return fmt.Errorf("hybridrt: the worker stopped: %w", err)
	}
	current.log.Info("worker stopped")
	return nil
}

func (w *Worker) drainGrace() time.Duration {
	if w.DrainGrace == 0 {
		return drainGraceDefault
	}
	return w.DrainGrace
}

// start attaches and registers.
func (w *Worker) start(ctx context.Context) (*run, error) {
	if w.Mux == nil {
		return nil, errors.New("hybridrt: a worker needs a Mux")
	}
	routes := w.Mux.routes()
	if len(routes) == 0 || len(routes) > kindsMax {
		return nil, fmt.Errorf("%w: a worker serves 1 to %d kinds, this Mux has %d", ErrLimit,
			kindsMax, len(routes))
	}
	concurrency := max(w.Concurrency, 1)
	if concurrency > concurrencyMax || w.Credit < 0 || w.Credit > concurrencyMax {
		return nil, fmt.Errorf("%w: Concurrency and Credit are at most %d", ErrLimit,
			concurrencyMax)
	}
	client, err := Attach(AttachOptions{Address: w.Address, Name: w.Name})
	if err != nil {
		return nil, err
	}
	current := newRun(context.WithoutCancel(ctx), client, routes, concurrency)
	if w.Logger != nil {
		current.log = w.Logger
	}
	client.notices.onLease, client.notices.onLost = current.onNotice, current.onLost
	client.notices.onQuiet = current.onQuiet
	client.listen()
	kinds := kindsOf(routes)
	err = client.native.register(registration{
		kinds: kinds, version: w.Version, concurrency: concurrency, credit: w.Credit,
	})
	if err != nil {
		current.free()
		return nil, err
	}
	current.log.Info("worker started", "kinds", kinds, "concurrency", concurrency,
		"client", client.native.incarnation())
	return current, nil
}
