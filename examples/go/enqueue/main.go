// Enqueue one job and wait for its result.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	hybridrt "hybridrt.dev/go"
)

type greeting struct {
	Name string `json:"name"`
}

func main() {
	client, err := hybridrt.Open("") // $HYBRIDRT_SOCKET, or the user's own runtime
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	receipt, err := client.EnqueueJSON(ctx, "greet", greeting{Name: "world"},
		hybridrt.ResultTTL(time.Minute))
	if err != nil {
		log.Print(err)
		return
	}
	result, err := receipt.Result(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Printf("job %d: %s\n", receipt.ID, result)
}
