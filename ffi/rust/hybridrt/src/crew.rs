//! The threads of a worker, and how jobs go through them.
//!
//! Every thread does the same: it takes a share of the jobs that are here, runs them one after the
//! other, and settles them in one call. When there are none, one thread fetches the next batch and
//! the others wait for it. So with one thread there is no hand-over at all, and with many, a batch
//! costs one fetch call and each share one settle call.
//!
//! A share holds up to 1/threads of a batch. If one of its jobs takes long, those behind it and the
//! ends of those before it must not wait: a sweeper, awake only while somebody holds a share of
//! more than one job, takes them away after a while.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use hybridrt_sys as sys;

use crate::batch::{Batch, Held};
use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::ffi::{Leased, Settler};
use crate::job::Job;
use crate::outcome::Verdict;
use crate::worker::Handler;
use crate::{panics, report};

/// Jobs of one fetch at most.
const FETCH_MAX: usize = 512;
/// A fetch that brought nothing for so long is begun again.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// A share that made no progress for so long is taken away, but for the job that runs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) struct Crew<'c> {
    client: &'c Client,
    handlers: &'c HashMap<String, Handler>,
    stopping: &'c AtomicBool,
    unit_max: usize,
    state: Mutex<State<'c>>,
    /// Somebody may take a share or fetch.
    work: Condvar,
    /// The sweeper has something to watch, or may end.
    sweep: Condvar,
    shares: Vec<Mutex<Share<'c>>>,
}

#[derive(Default)]
struct State<'c> {
    queue: VecDeque<Leased<'c>>,
    fetching: bool,
    sweeping: bool,
    /// No more jobs will come.
    done: bool,
    /// All threads but the sweeper have ended.
    ended: bool,
    failure: Option<Error>,
}

/// What one thread has taken: jobs to run, and the ends of those that ran.
#[derive(Default)]
struct Share<'c> {
    jobs: VecDeque<Leased<'c>>,
    batch: Batch,
    begun_count: u64,
}

/// What one thread keeps from job to job.
#[derive(Default)]
struct Member<'c> {
    fetched: Vec<Leased<'c>>,
    held: Mutex<Held>,
    spare: Batch,
    settler: Settler,
    /// Handlers by the number of their kind, as far as seen.
    known: Vec<Option<&'c Handler>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves all to the back of the queue; without a copy when it is empty, as it mostly is.
fn take_all<T>(queue: &mut VecDeque<T>, new: &mut Vec<T>) {
    if queue.is_empty() {
        let emptied = mem::replace(queue, mem::take(new).into());
        *new = emptied.into();
    } else {
        queue.extend(new.drain(..));
    }
}

/// What a lock guards, while nobody else can know of it.
fn unlocked<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl<'c> Crew<'c> {
    pub fn new(
        client: &'c Client,
        handlers: &'c HashMap<String, Handler>,
        concurrency: usize,
        stopping: &'c AtomicBool,
    ) -> Self {
        Self {
            client,
            handlers,
            stopping,
            unit_max: client.handle().unit_max(),
            state: Mutex::default(),
            work: Condvar::new(),
            sweep: Condvar::new(),
            shares: (0..concurrency).map(|_| Mutex::default()).collect(),
        }
    }

    /// Works until no more jobs come. The calling thread is one of the crew.
    pub fn run(self) -> Result<(), Error> {
        thread::scope(|scope| {
            scope.spawn(|| self.watch_shares());
            let others: Vec<_> = (1..self.shares.len())
                .map(|index| {
                    scope.spawn({
                        let crew = &self;
                        move || crew.work(index)
                    })
                })
                .collect();
            self.work(0);
            for other in others {
                // Handlers' panics are caught; another one is a bug of this file, to be seen.
                if let Err(panic) = other.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            lock(&self.state).ended = true;
            self.sweep.notify_one();
        });
        let failure = lock(&self.state).failure.take();
        failure.map_or(Ok(()), Err)
    }

    fn work(&self, index: usize) {
        let mut member = Member::default();
        while self.take_share(index, &mut member.fetched) {
            self.run_share(index, &mut member);
        }
    }

    fn is_winding_down(&self) -> bool {
        self.stopping.load(Ordering::Acquire) || self.client.handle().is_draining()
    }

    /// Waits for jobs and takes some. False when no more will come.
    fn take_share(&self, index: usize, fetched: &mut Vec<Leased<'c>>) -> bool {
        let mut state = lock(&self.state);
        loop {
            if !state.queue.is_empty() {
                self.claim(&mut state, index);
                return true;
            }
            if state.done {
                return false;
            }
            state = if state.fetching {
                self.work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            } else {
                self.fetch(state, fetched)
            };
        }
    }

    fn claim(&self, state: &mut State<'c>, index: usize) {
        let threads = self.shares.len();
        let count = (state.queue.len() / threads).max(1);
        let mut share = lock(&self.shares[index]);
        if count == state.queue.len() {
            // The thread's own is empty, or it would not be here: no need to copy.
            mem::swap(&mut share.jobs, &mut state.queue);
        } else {
            share.jobs.extend(state.queue.drain(..count));
        }
        drop(share);
        if threads > 1 {
            self.work.notify_one();
        }
        if count > 1 && !state.sweeping {
            state.sweeping = true;
            self.sweep.notify_one();
        }
    }

    /// Fetches for everybody, without the lock.
    fn fetch<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<'c>>,
        fetched: &mut Vec<Leased<'c>>,
    ) -> MutexGuard<'s, State<'c>> {
        if self.stopping.load(Ordering::Acquire) {
            self.finish(&mut state, None);
            return state;
        }
        state.fetching = true;
        drop(state);
        let answer = self
            .client
            .handle()
            .fetch(fetched, FETCH_MAX, Some(FETCH_TIMEOUT));
        let mut state = lock(&self.state);
        state.fetching = false;
        take_all(&mut state.queue, fetched);
        match answer {
            Ok(()) => {}
            Err(error) if error.has_status(sys::HRT_EAGAIN) => {}
            Err(error) if error.has_status(sys::HRT_EDRAIN) => self.finish(&mut state, None),
            Err(error) => self.finish(&mut state, Some(error)),
        }
        state
    }

    fn finish(&self, state: &mut State<'c>, failure: Option<Error>) {
        state.done = true;
        if state.failure.is_none() {
            state.failure = failure;
        }
        self.work.notify_all();
    }

    fn run_share(&self, index: usize, member: &mut Member<'c>) {
        let mut share = lock(&self.shares[index]);
        while let Some(job) = share.jobs.pop_front() {
            share.begun_count += 1;
            drop(share);
            let verdict = self.run_job(&job, member);
            let needed = Batch::needed(&verdict, unlocked(&mut member.held));
            share = lock(&self.shares[index]);
            if share.batch.lane_size() + needed > self.unit_max {
                share = self.flush(share, index, member);
            }
            let (id, token) = job.give_away();
            let held = unlocked(&mut member.held);
            share.batch.push(id, token, &verdict, held);
        }
        drop(self.flush(share, index, member));
    }

    /// Settles what a share has gathered, without its lock.
    fn flush<'s>(
        &'s self,
        mut share: MutexGuard<'s, Share<'c>>,
        index: usize,
        member: &mut Member<'c>,
    ) -> MutexGuard<'s, Share<'c>> {
        mem::swap(&mut share.batch, &mut member.spare);
        drop(share);
        self.settle(&mut member.spare, &mut member.settler);
        lock(&self.shares[index])
    }

    fn run_job(&self, leased: &Leased<'c>, member: &mut Member<'c>) -> Verdict<'static> {
        if self.is_winding_down() {
            return Verdict::returned();
        }
        let job = Job::new(leased, self.client.handle());
        let Some(handler) = self.handler(&mut member.known, leased.fields().kind) else {
            let text = format!("this worker does not serve the kind {}", job.kind());
            return Verdict::retry(text);
        };
        leased.begin();
        let context = Context::new(self.client, &job, &member.held, self.stopping);
        let run = || report::in_span(&job, || handler(&job, &context));
        let verdict = match panics::catch(run) {
            Ok(answer) => Verdict::judge(answer, SystemTime::now),
            Err(text) => Verdict::retry(text),
        };
        report::ended(&job, &verdict);
        verdict
    }

    fn handler(&self, known: &mut Vec<Option<&'c Handler>>, kind: u16) -> Option<&'c Handler> {
        let index = usize::from(kind);
        if index >= known.len() {
            known.resize(index + 1, None);
        }
        if known[index].is_none() {
            known[index] = self.handlers.get(self.client.handle().kind_name(kind));
        }
        known[index]
    }

    /// Publishes the ends of attempts and empties the batch.
    fn settle(&self, batch: &mut Batch, settler: &mut Settler) {
        if batch.is_empty() {
            return;
        }
        let handle = self.client.handle();
        let settled = settler.settle(handle, batch);
        let mailbox = self.client.mailbox();
        let drained = mailbox.drain(handle);
        mailbox.forget(batch.entries().iter().map(|entry| (entry.token, entry.job)));
        batch.clear();
        if let Err(error) = settled.and(drained) {
            self.finish(&mut lock(&self.state), Some(error));
        }
    }

    /// The sweeper's life.
    fn watch_shares(&self) {
        let mut begun_counts = vec![0; self.shares.len()];
        let (mut spare, mut settler) = (Batch::default(), Settler::default());
        let mut state = lock(&self.state);
        while !state.ended {
            if !state.sweeping {
                state = self
                    .sweep
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Also ends early when there is nothing more to watch for.
            let waited = self.sweep.wait_timeout(state, SWEEP_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.sweeping = false;
            drop(state);
            let mut sweeping = false;
            for (share, begun_count) in self.shares.iter().zip(&mut begun_counts) {
                sweeping |= self.sweep_share(share, begun_count, &mut spare);
                self.settle(&mut spare, &mut settler);
            }
            state = lock(&self.state);
            state.sweeping |= sweeping;
        }
    }

    /// Takes a share away if its thread is still busy with the job of the last look. True while
    /// there is something to watch.
    fn sweep_share(
        &self,
        share: &Mutex<Share<'c>>,
        begun_count: &mut u64,
        spare: &mut Batch,
    ) -> bool {
        let mut share = lock(share);
        if *begun_count != share.begun_count {
            *begun_count = share.begun_count;
            return !share.jobs.is_empty() || !share.batch.is_empty();
        }
        mem::swap(&mut share.batch, spare);
        let jobs = mem::take(&mut share.jobs);
        drop(share);
        if !jobs.is_empty() {
            self.give_back(jobs);
        }
        false
    }

    /// Puts jobs in front again, and sees to it that an idle thread notices.
    fn give_back(&self, jobs: VecDeque<Leased<'c>>) {
        let mut state = lock(&self.state);
        for job in jobs.into_iter().rev() {
            state.queue.push_front(job);
        }
        self.work.notify_one();
        if state.fetching {
            self.client.handle().interrupt();
        }
    }
}
