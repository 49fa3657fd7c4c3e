//! A token that asks a worker to stop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "signals")]
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

type Callback = Box<dyn Fn() + Send>;

/// Asks to stop, once and for all. Clones are the same token.
///
/// ```
/// use std::time::Duration;
/// use hybridrt::StopToken;
///
/// let token = StopToken::new();
/// let other = token.clone();
/// std::thread::spawn(move || other.stop());
/// assert!(token.wait(Duration::from_secs(10)));
/// ```
#[derive(Clone, Default)]
pub struct StopToken {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    listeners: Mutex<Listeners>,
    changed: Condvar,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    callbacks: BTreeMap<u64, Callback>,
}

impl StopToken {
    /// Makes a token that does not ask yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a token that SIGTERM and SIGINT stop. The second such signal ends the process at once,
    /// as it would without this.
    ///
    /// ```no_run
    /// use hybridrt::{Outcome, StopToken, Worker};
    ///
    /// let worker = Worker::builder().handle("nap", |_job, _ctx| Ok(Outcome::Done)).build()?;
    /// worker.run_until(&StopToken::on_signals()?)?;
    /// # Ok::<(), hybridrt::BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the system refuses a signal handler or a thread.
    #[cfg(feature = "signals")]
    pub fn on_signals() -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let token = Self::new();
        let listener = token.clone();
        let listen = move || {
            for signal in signals.forever() {
                if listener.is_stopped() {
                    // It ends the process; when it cannot, there is nothing left to do.
                    let _ = emulate_default_handler(signal);
                }
                listener.stop();
            }
        };
        std::thread::Builder::new()
            .name("hybridrt-signals".into())
            .spawn(listen)?;
        Ok(token)
    }

    /// Asks to stop.
    pub fn stop(&self) {
        let listeners = self.listeners();
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.changed.notify_all();
        for callback in listeners.callbacks.values() {
            callback();
        }
    }

    /// Whether `stop` was called.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// Waits for `stop`; false when the time passed first.
    pub fn wait(&self, timeout: Duration) -> bool {
        let waiting = |_: &mut Listeners| !self.is_stopped();
        let listeners = self.listeners();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(listeners, timeout, waiting);
        drop(waited);
        self.is_stopped()
    }

    /// Calls back on `stop`, also if that was before, until the guard is dropped. The callback must
    /// not use the token.
    pub(crate) fn listen(&self, callback: impl Fn() + Send + 'static) -> Listening<'_> {
        let mut listeners = self.listeners();
        if self.is_stopped() {
            callback();
        }
        let number = listeners.next;
        listeners.next += 1;
        listeners.callbacks.insert(number, Box::new(callback));
        Listening {
            token: self,
            number,
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.shared
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("stopped", &self.is_stopped())
            .finish()
    }
}

/// As long as it lives, its callback may be called.
pub(crate) struct Listening<'t> {
    token: &'t StopToken,
    number: u64,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.token.listeners().callbacks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_listener_is_called_whether_it_came_before_or_after_the_stop() {
        let calls = Arc::new(AtomicU32::new(0));
        let count = || {
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }
        };
        let token = StopToken::new();
        let before = token.listen(count());
        drop(token.listen(count()));
        assert!(!token.wait(Duration::ZERO));
        token.stop();
        let after = token.listen(count());
        assert!(token.wait(Duration::ZERO));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        drop((before, after));
    }
}
