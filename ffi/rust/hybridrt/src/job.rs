//! A job as its handler sees it.

use std::time::{Duration, SystemTime};

use crate::ffi::{Handle, Leased};
use crate::trace::TraceContext;

/// A job that this worker holds. All bytes lie in the log and are lent, not copied.
pub struct Job<'a> {
    leased: &'a Leased<'a>,
    handle: &'a Handle,
}

impl<'a> Job<'a> {
    pub(crate) fn new(leased: &'a Leased<'_>, handle: &'a Handle) -> Self {
        Self { leased, handle }
    }

    /// The job's id: the sequence number of its record in the log.
    pub fn id(&self) -> u64 {
        self.leased.fields().id
    }

    /// The lease's token. It only ever grows, so it can fence writes to other systems.
    pub fn token(&self) -> u64 {
        self.leased.fields().token
    }

    /// What to run.
    pub fn kind(&self) -> &'a str {
        self.handle.kind_name(self.leased.fields().kind)
    }

    /// Where the job waited.
    pub fn queue(&self) -> &'a str {
        self.handle.queue_name(self.leased.fields().queue)
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.leased.payload()
    }

    /// Reads the payload as JSON; strings in `T` may borrow from it.
    ///
    /// # Errors
    ///
    /// What is wrong with the payload. It stays wrong, so wrap it into
    /// [`NonRetryable`](crate::NonRetryable), as `handle_json` does.
    #[cfg(feature = "serde")]
    pub fn json<T: serde::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload())
    }

    /// The key that orders the job, empty without one.
    pub fn key(&self) -> &'a [u8] {
        self.leased.key()
    }

    /// The producer's own bytes.
    pub fn meta(&self) -> &'a [u8] {
        self.leased.meta()
    }

    /// What an earlier attempt saved with [`checkpoint`](crate::Context::checkpoint), or nothing.
    pub fn saved(&self) -> &'a [u8] {
        self.leased.saved()
    }

    /// The trace that the job belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.leased.trace()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.leased.fields().attempt
    }

    /// The attempt after which a failure makes the job a dead letter.
    pub fn max_attempts(&self) -> u16 {
        self.leased.fields().max_attempts
    }

    /// When the job was enqueued.
    pub fn enqueued_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.leased.fields().enqueued_ns)
    }

    /// The job whose settle enqueued this one.
    pub fn parent(&self) -> Option<u64> {
        Some(self.leased.fields().parent).filter(|&parent| parent != 0)
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.leased.fields().deadline_ns
    }
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("queue", &self.queue())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
