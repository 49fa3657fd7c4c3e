//! What can go wrong, by family, each with the sentence that the C library wrote about it.

use std::fmt;

use hybridrt_sys as sys;

/// A status of the C library with its sentence: what, where, why, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    status: i32,
    sentence: String,
}

impl Detail {
    /// The negative `enum hrt_status`, as in `hybridrt/abi.h`.
    pub fn status(&self) -> i32 {
        self.status
    }

    /// The sentence for people.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

/// Everything that a call into hybridrt may fail with.
///
/// The variants are families of statuses: match on them to decide, print them to explain.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range, or a name or key cannot be one.
    Invalid(Detail),
    /// A payload, a result or a whole settle is over its limit.
    TooLarge(Detail),
    /// No such kind is known to the runtime.
    UnknownKind(Detail),
    /// No such queue is declared.
    UnknownQueue(Detail),
    /// The queue, the log, the disk or a fixed table is full. Trying again later may help.
    Full(Detail),
    /// The runtime takes or hands out no more jobs: it drains.
    Draining(Detail),
    /// The time limit passed.
    Timeout(Detail),
    /// The runtime is gone, or the client belongs to the process before a fork.
    Closed(Detail),
    /// The runtime cannot be reached, or refused this client.
    Unreachable(Detail),
    /// No such job, or its answer is no longer kept.
    NotFound(Detail),
    /// The lease is not the current one, or the job is in another state.
    Stale(Detail),
    /// The system or the disk reported an error.
    System(Detail),
    /// A value could not be turned into JSON, or JSON into a value.
    #[cfg(feature = "serde")]
    Json(serde_json::Error),
}

impl Error {
    pub(crate) fn new(status: i32, sentence: impl Into<String>) -> Self {
        let detail = Detail {
            status,
            sentence: sentence.into(),
        };
        match status {
            sys::HRT_EINVAL | sys::HRT_ENAME => Self::Invalid(detail),
            sys::HRT_ETOOLARGE => Self::TooLarge(detail),
            sys::HRT_EKIND => Self::UnknownKind(detail),
            sys::HRT_EQUEUE => Self::UnknownQueue(detail),
            sys::HRT_EFULL
            | sys::HRT_ELOGFULL
            | sys::HRT_ENOSPC
            | sys::HRT_ENOMEM
            | sys::HRT_ELIMIT => Self::Full(detail),
            sys::HRT_EDRAIN | sys::HRT_EPAUSED => Self::Draining(detail),
            sys::HRT_ETIMEOUT | sys::HRT_EAGAIN => Self::Timeout(detail),
            sys::HRT_ECLOSED | sys::HRT_EFORK => Self::Closed(detail),
            sys::HRT_EREACH | sys::HRT_EPERM | sys::HRT_EVERSION | sys::HRT_EBUSY => {
                Self::Unreachable(detail)
            }
            sys::HRT_ENOTFOUND | sys::HRT_EGONE => Self::NotFound(detail),
            sys::HRT_ESTALE | sys::HRT_ESTATE => Self::Stale(detail),
            _ => Self::System(detail),
        }
    }

    /// Status and sentence, unless the error did not come from the C library.
    pub fn detail(&self) -> Option<&Detail> {
        match self {
            Self::Invalid(detail)
            | Self::TooLarge(detail)
            | Self::UnknownKind(detail)
            | Self::UnknownQueue(detail)
            | Self::Full(detail)
            | Self::Draining(detail)
            | Self::Timeout(detail)
            | Self::Closed(detail)
            | Self::Unreachable(detail)
            | Self::NotFound(detail)
            | Self::Stale(detail)
            | Self::System(detail) => Some(detail),
            #[cfg(feature = "serde")]
            Self::Json(_) => None,
        }
    }

    pub(crate) fn has_status(&self, status: i32) -> bool {
        self.detail().is_some_and(|detail| detail.status == status)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "serde")]
            Self::Json(error) => write!(f, "JSON: {error}"),
            other => f.write_str(other.detail().map_or("", Detail::sentence)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "serde")]
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(feature = "serde")]
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_finds_its_family_and_keeps_its_sentence() {
        let error = Error::new(sys::HRT_EFULL, "queue images is full");
        assert!(matches!(error, Error::Full(_)));
        assert_eq!(error.to_string(), "queue images is full");
        assert_eq!(error.detail().map(Detail::status), Some(sys::HRT_EFULL));
        assert!(error.has_status(sys::HRT_EFULL));
    }

    #[test]
    fn a_status_from_a_newer_library_is_a_system_error() {
        assert!(matches!(Error::new(-999, "news"), Error::System(_)));
    }
}
