package hybridrt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	hybridrt "hybridrt.dev/go"
)

type resizeArgs struct {
	URL   string `json:"url"`
	Width int    `json:"width"`
}

var errNoSuchPicture = errors.New("no such picture")

func resize(context.Context, string, int) ([]byte, error) { return nil, errNoSuchPicture }

// A worker with one typed handler, that stops well on SIGTERM.
func ExampleWorker() {
	mux := hybridrt.NewMux()
	hybridrt.Handle(mux, "image.resize",
		func(ctx context.Context, job *hybridrt.Job, args resizeArgs) error {
			picture, err := resize(ctx, args.URL, args.Width)
			if errors.Is(err, errNoSuchPicture) {
				return hybridrt.Dead(err) // trying again would not help
			}
			if err != nil {
				return err // tried again after the queue's back-off
			}
			return job.SetResult(picture)
		})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	worker := hybridrt.Worker{Mux: mux, Concurrency: 8}
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// Enqueue a job and wait for its result.
func ExampleClient_Enqueue() {
	client, err := hybridrt.Open("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	receipt, err := hybridrt.Enqueue(ctx, client, "image.resize",
		resizeArgs{URL: "https://example.org/a.png", Width: 200},
		hybridrt.Queue("images"), hybridrt.Key("a.png"), hybridrt.Delay(5*time.Minute),
		hybridrt.ResultTTL(time.Hour))
	switch {
	case errors.Is(err, hybridrt.ErrQueueFull):
		log.Print("try again later")
	case err != nil:
		log.Print(err)
	}
	picture, err := receipt.Result(ctx)
	log.Print(len(picture), err)
}

// Enqueue many jobs with one call; each succeeds or fails by itself.
func ExampleClient_EnqueueMany() {
	client, err := hybridrt.Open("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	specs := []hybridrt.Spec{
		{Kind: "mail.send", Payload: []byte(`{"to":"ann"}`), Key: "ann"},
		{Kind: "mail.send", Payload: []byte(`{"to":"bob"}`), Key: "bob"},
	}
	outcomes, err := client.EnqueueMany(context.Background(), specs)
	if err != nil {
		log.Print(err)
		return
	}
	for i, outcome := range outcomes {
		if outcome.Err != nil {
			log.Printf("mail to %s: %v", specs[i].Key, outcome.Err)
		}
	}
}

// Follow-up jobs commit together with the end of the job that asked for them.
func ExampleJob_Enqueue() {
	mux := hybridrt.NewMux()
	mux.HandleFunc("order.pay", func(_ context.Context, job *hybridrt.Job) error {
		for _, kind := range []string{"order.ship", "mail.receipt"} {
			if err := job.Enqueue(kind, job.Payload(), hybridrt.Key(job.Key())); err != nil {
				return err
			}
		}
		return job.ReturnJSON(map[string]string{"state": "paid"})
	})
}

// Middleware wraps every handler.
func ExampleMux_Use() {
	mux := hybridrt.NewMux()
	mux.Use(func(next hybridrt.Handler) hybridrt.Handler {
		return func(ctx context.Context, job *hybridrt.Job) error {
			begin := time.Now()
			err := next(ctx, job)
			log.Printf("%s took %v", job.Kind(), time.Since(begin))
			return err
		}
	})
}

// A trace goes with its job as the W3C header.
func ExampleParseTrace() {
	trace, err := hybridrt.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	fmt.Println(trace, err)
	_, err = hybridrt.ParseTrace("nonsense")
	fmt.Println(errors.Is(err, hybridrt.ErrName))
	// Output:
	// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 <nil>
	// true
}

// The error of a handler says what becomes of its job.
func ExampleRetryAfter() {
	err := hybridrt.RetryAfter(time.Minute, fmt.Errorf("fetch: %w", errNoSuchPicture))
	fmt.Println(err, errors.Is(err, errNoSuchPicture))
	fmt.Println(hybridrt.Snooze(time.Hour))
	// Output:
	// fetch: no such picture true
	// hybridrt: run again in 1h0m0s
}
