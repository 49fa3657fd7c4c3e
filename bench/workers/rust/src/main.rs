//! The Rust worker that `hybridrt bench` measures: it does nothing but, on request, record the time
//! from the producer's stamp to the start of the handler.
//!
//! `bench-worker-rust work [--kind K] [--concurrency N] [--latency --out FILE]`. With --latency
//! each payload starts with the CLOCK_MONOTONIC ns of its enqueue (8 bytes, little-endian; 0: do
//! not record); at the end a histogram of the times until the handler began is written to FILE.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hybridrt::{BoxError, Outcome, StopToken, Worker, histogram_bucket};
use rustix::time::{ClockId, clock_gettime};

const BUCKETS: usize = 512;

struct Options {
    kind: String,
    concurrency: usize,
    latency: bool,
    out: Option<String>,
}

fn main() -> Result<(), BoxError> {
    let options = parse(std::env::args().skip(1))?;
    let buckets: Arc<Vec<AtomicU64>> = Arc::new((0..BUCKETS).map(|_| 0.into()).collect());
    let worker = Worker::builder().concurrency(options.concurrency);
    let worker = if options.latency {
        let buckets = buckets.clone();
        worker.handle(&options.kind, move |job, _ctx| {
            if let Some(age_ns) = age_ns(job.payload()) {
                let bucket = histogram_bucket(age_ns) as usize;
                buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
            }
            Ok(Outcome::Done)
        })
    } else {
        worker.handle(&options.kind, |_job, _ctx| Ok(Outcome::Done))
    };
    let ended = worker.build()?.run_until(&StopToken::on_signals()?);
    if let Some(path) = options.out {
        std::fs::write(path, json(&buckets))?;
    }
    Ok(ended?)
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, BoxError> {
    let mut options = Options {
        kind: "bench.noop".into(),
        concurrency: 1,
        latency: false,
        out: None,
    };
    while let Some(argument) = arguments.next() {
        match &*argument {
            "work" => {}
            "--kind" => options.kind = arguments.next().ok_or("K?")?,
            "--concurrency" => options.concurrency = arguments.next().ok_or("N?")?.parse()?,
            "--latency" => options.latency = true,
            "--out" => options.out = Some(arguments.next().ok_or("FILE?")?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(options)
}

/// Time since the stamp; None when the payload carries none.
fn age_ns(payload: &[u8]) -> Option<u64> {
    let stamp_ns = u64::from_le_bytes(*payload.first_chunk()?);
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    (stamp_ns != 0).then(|| now_ns.saturating_sub(stamp_ns))
}

fn json(buckets: &[AtomicU64]) -> String {
    let (mut total, mut list) = (0, String::new());
    for (index, bucket) in buckets.iter().enumerate() {
        let count = bucket.load(Ordering::Relaxed);
        if count > 0 {
            let comma = if list.is_empty() { "" } else { "," };
            write!(list, "{comma}\"{index}\":{count}").expect("a string takes all");
            total += count;
        }
    }
    format!("{{\"count\":{total},\"buckets\":{{{list}}}}}\n")
}
