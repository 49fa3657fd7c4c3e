//! What a handler can do and ask while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hybridrt_sys as sys;

use crate::batch::Held;
use crate::client::Client;
use crate::error::Error;
use crate::ffi::monotonic_ns;
use crate::job::Job;
use crate::options::{NewJob, lane_size};
use crate::outcome::nanoseconds;

/// The surroundings of one attempt. Threads that the handler starts may share it.
#[derive(Debug)]
pub struct Context<'a> {
    client: &'a Client,
    held: &'a Mutex<Held>,
    stopping: &'a AtomicBool,
    job: u64,
    token: u64,
    /// CLOCK_MONOTONIC, 0: none. Moved by `extend`.
    deadline_ns: AtomicU64,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        client: &'a Client,
        job: &Job<'_>,
        held: &'a Mutex<Held>,
        stopping: &'a AtomicBool,
    ) -> Self {
        let deadline_ns = job.deadline_ns().into();
        Self {
            client,
            held,
            stopping,
            job: job.id(),
            token: job.token(),
            deadline_ns,
        }
    }

    /// Begins a follow-up job. [`send`](NewJob::send) holds it back: it is enqueued with the end of
    /// this job, in one step, or not at all if this attempt fails or is to be repeated.
    ///
    /// ```no_run
    /// # use hybridrt::{Outcome, Worker};
    /// Worker::builder().handle("tree.scan", |job, ctx| {
    ///     ctx.enqueue("file.digest", "a.txt").queue("files").send()?;
    ///     Ok(Outcome::Done)
    /// });
    /// ```
    pub fn enqueue<'n>(
        &'n self,
        kind: &'n str,
        payload: &'n (impl AsRef<[u8]> + ?Sized),
    ) -> NewJob<'n, &'n Self> {
        NewJob::to(self, kind, payload)
    }

    /// Begins a follow-up job whose payload is a value written as JSON.
    #[cfg(feature = "serde")]
    pub fn enqueue_json<'n>(
        &'n self,
        kind: &'n str,
        value: &(impl serde::Serialize + ?Sized),
    ) -> NewJob<'n, &'n Self> {
        NewJob::json_to(self, kind, value)
    }

    /// Whether the attempt should stop: it was cancelled, is over its time limit, or the runtime is
    /// gone. Cheap enough for a loop.
    pub fn is_cancelled(&self) -> bool {
        self.wait_cancelled(Duration::ZERO)
    }

    /// Waits until the attempt should stop; false when the time passed first.
    pub fn wait_cancelled(&self, timeout: Duration) -> bool {
        let left = self.time_left();
        let timeout = left.map_or(timeout, |left| timeout.min(left));
        let (mailbox, handle) = (self.client.mailbox(), self.client.handle());
        let told = mailbox.cancelled(handle, self.job, self.token, Some(timeout));
        told.unwrap_or(true) || self.time_left() == Some(Duration::ZERO)
    }

    /// Whether the worker was told to stop, by the runtime or by its own program. A handler that
    /// would take long may then save what it has done with [`checkpoint`](Self::checkpoint) and end
    /// with [`Outcome::HandBack`](crate::Outcome::HandBack). Cheap enough for a loop.
    pub fn is_draining(&self) -> bool {
        self.stopping.load(Ordering::Acquire) || self.client.handle().is_draining()
    }

    /// When this attempt is over its time limit, if it has one.
    pub fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.time_left()?)
    }

    /// Moves the time limit of this attempt to so much from now. The lease needs no renewal.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn extend(&self, more: Duration) -> Result<(), Error> {
        self.client.handle().extend(self.job, self.token, more)?;
        if self.deadline_ns.load(Ordering::Relaxed) != 0 {
            let deadline_ns = monotonic_ns().saturating_add(nanoseconds(more));
            self.deadline_ns.store(deadline_ns, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Saves state for the next attempt of this job, in place of what was saved before. It is
    /// copied, and goes to the log at the durability of the job's queue, in order with everything
    /// else that this worker says. It is gone when the job ends.
    ///
    /// ```no_run
    /// # use hybridrt::{Outcome, Worker};
    /// # fn pages() -> u8 { 100 }
    /// Worker::builder().handle("book.scan", |job, ctx| {
    ///     let done = job.saved().first().copied().unwrap_or(0);
    ///     for page in done..pages() {
    ///         if ctx.is_draining() {
    ///             return Ok(Outcome::HandBack);
    ///         }
    ///         // ... scan the page ...
    ///         ctx.checkpoint(&[page + 1])?;
    ///     }
    ///     Ok(Outcome::Done)
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] over 64 KiB, [`Error::Closed`].
    pub fn checkpoint(&self, state: &[u8]) -> Result<(), Error> {
        self.client.handle().save(self.job, self.token, state)
    }

    /// Reports progress, 0 to 1000, with a short note of at most 255 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], [`Error::Closed`].
    pub fn progress(&self, permille: u32, note: &str) -> Result<(), Error> {
        self.client
            .handle()
            .progress(self.job, self.token, permille, note)
    }

    /// The worker's client, for enqueues that do not wait for the end of this job.
    pub fn client(&self) -> &Client {
        self.client
    }

    fn time_left(&self) -> Option<Duration> {
        let deadline_ns = self.deadline_ns.load(Ordering::Relaxed);
        let left_ns = || deadline_ns.saturating_sub(monotonic_ns());
        (deadline_ns != 0).then(|| Duration::from_nanos(left_ns()))
    }
}

impl NewJob<'_, &Context<'_>> {
    /// Holds the job back until this attempt ends.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], [`Error::UnknownQueue`], [`Error::TooLarge`] when the job, or all
    /// that is held back, is over a limit.
    pub fn send(self) -> Result<(), Error> {
        let context = self.to;
        let handle = context.client.handle();
        let job = self.resolve(handle)?;
        let mut held = context.held.lock().unwrap_or_else(PoisonError::into_inner);
        let with_result = lane_size(sys::HRT_RESULT_MAX as usize);
        let size = with_result + held.lane_size() + job.lane_size();
        if held.len() >= sys::HRT_FOLLOW_MAX as usize || size > handle.unit_max() {
            let count = held.len();
            let sentence = format!("{count} follow-up jobs are all that one job can hold back");
            return Err(Error::new(sys::HRT_ETOOLARGE, sentence));
        }
        held.push(&job);
        Ok(())
    }
}
