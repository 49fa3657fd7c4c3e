//! The worker's side: which kinds it serves, and its life from registering to draining.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::{Client, c_string};
use crate::context::Context;
use crate::crew::Crew;
use crate::error::Error;
use crate::ffi::Registration;
use crate::job::Job;
use crate::outcome::{BoxError, Outcome};
use crate::token::StopToken;
use crate::{panics, report};

#[cfg(feature = "serde")]
use crate::outcome::NonRetryable;

/// What a handler says at the end of its attempt.
type Answer = Result<Outcome, BoxError>;

pub(crate) type Handler = Box<dyn Fn(&Job<'_>, &Context<'_>) -> Answer + Send + Sync>;

/// Serves kinds of jobs: fetches them in batches, runs their handlers, settles them in batches.
///
/// ```no_run
/// use hybridrt::{Outcome, Worker};
///
/// Worker::builder()
///     .concurrency(4)
///     .handle("image.resize", |job, ctx| {
///         let name = std::str::from_utf8(job.payload())?;
///         ctx.progress(500, "half way")?;
///         Ok(Outcome::Result(format!("small {name}").into_bytes()))
///     })
///     .run()?;
/// # Ok::<(), hybridrt::Error>(())
/// ```
#[derive(Debug)]
pub struct Worker {
    client: Client,
    settings: WorkerBuilder,
}

/// Settings of a [`Worker`], from [`Worker::builder`].
#[must_use = "a worker works once it is run"]
pub struct WorkerBuilder {
    handlers: HashMap<String, Handler>,
    client: Option<Client>,
    concurrency: usize,
    credit: u32,
    version: String,
}

impl WorkerBuilder {
    /// Serves a kind. An `Err` fails the attempt: the job is retried as its queue says. So does a
    /// panic. An error wrapped into [`NonRetryable`](crate::NonRetryable) makes a dead letter.
    pub fn handle(
        mut self,
        kind: impl Into<String>,
        handler: impl Fn(&Job<'_>, &Context<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.handlers.insert(kind.into(), Box::new(handler));
        self
    }

    /// Serves a kind whose payload is JSON. A payload that cannot be read makes a dead letter.
    ///
    /// ```no_run
    /// # use hybridrt::{Outcome, Worker};
    /// #[derive(serde::Deserialize)]
    /// struct Resize { url: String, width: u32 }
    ///
    /// Worker::builder()
    ///     .handle_json("image.resize", |resize: Resize, _job, _ctx| {
    ///         println!("{} to {}", resize.url, resize.width);
    ///         Ok(Outcome::Done)
    ///     })
    ///     .run()?;
    /// # Ok::<(), hybridrt::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    pub fn handle_json<T: serde::de::DeserializeOwned>(
        self,
        kind: impl Into<String>,
        handler: impl Fn(T, &Job<'_>, &Context<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.handle(kind, move |job, context| {
            let value = job.json().map_err(|error| {
                NonRetryable::new(format!("the payload of a {} job: {error}", job.kind()))
            })?;
            handler(value, job, context)
        })
    }

    /// Runs so many handlers at a time; 1 otherwise. With 1 they run on the thread that calls
    /// `run`, which is also the fastest for handlers that do little.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// Limits the jobs that this worker holds, run or not; otherwise the runtime adapts it to the
    /// worker's pace.
    pub fn credit(mut self, jobs: u32) -> Self {
        self.credit = jobs;
        self
    }

    /// Sets the version of your worker that operators see.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Works through a client that is attached already, instead of attaching one.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Attaches and says which kinds are served.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::connect`](crate::ClientBuilder::connect), and [`Error::Invalid`] when a
    /// name cannot be one, or there is no handler.
    pub fn build(self) -> Result<Worker, Error> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => Client::connect()?,
        };
        let kinds: Result<Vec<CString>, Error> = self
            .handlers
            .keys()
            .map(|kind| c_string(kind.as_bytes()))
            .collect();
        let registration = Registration {
            version: &c_string(self.version.as_bytes())?,
            concurrency: u32::try_from(self.concurrency).unwrap_or(u32::MAX),
            credit: self.credit,
        };
        client.handle().register(&kinds?, &registration)?;
        Ok(Worker {
            client,
            settings: self,
        })
    }

    /// Builds the worker and runs it.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build) and [`Worker::run`].
    pub fn run(self) -> Result<(), Error> {
        self.build()?.run()
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("kinds", &self.handlers.keys())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Begins a worker.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder {
            handlers: HashMap::new(),
            client: None,
            concurrency: 1,
            credit: 0,
            version: String::new(),
        }
    }

    /// The worker's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Works until the runtime drains. Handlers that run then are finished and settled; jobs that
    /// have not begun go back uncounted.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the runtime is gone.
    pub fn run(&self) -> Result<(), Error> {
        self.run_until(&StopToken::new())
    }

    /// Works until the runtime drains or the token asks to stop, with the same grace.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_until(&self, token: &StopToken) -> Result<(), Error> {
        panics::install_hook();
        let stopping = Arc::new(AtomicBool::new(false));
        let listening = token.listen({
            let (stopping, client) = (stopping.clone(), self.client.clone());
            move || {
                stopping.store(true, Ordering::Release);
                client.handle().interrupt();
            }
        });
        let WorkerBuilder {
            handlers,
            concurrency,
            ..
        } = &self.settings;
        report::worker("starts", *concurrency);
        let ended = Crew::new(&self.client, handlers, *concurrency, &stopping).run();
        report::worker("ends", *concurrency);
        drop(listening);
        ended
    }
}
