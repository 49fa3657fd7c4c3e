// Print what each queue and each kind is doing, once a second.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	hybridrt "hybridrt.dev/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := watch(ctx); err != nil {
		log.Fatal(err)
	}
}

func watch(ctx context.Context) error {
	client, err := hybridrt.Open("")
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		stats, err := client.Stats()
		if err != nil {
			return err
		}
		show(stats)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func show(stats hybridrt.Stats) {
	for _, queue := range stats.Queues {
		fmt.Printf("queue %-16s ready %6d  running %4d  retrying %4d  dead %4d  done %9d\n",
			queue.Name, queue.Ready, queue.Running, queue.Retrying, queue.Dead, queue.Completed)
	}
	for _, kind := range stats.Kinds {
		fmt.Printf("kind  %-16s workers %2d  waited p99 %-10v ran p99 %v\n", kind.Name,
			kind.Workers, kind.Wait.Quantile(0.99), kind.Run.Quantile(0.99))
	}
}
