// The Go worker that `hybridrt bench` measures: it does nothing but, on request, record the time
// from the producer's stamp to the start of the handler.
//
//	bench-worker-go work [-kind K] [-concurrency N] [-latency -out FILE]
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	hybridrt "hybridrt.dev/go"
)

const stampSize = 8 // little-endian CLOCK_MONOTONIC ns at the start of a payload; 0: none

type options struct {
	kind        string
	out         string
	concurrency int
	latency     bool
}

func main() {
	chosen, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	if err := work(chosen); err != nil {
		slog.Error("cannot measure", "error", err)
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	if len(arguments) > 0 && arguments[0] == "work" {
		arguments = arguments[1:]
	}
	var chosen options
	flags := flag.NewFlagSet("bench-worker-go", flag.ContinueOnError)
	flags.StringVar(&chosen.kind, "kind", "bench.noop", "kind to serve")
	flags.StringVar(&chosen.out, "out", "", "file that the histogram goes to")
	flags.IntVar(&chosen.concurrency, "concurrency", 1, "handlers that run at a time")
	flags.BoolVar(&chosen.latency, "latency", false, "record stamp to start")
	return chosen, flags.Parse(arguments)
}

func work(chosen options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	seen := &recorder{}
	handler := func(context.Context, *hybridrt.Job) error { return nil }
	if chosen.latency {
		handler = seen.record
	}
	mux := hybridrt.NewMux()
	mux.HandleFunc(chosen.kind, handler)
	worker := hybridrt.Worker{
		Mux: mux, Name: "bench-worker-go", Concurrency: chosen.concurrency,
	}
	err := worker.Run(ctx)
	return errors.Join(err, seen.write(chosen.out))
}

// recorder counts latencies.
type recorder struct {
	lock      sync.Mutex
	histogram hybridrt.Histogram
}

func (r *recorder) record(_ context.Context, job *hybridrt.Job) error {
	payload := job.Payload()
	if len(payload) < stampSize {
		return nil
	}
	stamp := time.Duration(binary.LittleEndian.Uint64(payload))
	if stamp == 0 {
		return nil
	}
	now := hybridrt.Monotonic()
	r.lock.Lock()
	defer r.lock.Unlock()
	r.histogram.Record(max(now-stamp, 0))
	return nil
}

func (r *recorder) write(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(map[string]any{
		"count": r.histogram.Count, "buckets": r.histogram.Buckets(),
	})
	if err != nil {
		return fmt.Errorf("encode the histogram: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
