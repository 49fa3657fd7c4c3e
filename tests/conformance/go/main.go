// The Go worker of the conformance suite. Its kinds do what the suite's scenarios ask of a worker,
// and are the same in every language.
//
//	conformance [-concurrency N]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	hybridrt "hybridrt.dev/go"
)

func main() {
	concurrency := flag.Int("concurrency", 1, "handlers that run at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker := hybridrt.Worker{
		Mux: newMux(), Name: "conformance-go", Version: "1", Concurrency: *concurrency,
	}
	if err := worker.Run(ctx); err != nil {
		slog.Error("cannot work", "error", err)
		os.Exit(1)
	}
}

func newMux() *hybridrt.Mux {
	mux := hybridrt.NewMux()
	mux.HandleFunc("conf.echo", echo)
	mux.HandleFunc("conf.fail", fail)
	hybridrt.Handle(mux, "conf.fail_until", failUntil)
	mux.HandleFunc("conf.dead", dead)
	mux.HandleFunc("conf.discard", discard)
	hybridrt.Handle(mux, "conf.snooze", snooze)
	mux.HandleFunc("conf.panic", panicWith)
	hybridrt.Handle(mux, "conf.sleep", sleep)
	hybridrt.Handle(mux, "conf.ignore", ignore)
	hybridrt.Handle(mux, "conf.follow", follow)
	hybridrt.Handle(mux, "conf.follow_fail", followFail)
	mux.HandleFunc("conf.crash", crash)
	hybridrt.Handle(mux, "conf.append", appendLine)
	hybridrt.Handle(mux, "conf.extend", extend)
	mux.HandleFunc("conf.progress", progress)
	mux.HandleFunc("conf.info", info)
	hybridrt.Handle(mux, "conf.large", large)
	hybridrt.Handle(mux, "conf.save_retry", saveRetry)
	mux.HandleFunc("conf.save_crash", saveCrash)
	hybridrt.Handle(mux, "conf.save_drain", saveDrain)
	hybridrt.Handle(mux, "conf.save_large", saveLarge)
	return mux
}

func echo(_ context.Context, job *hybridrt.Job) error {
	return job.SetResult(job.Clone())
}

func fail(_ context.Context, job *hybridrt.Job) error {
	return errors.New(string(job.Payload()))
}

type countArgs struct {
	N int `json:"n"`
}

func failUntil(_ context.Context, job *hybridrt.Job, args countArgs) error {
	if job.Attempt() < args.N {
		return hybridrt.RetryAfter(time.Millisecond, errors.New("not yet"))
	}
	return job.SetResult([]byte(strconv.Itoa(job.Attempt())))
}

func dead(_ context.Context, job *hybridrt.Job) error {
	return hybridrt.Dead(errors.New(string(job.Payload())))
}

func discard(_ context.Context, job *hybridrt.Job) error {
	return hybridrt.Discard(string(job.Payload()))
}

type snoozeArgs struct {
	N    int    `json:"n"`
	MS   int    `json:"ms"`
	Path string `json:"path"`
}

// snooze counts its runs in a file, one byte for each, because a snooze leaves no other trace.
func snooze(_ context.Context, job *hybridrt.Job, args snoozeArgs) error {
	if err := appendTo(args.Path, "."); err != nil {
		return err
	}
	file, err := os.Stat(args.Path)
	if err != nil {
		return err
	}
	if file.Size() <= int64(args.N) {
		return hybridrt.Snooze(time.Duration(args.MS) * time.Millisecond)
	}
	return job.SetResult([]byte(strconv.Itoa(job.Attempt())))
}

func panicWith(_ context.Context, job *hybridrt.Job) error {
	panic(string(job.Payload()))
}

type timeArgs struct {
	MS int `json:"ms"`
}

func (a timeArgs) duration() time.Duration { return time.Duration(a.MS) * time.Millisecond }

func sleep(ctx context.Context, _ *hybridrt.Job, args timeArgs) error {
	select {
	case <-time.After(args.duration()):
		return nil
	case <-ctx.Done():
		return errors.New("cancelled")
	}
}

func ignore(_ context.Context, _ *hybridrt.Job, args timeArgs) error {
	time.Sleep(args.duration())
	return nil
}

type followArgs struct {
	Kind    string `json:"kind"`
	Queue   string `json:"queue"`
	Count   int    `json:"count"`
	Payload string `json:"payload"`
}

func follow(_ context.Context, job *hybridrt.Job, args followArgs) error {
	for range args.Count {
		err := job.Enqueue(args.Kind, []byte(args.Payload), hybridrt.Queue(args.Queue))
		if err != nil {
			return err
		}
	}
	return nil
}

func followFail(ctx context.Context, job *hybridrt.Job, args followArgs) error {
	if err := follow(ctx, job, args); err != nil {
		return err
	}
	return errors.New("failed after its follow-ups")
}

func crash(context.Context, *hybridrt.Job) error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {} // the signal is on its way
}

type appendArgs struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

func appendLine(_ context.Context, _ *hybridrt.Job, args appendArgs) error {
	return appendTo(args.Path, args.Text+"\n")
}

// appendTo makes one write, so that lines of several processes do not mix.
func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func extend(_ context.Context, job *hybridrt.Job, args timeArgs) error {
	if err := job.Extend(2 * args.duration()); err != nil {
		return err
	}
	time.Sleep(args.duration())
	return nil
}

func progress(_ context.Context, job *hybridrt.Job) error {
	return job.Progress(500, "half")
}

func info(ctx context.Context, job *hybridrt.Job) error {
	_, hasDeadline := ctx.Deadline()
	text, err := json.Marshal(map[string]any{
		"id": job.ID(), "token": job.Token(), "attempt": job.Attempt(),
		"max_attempts": job.MaxAttempts(), "key": job.Key(), "meta": job.Meta(),
		"kind": job.Kind(), "queue": job.Queue(), "deadline": hasDeadline,
	})
	if err != nil {
		return fmt.Errorf("describe the job: %w", err)
	}
	return job.SetResult(text)
}

type largeArgs struct {
	Bytes int `json:"bytes"`
}

func large(_ context.Context, job *hybridrt.Job, args largeArgs) error {
	return job.SetResult([]byte(strings.Repeat("x", args.Bytes)))
}

// saveRetry saves twice and fails, until attempt n brings what the one before saved last.
func saveRetry(_ context.Context, job *hybridrt.Job, args countArgs) error {
	if job.Attempt() >= args.N {
		return job.SetResult(bytes.Clone(job.Saved()))
	}
	err := errors.Join(
		job.Checkpoint([]byte("not the last one")),
		job.Checkpoint(fmt.Appendf(nil, "attempt %d", job.Attempt())))
	return hybridrt.RetryAfter(time.Millisecond, errors.Join(err, errors.New("not yet")))
}

func saveCrash(ctx context.Context, job *hybridrt.Job) error {
	if job.Saved() != nil {
		return job.SetResult(bytes.Clone(job.Saved()))
	}
	if err := job.Checkpoint([]byte("before the crash")); err != nil {
		return err
	}
	return crash(ctx, job)
}

// saveDrain says that it has begun, and hands its job back once the worker drains.
func saveDrain(ctx context.Context, job *hybridrt.Job, args appendArgs) error {
	if job.Saved() != nil {
		return job.SetResult(bytes.Clone(job.Saved()))
	}
	if err := appendTo(args.Path, "."); err != nil {
		return err
	}
	select {
	case <-job.Draining():
		return errors.Join(job.Checkpoint([]byte("half way")), hybridrt.ErrDraining)
	case <-ctx.Done():
		return hybridrt.Dead(context.Cause(ctx))
	}
}

func saveLarge(_ context.Context, job *hybridrt.Job, args largeArgs) error {
	err := job.Checkpoint(make([]byte, args.Bytes))
	if errors.Is(err, hybridrt.ErrTooLarge) {
		return job.SetResult([]byte("too large"))
	}
	return errors.Join(err, job.SetResult([]byte("saved")))
}
