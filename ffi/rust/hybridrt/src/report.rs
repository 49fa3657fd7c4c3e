//! What the library tells about jobs through `tracing`; nothing without that feature.

#[cfg(feature = "tracing")]
use hybridrt_sys as sys;

use crate::job::Job;
use crate::outcome::Verdict;

/// Runs a handler inside the span of its job, which costs nothing unless somebody listens.
#[cfg(feature = "tracing")]
pub(crate) fn in_span<R>(job: &Job<'_>, run: impl FnOnce() -> R) -> R {
    let span = tracing::debug_span!(
        "process",
        kind = job.kind(),
        job.id = job.id(),
        job.attempt = job.attempt(),
        job.queue = job.queue(),
    );
    span.in_scope(run)
}

#[cfg(feature = "tracing")]
pub(crate) fn ended(job: &Job<'_>, verdict: &Verdict<'_>) {
    let (id, kind, attempt) = (job.id(), job.kind(), job.attempt());
    let text = verdict.text();
    match u32::from(verdict.outcome) {
        sys::HRT_OUTCOME_RETRY => {
            tracing::warn!(job.id = id, kind, attempt, error = &*text, "attempt failed");
        }
        sys::HRT_OUTCOME_DEAD => {
            tracing::error!(job.id = id, kind, attempt, error = &*text, "job is dead");
        }
        sys::HRT_OUTCOME_DISCARD => {
            tracing::info!(job.id = id, kind, attempt, reason = &*text, "job discarded");
        }
        _ => {}
    }
}

#[cfg(feature = "tracing")]
pub(crate) fn refused(job: u64, token: u64, code: i32) {
    tracing::warn!(
        job.id = job,
        token,
        code,
        "the runtime did not accept the end of an attempt"
    );
}

#[cfg(feature = "tracing")]
pub(crate) fn worker(what: &'static str, concurrency: usize) {
    tracing::info!(concurrency, "worker {what}");
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn in_span<R>(_job: &Job<'_>, run: impl FnOnce() -> R) -> R {
    run()
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn ended(_job: &Job<'_>, _verdict: &Verdict<'_>) {}

#[cfg(not(feature = "tracing"))]
pub(crate) fn refused(_job: u64, _token: u64, _code: i32) {}

#[cfg(not(feature = "tracing"))]
pub(crate) fn worker(_what: &'static str, _concurrency: usize) {}
