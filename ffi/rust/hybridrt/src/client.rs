//! The producer's side: attach, enqueue, wait for results, cancel.

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hybridrt_sys as sys;

use crate::error::Error;
use crate::ffi::{self, Handle, Spec};
use crate::mailbox::Mailbox;
use crate::options::{NewJob, Resolved};

/// How long an enqueue waits for its acknowledgement unless told otherwise.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(30);
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);

/// A process attached to a runtime. Clones share the attachment; the last one dropped detaches.
///
/// ```no_run
/// use std::time::Duration;
/// use hybridrt::Client;
///
/// let client = Client::connect()?;
/// let job = client
///     .enqueue("image.resize", "cat.png")
///     .queue("images")
///     .key("album 7")
///     .delay(Duration::from_secs(60))
///     .send()?;
/// println!("job {} is in the log", job.id());
/// # Ok::<(), hybridrt::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Handle,
    mailbox: Mailbox,
    enqueue_timeout: Duration,
}

/// Settings of a [`Client`], from [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    address: Option<PathBuf>,
    name: Option<String>,
    attach_timeout: Duration,
    enqueue_timeout: Duration,
    submit_capacity: u32,
}

impl ClientBuilder {
    /// Sets the path of the runtime's attach socket. Otherwise what the supervisor left in the
    /// environment is used, or `$XDG_RUNTIME_DIR/hybridrt/attach.sock`.
    pub fn address(mut self, path: impl Into<PathBuf>) -> Self {
        self.address = Some(path.into());
        self
    }

    /// Sets the name shown to operators; the program's name otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Limits the time for attaching; 5 seconds otherwise.
    pub fn attach_timeout(mut self, timeout: Duration) -> Self {
        self.attach_timeout = timeout;
        self
    }

    /// Limits the wait of an enqueue for its acknowledgement; 30 seconds otherwise.
    pub fn enqueue_timeout(mut self, timeout: Duration) -> Self {
        self.enqueue_timeout = timeout;
        self
    }

    /// Sets the size of the way to the runtime in bytes, a power of two; 1 MiB otherwise.
    pub fn submit_capacity(mut self, bytes: u32) -> Self {
        self.submit_capacity = bytes;
        self
    }

    /// Attaches.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when no runtime answers, belongs to another user or speaks another
    /// ABI version; [`Error::Full`] when it has no lane left; [`Error::Timeout`].
    pub fn connect(self) -> Result<Client, Error> {
        let address = self
            .address
            .map(|path| c_string(path.as_os_str().as_bytes()))
            .transpose()?;
        let name = self
            .name
            .map(|name| c_string(name.as_bytes()))
            .transpose()?;
        let handle = ffi::attach(
            address.as_deref(),
            name.as_deref(),
            self.attach_timeout,
            self.submit_capacity,
        )?;
        let mailbox = Mailbox::default();
        let enqueue_timeout = self.enqueue_timeout;
        Ok(Client {
            shared: Arc::new(Shared {
                handle,
                mailbox,
                enqueue_timeout,
            }),
        })
    }
}

pub(crate) fn c_string(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|_| Error::new(sys::HRT_ENAME, "a name holds a zero byte"))
}

impl Client {
    /// Attaches to the runtime that the environment names.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::connect`].
    pub fn connect() -> Result<Self, Error> {
        Self::builder().connect()
    }

    /// Begins a client with settings of your own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            address: None,
            name: None,
            attach_timeout: ATTACH_TIMEOUT,
            enqueue_timeout: ENQUEUE_TIMEOUT,
            submit_capacity: 0,
        }
    }

    /// Begins a job; [`send`](NewJob::send) enqueues it.
    pub fn enqueue<'a>(
        &'a self,
        kind: &'a str,
        payload: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> NewJob<'a, &'a Self> {
        NewJob::to(self, kind, payload)
    }

    /// Begins a job whose payload is a value written as JSON.
    ///
    /// ```no_run
    /// # use hybridrt::{Client, Ended};
    /// #[derive(serde::Serialize)]
    /// struct Resize<'a> { url: &'a str, width: u32 }
    ///
    /// let client = Client::connect()?;
    /// let resize = Resize { url: "cat.png", width: 64 };
    /// let job = client.enqueue_json("image.resize", &resize).send()?;
    /// # Ok::<(), hybridrt::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn enqueue_json<'a>(
        &'a self,
        kind: &'a str,
        value: &(impl serde::Serialize + ?Sized),
    ) -> NewJob<'a, &'a Self> {
        NewJob::json_to(self, kind, value)
    }

    /// Enqueues many jobs with few calls. The answers are in the order of the jobs: an id, or why
    /// that one was not taken.
    ///
    /// ```no_run
    /// # use hybridrt::{Client, NewJob};
    /// let client = Client::connect()?;
    /// let paths = ["a.png", "b.png", "c.png"];
    /// let jobs = paths.iter().map(|path| NewJob::new("image.resize", path));
    /// for answer in client.enqueue_many(jobs) {
    ///     println!("job {}", answer?);
    /// }
    /// # Ok::<(), hybridrt::Error>(())
    /// ```
    pub fn enqueue_many<'a>(
        &self,
        jobs: impl IntoIterator<Item = NewJob<'a>>,
    ) -> Vec<Result<u64, Error>> {
        let jobs: Vec<NewJob<'a>> = jobs.into_iter().collect();
        let resolved: Vec<_> = jobs.iter().map(|job| job.resolve(self.handle())).collect();
        let good: Vec<&Resolved<'_>> = resolved.iter().flatten().collect();
        let longest_block = jobs.iter().filter_map(|job| job.block).max();
        let mut answers = self.enqueue_resolved(&good, longest_block).into_iter();
        let answer = |job: Result<_, _>| {
            job.and_then(|_| {
                answers
                    .next()
                    .unwrap_or_else(|| Err(ffi::plain_error(sys::HRT_EAGAIN)))
            })
        };
        resolved.into_iter().map(answer).collect()
    }

    /// One call for as many jobs as surely fit the lane.
    fn enqueue_resolved(
        &self,
        jobs: &[&Resolved<'_>],
        block: Option<Duration>,
    ) -> Vec<Result<u64, Error>> {
        let room = self.handle().unit_max();
        let timeout = block.unwrap_or(self.shared.enqueue_timeout);
        let mut answers = Vec::with_capacity(jobs.len());
        let (mut specs, mut size, mut ids) = (Vec::new(), 0, Vec::new());
        for (index, job) in jobs.iter().enumerate() {
            specs.push(job.spec());
            size += job.lane_size();
            let next_size = jobs.get(index + 1).map_or(room, |next| next.lane_size());
            if size + next_size > room || index + 1 == jobs.len() {
                self.enqueue_specs(&specs, timeout, &mut ids, &mut answers);
                specs.clear();
                size = 0;
            }
        }
        answers
    }

    fn enqueue_specs(
        &self,
        specs: &[Spec<'_>],
        timeout: Duration,
        ids: &mut Vec<i64>,
        answers: &mut Vec<Result<u64, Error>>,
    ) {
        let mut failure = self.handle().enqueue(specs, timeout, ids).err();
        for &id in &*ids {
            answers.push(match u64::try_from(id) {
                Ok(id) if id > 0 => Ok(id),
                // The sentence is about the first one that failed.
                _ => Err(failure.take().unwrap_or_else(|| {
                    let status = i32::try_from(id).unwrap_or(sys::HRT_ESYSTEM);
                    ffi::plain_error(if status == 0 {
                        sys::HRT_ETIMEOUT
                    } else {
                        status
                    })
                })),
            });
        }
    }

    /// A handle on a job known by its id.
    pub fn job(&self, id: u64) -> JobHandle {
        JobHandle {
            client: self.clone(),
            id,
        }
    }

    /// The runtime's number of this client, never used twice.
    pub fn incarnation(&self) -> u64 {
        self.handle().incarnation()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.shared.mailbox
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("incarnation", &self.incarnation())
            .finish()
    }
}

impl NewJob<'_, &Client> {
    /// Enqueues the job and waits until it is in the log, at the durability of its queue.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKind`], [`Error::UnknownQueue`], [`Error::TooLarge`], [`Error::Full`],
    /// [`Error::Draining`] and [`Error::Closed`]: the job was not taken. [`Error::Timeout`]: no
    /// acknowledgement came in time, it may still be taken.
    pub fn send(self) -> Result<JobHandle, Error> {
        let client = self.to;
        let job = self.resolve(client.handle())?;
        let answer = client.enqueue_resolved(&[&job], self.block).pop();
        let id = answer.unwrap_or_else(|| Err(ffi::plain_error(sys::HRT_EAGAIN)))?;
        Ok(client.job(id))
    }
}

/// A job in the log.
#[derive(Clone, Debug)]
pub struct JobHandle {
    client: Client,
    id: u64,
}

impl JobHandle {
    /// The job's id: the sequence number of its record in the log.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits until the job has ended. A result is kept as long as its queue or `result_ttl` says.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; [`Error::NotFound`] when the job ended and nothing of it was kept.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<Ended, Error> {
        self.client
            .mailbox()
            .result(self.client.handle(), self.id, timeout.into())
    }

    /// Cancels the job: at once if it waits; if it runs, its handler is asked to stop.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub fn cancel(&self) -> Result<(), Error> {
        self.client.handle().cancel(self.id)
    }
}

/// How a job ended for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Completed, with its result.
    Completed(Vec<u8>),
    /// A dead letter, with the text of its last error.
    Dead(String),
    /// Cancelled.
    Cancelled,
    /// Not started in time.
    Expired,
    /// Dropped by its handler, with the reason.
    Discarded(String),
}

impl Ended {
    /// Reads the result of a completed job as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] when the job did not complete, [`Error::Json`].
    #[cfg(feature = "serde")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Self::Completed(result) => Ok(serde_json::from_slice(result)?),
            other => Err(Error::new(sys::HRT_ESTATE, format!("the job is {other:?}"))),
        }
    }

    pub(crate) fn from_notice(code: i32, data: Vec<u8>) -> Result<Self, i32> {
        let text = |data: Vec<u8>| String::from_utf8_lossy(&data).into_owned();
        let Ok(state) = sys::hrt_job_state::try_from(code) else {
            return Err(code);
        };
        match state {
            sys::HRT_JOB_COMPLETED => Ok(Self::Completed(data)),
            sys::HRT_JOB_DEAD => Ok(Self::Dead(text(data))),
            sys::HRT_JOB_CANCELLED => Ok(Self::Cancelled),
            sys::HRT_JOB_EXPIRED => Ok(Self::Expired),
            sys::HRT_JOB_DISCARDED => Ok(Self::Discarded(text(data))),
            _ => Err(sys::HRT_ESTATE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_terminal_state_has_its_end() {
        let end = |state: u32| Ended::from_notice(state as i32, b"x".to_vec());
        assert_eq!(
            end(sys::HRT_JOB_COMPLETED),
            Ok(Ended::Completed(b"x".to_vec()))
        );
        assert_eq!(end(sys::HRT_JOB_DEAD), Ok(Ended::Dead("x".into())));
        assert_eq!(
            end(sys::HRT_JOB_DISCARDED),
            Ok(Ended::Discarded("x".into()))
        );
        assert_eq!(end(sys::HRT_JOB_RUNNING), Err(sys::HRT_ESTATE));
        let gone = Ended::from_notice(sys::HRT_ENOTFOUND, Vec::new());
        assert_eq!(gone, Err(sys::HRT_ENOTFOUND));
    }
}
