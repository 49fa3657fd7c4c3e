// Package hybridrt runs background jobs on one machine, with no broker: it is the Go side of a
// runtime whose supervisor is written in Python and whose dispatch loop is written in C.
//
// A worker is a few lines:
//
//	mux := hybridrt.NewMux()
//	mux.HandleFunc("file.sniff", func(ctx context.Context, job *hybridrt.Job) error {
//		return sniff(ctx, job.Payload())
//	})
//	worker := hybridrt.Worker{Mux: mux, Concurrency: 8}
//	err := worker.Run(ctx)
//
// So is a producer:
//
//	client, err := hybridrt.Open("")
//	receipt, err := client.Enqueue(ctx, "file.sniff", payload, hybridrt.Key("a.png"))
//	result, err := receipt.Result(ctx)
//
// When Enqueue returns, the job is in the log, at the durability that its queue asked for. A job
// is run at least once; its end, its result and its follow-up jobs are committed exactly once, in
// one step. Jobs with the same key run in the order of their ids, one at a time.
//
// The package is built over the C library and finds it by pkg-config:
//
//	export PKG_CONFIG_PATH=$(hybridrt config pkgconfigdir)
package hybridrt

// Version is that of this package, and of the whole product.
const Version = "0.1.0"
