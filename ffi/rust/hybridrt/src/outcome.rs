//! How an attempt ends, and how what a handler returned is told to the runtime.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use hybridrt_sys as sys;

/// Any error a handler may return.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Levels of `Error::source` that are written into the text of a failed attempt.
const SOURCES_MAX: usize = 16;

/// The end of an attempt, as its handler sees it. An `Err` from a handler means "retry".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The job is done and has no result to keep.
    Done,
    /// The job is done; the bytes are kept as its result for the queue's time to live.
    Result(Vec<u8>),
    /// The attempt failed. Run the job again after this time, if it has attempts left.
    RetryAfter(Duration),
    /// Not a failure: run the job again after this time. No attempt is used.
    Snooze(Duration),
    /// Not a failure: run the job again at this time of the wall clock. No attempt is used.
    SnoozeUntil(SystemTime),
    /// Not a failure: the job goes back to its place in the queue for another worker, with what it
    /// saved. No attempt is used. For handlers that see that their worker drains.
    HandBack,
    /// Drop the job, for this reason.
    Discard(String),
    /// Make the job a dead letter, for this reason.
    Dead(String),
}

impl Outcome {
    /// A result, written as JSON.
    ///
    /// # Errors
    ///
    /// When `value` cannot be written as JSON.
    #[cfg(feature = "serde")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, BoxError> {
        Ok(Self::Result(serde_json::to_vec(value)?))
    }
}

/// Wraps an error that another attempt would only repeat: the job becomes a dead letter.
///
/// ```
/// use hybridrt::{BoxError, NonRetryable};
///
/// fn parse(text: &str) -> Result<u32, BoxError> {
///     Ok(text.parse().map_err(NonRetryable::new)?)
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Debug)]
pub struct NonRetryable(BoxError);

impl NonRetryable {
    /// Wraps an error, or a text.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for NonRetryable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for NonRetryable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// An outcome in the words of the C library.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict<'a> {
    pub outcome: u8,
    pub delay_ns: u64,
    pub data: Cow<'a, [u8]>,
}

/// The queue decides when a failed job runs again.
const QUEUE_BACK_OFF: u64 = u64::MAX;

impl<'a> Verdict<'a> {
    pub fn ok(result: Vec<u8>) -> Self {
        Self::new(sys::HRT_OUTCOME_OK, 0, result.into())
    }

    pub fn retry(text: impl Into<Cow<'a, str>>) -> Self {
        Self::told(sys::HRT_OUTCOME_RETRY, QUEUE_BACK_OFF, text.into())
    }

    pub fn dead(text: impl Into<Cow<'a, str>>) -> Self {
        Self::told(sys::HRT_OUTCOME_DEAD, 0, text.into())
    }

    pub fn returned() -> Self {
        Self::new(sys::HRT_OUTCOME_RETURNED, 0, Cow::Borrowed(&[]))
    }

    /// What a handler's answer means. `now` is the wall clock.
    pub fn judge(answer: Result<Outcome, BoxError>, now: impl FnOnce() -> SystemTime) -> Self {
        let snooze = |delay| Self::new(sys::HRT_OUTCOME_SNOOZE, nanoseconds(delay), Cow::default());
        match answer {
            Ok(Outcome::Done) => Self::ok(Vec::new()),
            Ok(Outcome::Result(bytes)) if bytes.len() > sys::HRT_RESULT_MAX as usize => {
                Self::dead(format!(
                    "the result of {} bytes is over the limit of {}",
                    bytes.len(),
                    sys::HRT_RESULT_MAX
                ))
            }
            Ok(Outcome::Result(bytes)) => Self::ok(bytes),
            Ok(Outcome::RetryAfter(delay)) => {
                let text = format!("the handler asked to be run again after {delay:?}");
                Self::told(sys::HRT_OUTCOME_RETRY, nanoseconds(delay), text.into())
            }
            Ok(Outcome::Snooze(delay)) => snooze(delay),
            Ok(Outcome::SnoozeUntil(time)) => {
                snooze(time.duration_since(now()).unwrap_or_default())
            }
            Ok(Outcome::HandBack) => Self::returned(),
            Ok(Outcome::Discard(reason)) => Self::told(sys::HRT_OUTCOME_DISCARD, 0, reason.into()),
            Ok(Outcome::Dead(reason)) => Self::dead(reason),
            Err(error) if is_non_retryable(&*error) => Self::dead(describe(&*error)),
            Err(error) => Self::retry(describe(&*error)),
        }
    }

    /// Whether the job ends with this, so that its follow-up jobs are wanted. When it runs again,
    /// the next attempt enqueues them again.
    pub fn ends_job(&self) -> bool {
        let ends = [
            sys::HRT_OUTCOME_OK,
            sys::HRT_OUTCOME_DISCARD,
            sys::HRT_OUTCOME_DEAD,
        ];
        ends.contains(&u32::from(self.outcome))
    }

    /// The text that goes along, empty for a result.
    #[cfg(any(test, feature = "tracing"))]
    pub fn text(&self) -> Cow<'_, str> {
        match u32::from(self.outcome) {
            sys::HRT_OUTCOME_OK => Cow::default(),
            _ => String::from_utf8_lossy(&self.data),
        }
    }

    fn told(outcome: sys::hrt_outcome, delay_ns: u64, text: Cow<'a, str>) -> Self {
        let data = match text {
            Cow::Borrowed(text) => Cow::Borrowed(cut(text).as_bytes()),
            Cow::Owned(mut text) => {
                text.truncate(cut(&text).len());
                Cow::Owned(text.into_bytes())
            }
        };
        Self::new(outcome, delay_ns, data)
    }

    fn new(outcome: sys::hrt_outcome, delay_ns: u64, data: Cow<'a, [u8]>) -> Self {
        Self {
            outcome: outcome as u8,
            delay_ns,
            data,
        }
    }
}

/// The longest start of `text` that fits an error text and ends at a character.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(sys::HRT_ERROR_MAX as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A duration as the library counts it; more than 584 years are as good as these.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(QUEUE_BACK_OFF - 1)
}

/// An error with all that lies behind it.
type Chain<'e> = &'e (dyn StdError + 'static);

/// The error and what caused it, outermost first.
fn sources<'e>(error: Chain<'e>) -> impl Iterator<Item = Chain<'e>> {
    std::iter::successors(Some(error), |&error| error.source()).take(SOURCES_MAX)
}

fn is_non_retryable(error: Chain<'_>) -> bool {
    sources(error).any(|error| error.is::<NonRetryable>())
}

/// The error and its sources, as "outer: inner".
fn describe(error: Chain<'_>) -> String {
    let mut text = String::new();
    for source in sources(error) {
        let part = source.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(answer: Result<Outcome, BoxError>) -> Verdict<'static> {
        Verdict::judge(answer, || SystemTime::UNIX_EPOCH + Duration::from_secs(100))
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let second = Duration::from_secs(1);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let cases = [
            (judge(Ok(Outcome::Done)), sys::HRT_OUTCOME_OK, 0),
            (judge(Ok(Outcome::HandBack)), sys::HRT_OUTCOME_RETURNED, 0),
            (
                judge(Ok(Outcome::RetryAfter(second))),
                sys::HRT_OUTCOME_RETRY,
                1_000_000_000,
            ),
            (
                judge(Ok(Outcome::Snooze(second))),
                sys::HRT_OUTCOME_SNOOZE,
                1_000_000_000,
            ),
            (
                judge(Ok(Outcome::SnoozeUntil(at(101)))),
                sys::HRT_OUTCOME_SNOOZE,
                1_000_000_000,
            ),
            (
                judge(Ok(Outcome::SnoozeUntil(at(99)))),
                sys::HRT_OUTCOME_SNOOZE,
                0,
            ),
            (judge(Err("no".into())), sys::HRT_OUTCOME_RETRY, u64::MAX),
            (
                judge(Err(NonRetryable::new("no").into())),
                sys::HRT_OUTCOME_DEAD,
                0,
            ),
        ];
        for (verdict, outcome, delay_ns) in cases {
            assert_eq!(
                (u32::from(verdict.outcome), verdict.delay_ns),
                (outcome, delay_ns)
            );
        }
    }

    #[test]
    fn a_result_over_the_limit_makes_a_dead_letter_that_says_so() {
        let limit = sys::HRT_RESULT_MAX as usize;
        assert_eq!(judge(Ok(Outcome::Result(vec![0; limit]))).data.len(), limit);
        let verdict = judge(Ok(Outcome::Result(vec![0; limit + 1])));
        assert_eq!(u32::from(verdict.outcome), sys::HRT_OUTCOME_DEAD);
        assert_eq!(
            verdict.text(),
            "the result of 65537 bytes is over the limit of 65536"
        );
    }

    #[test]
    fn a_non_retryable_error_is_found_below_other_errors() {
        #[derive(Debug)]
        struct Outer(NonRetryable);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cannot resize")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let verdict = judge(Err(Outer(NonRetryable::new("bad input")).into()));
        assert_eq!(u32::from(verdict.outcome), sys::HRT_OUTCOME_DEAD);
        assert_eq!(verdict.text(), "cannot resize: bad input");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = "é".repeat(4000);
        assert_eq!(cut(&text).len(), 4096);
        assert_eq!(cut(&format!("x{text}")).len(), 4095);
        assert_eq!(judge(Err(text.into())).data.len(), 4096);
    }

    #[test]
    fn only_an_end_commits_follow_up_jobs() {
        assert!(judge(Ok(Outcome::Done)).ends_job());
        assert!(judge(Ok(Outcome::Discard(String::new()))).ends_job());
        assert!(!judge(Ok(Outcome::Snooze(Duration::ZERO))).ends_job());
        assert!(!judge(Err("no".into())).ends_job());
    }
}
