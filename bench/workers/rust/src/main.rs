//! The Rust worker of the benchmarks: kind `bench.noop`, which does nothing.
//!
//! `bench-worker-rust [--concurrency N] [--latency] [--out FILE]`. With --latency each payload
//! starts with the CLOCK_MONOTONIC time of its enqueue (8 bytes, little-endian); at the end a
//! histogram of the times until the handler began is written to FILE.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hybridrt::{BoxError, Outcome, Worker, histogram_bucket};
use rustix::time::{ClockId, clock_gettime};

const BUCKETS: usize = 512;

#[derive(Default)]
struct Options {
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
        worker.handle("bench.noop", move |job, _ctx| {
            let bucket = histogram_bucket(age_ns(job.payload())?) as usize;
            buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
            Ok(Outcome::Done)
        })
    } else {
        worker.handle("bench.noop", |_job, _ctx| Ok(Outcome::Done))
    };
    let ended = worker.run();
    if let Some(path) = options.out {
        std::fs::write(path, json(&buckets))?;
    }
    Ok(ended?)
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, BoxError> {
    let mut options = Options {
        concurrency: 1,
        ..Options::default()
    };
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--concurrency" => options.concurrency = arguments.next().ok_or("N?")?.parse()?,
            "--latency" => options.latency = true,
            "--out" => options.out = Some(arguments.next().ok_or("FILE?")?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(options)
}

fn age_ns(payload: &[u8]) -> Result<u64, BoxError> {
    let stamp = payload.first_chunk().ok_or("a payload without a time")?;
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    Ok(now_ns.saturating_sub(u64::from_le_bytes(*stamp)))
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
