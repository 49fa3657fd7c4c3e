// A worker of one kind.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	hybridrt "hybridrt.dev/go"
)

type greeting struct {
	Name string `json:"name"`
}

func greet(_ context.Context, job *hybridrt.Job, args greeting) error {
	return job.SetResult([]byte("hello " + args.Name))
}

func main() {
	mux := hybridrt.NewMux()
	hybridrt.Handle(mux, "greet", greet)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker := hybridrt.Worker{Mux: mux, Concurrency: 4}
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
