//! What a handler says about an event that it could not handle.

use std::fmt::{self, Display};

use crate::host;

/// What a handler answers: done, or a [`Failure`] for this event.
pub type Outcome<T = ()> = Result<T, Failure>;

/// What is to become of an event that was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again: after so many milliseconds, which counts no attempt, or by the manifest's backoff, which does.
    Retry {
        /// Milliseconds to wait; none for the manifest's backoff.
        after_ms: Option<u64>,
    },
    /// The event is bad and always will be: set it aside as a dead letter at once.
    Reject,
    /// Stop the plugin before this event until an operator acts.
    Stop,
}

/// Why an event was not handled, and what is to become of it.
///
/// The reason is for people: it stands in the log and in the dead letter; the host cuts it at 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    verdict: Verdict,
    reason: String,
}

impl Failure {
    /// The world is not ready: try again by the manifest's backoff.
    pub fn retry(reason: impl Display) -> Self {
        Self::new(Verdict::Retry { after_ms: None }, reason)
    }

    /// The world is not ready: try again after this many milliseconds.
    pub fn retry_after(after_ms: u64, reason: impl Display) -> Self {
        Self::new(Verdict::Retry { after_ms: Some(after_ms) }, reason)
    }

    /// The event is bad and always will be: make it a dead letter at once.
    pub fn reject(reason: impl Display) -> Self {
        Self::new(Verdict::Reject, reason)
    }

    /// The plugin must not go on: stop it before this event until an operator acts.
    pub fn stop(reason: impl Display) -> Self {
        Self::new(Verdict::Stop, reason)
    }

    /// A failure with this verdict.
    pub fn new(verdict: Verdict, reason: impl Display) -> Self {
        Self { verdict, reason: reason.to_string() }
    }

    /// What is to become of the event.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// As the contract has it, for the event at this index of the batch.
    pub(crate) fn at(self, index: usize) -> host::Failure {
        let verdict = match self.verdict {
            Verdict::Retry { after_ms } => host::Verdict::Retry(after_ms),
            Verdict::Reject => host::Verdict::Reject,
            Verdict::Stop => host::Verdict::Stop,
        };
        host::Failure { index: u32::try_from(index).unwrap_or(u32::MAX), verdict, reason: self.reason }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

/// Turns any error, or a missing value, into a [`Failure`] with a verdict and a text of your choice.
///
/// ```
/// use tidemill_sdk::{OrFail, Outcome};
///
/// fn cents(text: &str) -> Outcome<u64> {
///     text.parse().or_reject("price")
/// }
/// assert_eq!(cents("ten").unwrap_err().reason(), "price: invalid digit found in string");
/// ```
pub trait OrFail<T> {
    /// Rejects the event.
    ///
    /// # Errors
    /// When there is no value.
    fn or_reject(self, what: impl Display) -> Outcome<T>;

    /// Asks for a retry.
    ///
    /// # Errors
    /// When there is no value.
    fn or_retry(self, what: impl Display) -> Outcome<T>;

    /// Stops the plugin.
    ///
    /// # Errors
    /// When there is no value.
    fn or_stop(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_reject(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure::reject(format_args!("{what}: {error}")))
    }

    fn or_retry(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure::retry(format_args!("{what}: {error}")))
    }

    fn or_stop(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure::stop(format_args!("{what}: {error}")))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_reject(self, what: impl Display) -> Outcome<T> {
        self.ok_or_else(|| Failure::reject(what))
    }

    fn or_retry(self, what: impl Display) -> Outcome<T> {
        self.ok_or_else(|| Failure::retry(what))
    }

    fn or_stop(self, what: impl Display) -> Outcome<T> {
        self.ok_or_else(|| Failure::stop(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_boundary_with_its_index() {
        let failure = Failure::retry_after(250, "bank closed").at(3);
        let verdict = host::Verdict::Retry(Some(250));
        assert_eq!(failure, host::Failure { index: 3, verdict, reason: "bank closed".into() });
        assert_eq!(Failure::reject("bad").at(0).verdict, host::Verdict::Reject);
        assert_eq!(Failure::stop("full").at(0).verdict, host::Verdict::Stop);
    }

    #[test]
    fn missing_values_and_errors_become_failures() {
        assert_eq!(None::<u8>.or_stop("no key"), Err(Failure::stop("no key")));
        assert_eq!("x".parse::<u8>().or_retry("n").unwrap_err().verdict(), Verdict::Retry { after_ms: None });
    }
}
