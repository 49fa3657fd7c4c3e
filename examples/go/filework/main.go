// A worker that walks folders: the Go part of the demonstration, which finds duplicate and
// compressible files.
//
//	tree.scan   lists a folder and enqueues its sub-folders and files
//	file.sniff  reads the size and the type of a file and enqueues its digest
//
// Follow-up jobs commit together with the end of the job that asked for them, so no file is lost
// or counted twice, whatever process dies in between.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	hybridrt "hybridrt.dev/go"
)

func main() {
	concurrency := flag.Int("concurrency", 4, "handlers that run at a time")
	flag.Parse()
	mux := hybridrt.NewMux()
	hybridrt.Handle(mux, "tree.scan", scan)
	hybridrt.Handle(mux, "file.sniff", sniff)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker := hybridrt.Worker{Mux: mux, Name: "filework-go", Concurrency: *concurrency}
	if err := worker.Run(ctx); err != nil {
		slog.Error("cannot work", "error", err)
		os.Exit(1)
	}
}
