//! What can go wrong in a call of this crate.

use std::fmt;

use crate::host::HostError;
use crate::{Failure, Verdict};

/// Why a call of this crate failed. In a handler, `?` turns it into a [`Failure`]:
///
/// | error | verdict | why |
/// |---|---|---|
/// | [`Decode`](Self::Decode), [`Encode`](Self::Encode), [`Invalid`](Self::Invalid) | reject | comes from this event's data and will come again |
/// | [`Unavailable`](Self::Unavailable), [`LimitExceeded`](Self::LimitExceeded), [`Other`](Self::Other) | retry | may pass; attempts are counted |
/// | [`Denied`](Self::Denied), [`State`](Self::State), [`Config`](Self::Config) | stop | the plugin is installed wrongly: the events are fine and must not become dead letters one by one |
///
/// Match on it, or use [`OrFail`](crate::OrFail), where another verdict suits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The event's payload is not what the handler expects.
    Decode {
        /// The event's type.
        event_type: String,
        /// Where in the payload and why, as serde tells it.
        detail: String,
    },
    /// A value cannot be written as JSON.
    Encode {
        /// What it was for.
        what: String,
        /// Why, as serde tells it.
        detail: String,
    },
    /// The value under a state key is not what the handler expects.
    State {
        /// The key.
        key: String,
        /// Why it does not decode.
        detail: String,
    },
    /// A configuration key is missing or its value is not what the handler expects.
    Config {
        /// The key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// The host found an argument out of bounds or malformed; its text says which.
    Invalid(String),
    /// The plugin's grants do not allow it; the host's text names the manifest line that would.
    Denied(String),
    /// A limit of the plugin is used up; the host's text names it.
    LimitExceeded(String),
    /// The store could not answer just now.
    Unavailable(String),
    /// An error of a later contract.
    Other(String),
}

impl Error {
    /// The verdict that `?` gives it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Decode { .. } | Self::Encode { .. } | Self::Invalid(_) => Verdict::Reject,
            Self::Unavailable(_) | Self::LimitExceeded(_) | Self::Other(_) => Verdict::Retry { after_ms: None },
            Self::Denied(_) | Self::State { .. } | Self::Config { .. } => Verdict::Stop,
        }
    }
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(text) => Self::Invalid(text),
            HostError::Denied(text) => Self::Denied(text),
            HostError::LimitExceeded(text) => Self::LimitExceeded(text),
            HostError::Unavailable(text) => Self::Unavailable(text),
            HostError::Other(text) => Self::Other(text),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.verdict(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { event_type, detail } => write!(f, "payload of {event_type}: {detail}"),
            Self::Encode { what, detail } => write!(f, "{what} cannot be written as JSON: {detail}"),
            Self::State { key, detail } => write!(f, "state under `{key}` is not as this version expects: {detail}"),
            Self::Config { key, detail } => write!(f, "config key `{key}` of the manifest: {detail}"),
            Self::Invalid(text)
            | Self::Denied(text)
            | Self::LimitExceeded(text)
            | Self::Unavailable(text)
            | Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_errors_get_the_verdict_of_the_table() {
        let verdict = |error: HostError| Failure::from(Error::from(error)).verdict();
        let retry = Verdict::Retry { after_ms: None };
        assert_eq!(verdict(HostError::Unavailable(String::new())), retry);
        assert_eq!(verdict(HostError::LimitExceeded(String::new())), retry);
        assert_eq!(verdict(HostError::Other(String::new())), retry);
        assert_eq!(verdict(HostError::Invalid(String::new())), Verdict::Reject);
        assert_eq!(verdict(HostError::Denied(String::new())), Verdict::Stop);
    }

    #[test]
    fn the_hosts_text_is_the_reason() {
        let denied = Error::from(HostError::Denied("grant it".into()));
        assert_eq!(Failure::from(denied), Failure::stop("grant it"));
    }
}
