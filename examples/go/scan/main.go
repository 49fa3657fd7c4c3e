// A worker for jobs that take long: what it saves survives it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	hybridrt "hybridrt.dev/go"
)

const pages = 300

func scanPage(job *hybridrt.Job, page int) {
	fmt.Printf("%s, page %d\n", job.Payload(), page)
	time.Sleep(time.Second)
}

func scan(_ context.Context, job *hybridrt.Job) error {
	done, _ := strconv.Atoi(string(job.Saved())) // 0 in the first attempt
	for page := done; page < pages; page++ {
		select {
		case <-job.Draining():
			return hybridrt.ErrDraining // hands the job back
		default:
		}
		scanPage(job, page)
		if err := job.Checkpoint([]byte(strconv.Itoa(page + 1))); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	mux := hybridrt.NewMux()
	mux.HandleFunc("book.scan", scan)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker := hybridrt.Worker{Mux: mux}
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
