//! One new job: what it is, where it waits, and how it becomes what the C library takes.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use hybridrt_sys as sys;

use crate::error::Error;
use crate::ffi::{Handle, Spec};
use crate::outcome::nanoseconds;
use crate::trace::TraceContext;

/// The queue of jobs that name none.
const DEFAULT_QUEUE: &str = "default";
/// Bytes that a job takes in the lane besides its own.
const OVERHEAD_SIZE: usize = 64;

/// The fixed-width part of a new job. Zero means the queue's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub delay_ns: u64,
    pub due_ns: u64,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub expires_ms: u32,
    pub kind: u16,
    pub queue: u16,
    pub max_attempts: u16,
    pub max_crashes: u8,
    pub block: bool,
}

/// A new job under construction.
///
/// [`Client::enqueue`](crate::Client::enqueue) and [`Context::enqueue`](crate::Context::enqueue)
/// begin one that knows where to go and is finished by `send`; `NewJob::new` begins one for
/// [`Client::enqueue_many`](crate::Client::enqueue_many). Whatever is not set is as the queue says.
#[derive(Debug)]
#[must_use = "a job is enqueued by `send`, or by `enqueue_many`"]
pub struct NewJob<'a, To = ()> {
    kind: &'a str,
    queue: &'a str,
    payload: Result<Cow<'a, [u8]>, Error>,
    key: &'a [u8],
    meta: &'a [u8],
    trace: Option<TraceContext>,
    options: Options,
    pub(crate) block: Option<Duration>,
    pub(crate) to: To,
}

impl<'a> NewJob<'a> {
    /// Begins a job of this kind.
    pub fn new(kind: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::to((), kind, payload)
    }

    /// Begins a job whose payload is a value written as JSON.
    #[cfg(feature = "serde")]
    pub fn json(kind: &'a str, value: &(impl serde::Serialize + ?Sized)) -> Self {
        Self::json_to((), kind, value)
    }
}

impl<'a, To> NewJob<'a, To> {
    pub(crate) fn to(to: To, kind: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::begin(to, kind, Ok(Cow::Borrowed(payload.as_ref())))
    }

    #[cfg(feature = "serde")]
    pub(crate) fn json_to(to: To, kind: &'a str, value: &(impl serde::Serialize + ?Sized)) -> Self {
        Self::begin(
            to,
            kind,
            serde_json::to_vec(value)
                .map(Cow::Owned)
                .map_err(Error::from),
        )
    }

    fn begin(to: To, kind: &'a str, payload: Result<Cow<'a, [u8]>, Error>) -> Self {
        Self {
            kind,
            queue: DEFAULT_QUEUE,
            payload,
            key: &[],
            meta: &[],
            trace: None,
            options: Options::default(),
            block: None,
            to,
        }
    }

    /// Names the queue where the job waits; "default" otherwise.
    pub fn queue(mut self, name: &'a str) -> Self {
        self.queue = name;
        self
    }

    /// Orders the job: those with the same key in a queue run one at a time, in the order of the
    /// log. Text without control characters, at most 255 bytes.
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = key.as_ref();
        self
    }

    /// Attaches bytes of your own, carried along unread. At most 4096.
    pub fn meta(mut self, meta: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.meta = meta.as_ref();
        self
    }

    /// Names the trace that the job belongs to.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Runs the job no sooner than after this time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.options.delay_ns = nanoseconds(delay);
        self
    }

    /// Runs the job no sooner than at this time of the wall clock. Stronger than `delay`.
    pub fn at(mut self, time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.options.due_ns = nanoseconds(since).max(1);
        self
    }

    /// Limits the time of one attempt. `None`: no limit, whatever the queue says.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.options.timeout_ms = limit.into().map_or(sys::HRT_NONE, milliseconds);
        self
    }

    /// Keeps the result for this time. `None`: not at all, whatever the queue says.
    pub fn result_ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.options.result_ttl_ms = ttl.into().map_or(sys::HRT_NONE, milliseconds);
        self
    }

    /// Drops the job if it has not started within this time.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.options.expires_ms = milliseconds(time);
        self
    }

    /// Makes the job a dead letter after so many failed attempts.
    pub fn max_attempts(mut self, count: u16) -> Self {
        self.options.max_attempts = count;
        self
    }

    /// Makes the job a dead letter after it has taken so many workers down with it.
    pub fn max_crashes(mut self, count: u8) -> Self {
        self.options.max_crashes = count;
        self
    }

    /// Keeps trying for this time while the queue is full, instead of failing at once.
    pub fn block(mut self, time: Duration) -> Self {
        self.options.block = true;
        self.block = Some(time);
        self
    }

    /// Looks up the names and checks the sizes.
    pub(crate) fn resolve(&self, handle: &Handle) -> Result<Resolved<'_>, Error> {
        let payload = match &self.payload {
            Ok(payload) => payload.as_ref(),
            Err(error) => return Err(Error::new(sys::HRT_EINVAL, error.to_string())),
        };
        check_size("payload", payload, sys::HRT_PAYLOAD_MAX, sys::HRT_ETOOLARGE)?;
        check_size("key", self.key, sys::HRT_KEY_MAX, sys::HRT_ENAME)?;
        check_size("meta", self.meta, sys::HRT_META_MAX, sys::HRT_ETOOLARGE)?;
        let mut options = self.options;
        options.kind = handle.kind(self.kind)?;
        options.queue = handle.queue(self.queue)?;
        let trace = self.trace.as_ref();
        Ok(Resolved {
            options,
            payload,
            key: self.key,
            meta: self.meta,
            trace,
        })
    }
}

/// A new job, known to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'a> {
    pub options: Options,
    pub payload: &'a [u8],
    pub key: &'a [u8],
    pub meta: &'a [u8],
    pub trace: Option<&'a TraceContext>,
}

impl<'a> Resolved<'a> {
    pub fn spec(&self) -> Spec<'a> {
        Spec::new(&self.options, self.payload, self.key, self.meta, self.trace)
    }

    /// Bytes it takes in the lane.
    pub fn lane_size(&self) -> usize {
        let trace_size = self.trace.map_or(0, |trace| trace.as_bytes().len());
        let size = self.payload.len() + self.key.len() + self.meta.len() + trace_size;
        lane_size(size)
    }
}

/// Bytes that an entry with so many bytes of its own takes in the lane.
pub(crate) fn lane_size(size: usize) -> usize {
    OVERHEAD_SIZE + size.next_multiple_of(8)
}

/// A short time must not become zero, which means the queue's default.
fn milliseconds(duration: Duration) -> u32 {
    let rounded_up = duration.as_nanos().div_ceil(1_000_000);
    u32::try_from(rounded_up)
        .unwrap_or(u32::MAX)
        .clamp(1, sys::HRT_NONE - 1)
}

fn check_size(
    what: &str,
    bytes: &[u8],
    limit: sys::hrt_limit,
    status: sys::hrt_status,
) -> Result<(), Error> {
    if bytes.len() <= limit as usize {
        return Ok(());
    }
    let sentence = format!(
        "a {what} of {} bytes is over the limit of {limit}",
        bytes.len()
    );
    Err(Error::new(status, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_never_become_a_special_value() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX - 1);
    }

    #[test]
    fn none_is_not_the_queues_default() {
        let job = NewJob::new("kind", "")
            .time_limit(None)
            .result_ttl(Duration::from_secs(2));
        assert_eq!(job.options.timeout_ms, sys::HRT_NONE);
        assert_eq!(job.options.result_ttl_ms, 2000);
    }

    #[test]
    fn a_due_time_before_1970_is_still_a_due_time() {
        let job = NewJob::new("kind", "").at(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(job.options.due_ns, 1);
    }

    #[test]
    fn what_is_too_large_is_named() {
        let error = check_size("key", &[0; 256], sys::HRT_KEY_MAX, sys::HRT_ENAME).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a key of 256 bytes is over the limit of 255"
        );
        assert!(matches!(error, Error::Invalid(_)));
    }
}
