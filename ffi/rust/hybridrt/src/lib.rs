//! Background jobs on one machine: enqueue them, and work on them, from Rust.
//!
//! A producer attaches to the runtime of this machine and enqueues:
//!
//! ```no_run
//! let client = hybridrt::Client::connect()?;
//! let job = client.enqueue("image.resize", "cat.png").queue("images").send()?;
//! println!("{:?}", job.wait(std::time::Duration::from_secs(10))?);
//! # Ok::<(), hybridrt::Error>(())
//! ```
//!
//! A worker serves kinds of jobs. It runs at least once what was acknowledged; what it says at the
//! end of a job, and the follow-up jobs it enqueued, are committed in one step, exactly once:
//!
//! ```no_run
//! use hybridrt::{Outcome, Worker};
//!
//! Worker::builder()
//!     .handle("image.resize", |job, ctx| {
//!         println!("attempt {} at {:?}", job.attempt(), job.payload());
//!         ctx.enqueue("image.publish", job.payload()).send()?;
//!         Ok(Outcome::Done)
//!     })
//!     .run()?;
//! # Ok::<(), hybridrt::Error>(())
//! ```
//!
//! # Features
//!
//! All are on unless you turn them off.
//!
//! - `serde`: payloads and results as JSON.
//! - `signals`: `StopToken::on_signals`, for a worker that SIGTERM and SIGINT stop well.
//! - `tracing`: an event for each failed attempt, a debug span `process` around each handler.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod client;
mod context;
mod crew;
mod error;
#[allow(unsafe_code)]
mod ffi;
mod job;
mod mailbox;
mod options;
mod outcome;
mod panics;
mod report;
mod token;
mod trace;
mod worker;

pub use client::{Client, ClientBuilder, Ended, JobHandle};
pub use context::Context;
pub use error::{Detail, Error};
pub use job::Job;
pub use options::NewJob;
pub use outcome::{BoxError, NonRetryable, Outcome};
pub use token::StopToken;
pub use trace::{InvalidTrace, TraceContext};
pub use worker::{Worker, WorkerBuilder};

/// Version of the C library that this program was linked with.
pub fn library_version() -> &'static str {
    ffi::version()
}

/// Place of a duration in nanoseconds in the library's histograms, as `hybridrt stats` shows them.
pub fn histogram_bucket(value_ns: u64) -> u32 {
    ffi::histogram_bucket(value_ns)
}
