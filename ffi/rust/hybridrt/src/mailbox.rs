//! Hands what the runtime tells a client to whoever waits for it.
//!
//! There is no thread for this: of those who wait, one polls for all, and the next takes over when
//! it leaves. So an idle client costs nothing, and a result wakes its waiter directly.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hybridrt_sys as sys;

use crate::client::Ended;
use crate::error::Error;
use crate::ffi::{Handle, Notice, plain_error};
use crate::report;

/// Cancelled attempts remembered at most; the oldest leases are forgotten first.
const CANCELLED_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    polling: bool,
    watched: HashMap<u64, Watch>,
    /// By token, so that the first ones are the oldest.
    cancelled: BTreeMap<(u64, u64), i32>,
}

#[derive(Default)]
struct Watch {
    waiters: usize,
    ended: Option<Result<Ended, i32>>,
}

impl Mailbox {
    /// Waits until a job has ended.
    pub fn result(
        &self,
        handle: &Handle,
        job: u64,
        timeout: Option<Duration>,
    ) -> Result<Ended, Error> {
        self.lock().watched.entry(job).or_default().waiters += 1;
        let ended = handle.watch(job).and_then(|()| {
            self.wait(handle, timeout, |state| {
                state.watched.get(&job)?.ended.clone()
            })
        });
        let mut state = self.lock();
        if let Some(watch) = state.watched.get_mut(&job) {
            watch.waiters -= 1;
            if watch.waiters == 0 {
                state.watched.remove(&job);
            }
        }
        match ended? {
            Some(Ok(ended)) => Ok(ended),
            Some(Err(status)) => Err(plain_error(status)),
            None => {
                let sentence = format!(
                    "job {job} did not end within {:?}",
                    timeout.unwrap_or_default()
                );
                Err(Error::new(sys::HRT_ETIMEOUT, sentence))
            }
        }
    }

    /// Waits until an attempt is asked to stop; false when the time passed first.
    pub fn cancelled(
        &self,
        handle: &Handle,
        job: u64,
        token: u64,
        timeout: Option<Duration>,
    ) -> Result<bool, Error> {
        let code = self.wait(handle, timeout, |state| {
            state.cancelled.get(&(token, job)).copied()
        })?;
        Ok(code.is_some())
    }

    /// Forgets that these attempts (token, job) were asked to stop: they have ended.
    pub fn forget(&self, attempts: impl Iterator<Item = (u64, u64)>) {
        let mut state = self.lock();
        if state.cancelled.is_empty() {
            return;
        }
        for attempt in attempts {
            state.cancelled.remove(&attempt);
        }
    }

    /// Takes what is there without waiting.
    pub fn drain(&self, handle: &Handle) -> Result<(), Error> {
        self.wait(handle, Some(Duration::ZERO), |_| None::<()>)
            .map(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(
        &self,
        handle: &Handle,
        timeout: Option<Duration>,
        mut pick: impl FnMut(&State) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        let mut last = false;
        loop {
            if let Some(found) = pick(&state) {
                return Ok(Some(found));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if last || (state.polling && left == Some(Duration::ZERO)) {
                return Ok(None);
            }
            // Look once more after the time has passed: a zero timeout still takes what is there.
            last = left == Some(Duration::ZERO);
            state = if state.polling {
                self.sleep(state, left)
            } else {
                self.poll(state, handle, left)?
            };
        }
    }

    fn sleep<'s>(
        &'s self,
        state: MutexGuard<'s, State>,
        left: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        match left {
            Some(left) => match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            },
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Polls for everybody, and lets the others look at what came, or take over.
    fn poll<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        handle: &Handle,
        left: Option<Duration>,
    ) -> Result<MutexGuard<'s, State>, Error> {
        state.polling = true;
        drop(state);
        let mut notices = Vec::new();
        let polled = handle.poll(&mut notices, left);
        let mut state = self.lock();
        state.polling = false;
        for notice in notices {
            state.sort(notice);
        }
        self.changed.notify_all();
        match polled {
            Err(error) if !error.has_status(sys::HRT_EAGAIN) => Err(error),
            _ => Ok(state),
        }
    }
}

impl State {
    fn sort(&mut self, notice: Notice) {
        let Notice {
            kind,
            job,
            token,
            code,
            data,
        } = notice;
        match kind {
            sys::HRT_DELIVERY_RESULT => {
                if let Some(watch) = self.watched.get_mut(&job) {
                    watch.ended = Some(Ended::from_notice(code, data));
                }
            }
            sys::HRT_DELIVERY_CANCEL => {
                self.cancelled.insert((token, job), code);
                if self.cancelled.len() > CANCELLED_MAX {
                    self.cancelled.pop_first();
                }
            }
            sys::HRT_DELIVERY_REFUSED => report::refused(job, token, code),
            _ => {}
        }
    }
}
