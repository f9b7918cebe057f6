//! Sends an append again when the connection is lost. Safe because every event has its id: what was
//! stored before the connection broke is found, not stored twice.
//!
//! And sends again what is about a plugin that may be among those that are being loaded: a server that says so has done
//! nothing.

use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::client::{Appends, ClientError};
use super::output::{shown, talk};
use super::query::Query;
use super::waiting::Behind;

/// Waits between attempts, in milliseconds; the first attempt is not counted.
const WAITS_MS: [u64; 5] = [100, 300, 1000, 3000, 5000];

/// Where an append's events stand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Stored {
    pub(super) first_position: u64,
    pub(super) last_position: u64,
    /// The plugins waited for that are behind.
    #[serde(default)]
    pub(super) behind: Vec<Behind>,
}

/// Posts an append; answers the body of the answer.
pub(super) fn append(to: &dyn Appends, path: &Query, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
    again(|| to.post(path.as_str(), content_type, body), may_succeed_later)
}

/// Sends what is about a plugin, again while plugins are being loaded.
pub(super) fn loaded<T>(send: impl FnMut() -> Result<T, ClientError>) -> Result<T, ClientError> {
    again(send, |error| matches!(error, ClientError::Refused(refusal) if refusal.problem.loading))
}

/// Sends something until it succeeds, fails for good, or has been tried often enough.
fn again<T>(
    mut send: impl FnMut() -> Result<T, ClientError>,
    may_succeed_later: impl Fn(&ClientError) -> bool,
) -> Result<T, ClientError> {
    let mut waits = WAITS_MS.iter();
    loop {
        let error = match send() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(wait_ms) = waits.next().filter(|_| may_succeed_later(&error)) else { return Err(error) };
        tracing::debug!(?error, wait_ms, "a request failed, trying again");
        if *wait_ms >= 1000 {
            talk(&format!("{}; trying again", told(&error)));
        }
        thread::sleep(Duration::from_millis(*wait_ms));
    }
}

/// What is waited for.
fn told(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refusal) if !refusal.problem.detail.is_empty() => {
            shown(&refusal.problem.detail, usize::MAX)
        }
        _ => "the server does not answer".into(),
    }
}

/// A lost connection, or a server about to restart.
fn may_succeed_later(error: &ClientError) -> bool {
    match error {
        ClientError::Connection { .. } => true,
        ClientError::Refused(refusal) => matches!(refusal.status, 429 | 503),
        ClientError::Untrusted { .. } | ClientError::Unreadable { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Refusal;

    #[test]
    fn what_finds_plugins_being_loaded_is_sent_again_and_no_other_refusal_is() {
        let refused = |body: &str| ClientError::Refused(Refusal::of(503, body.as_bytes()));
        let loading = r#"{"detail":"the plugins are being loaded","loading":true}"#;
        let mut sent = 0;
        let answer = loaded(|| {
            sent += 1;
            if sent == 1 { Err(refused(loading)) } else { Ok(sent) }
        });
        assert_eq!(answer.unwrap(), 2);
        let mut sent = 0;
        let answer: Result<(), _> = loaded(|| {
            sent += 1;
            Err(refused(r#"{"detail":"the plugin stopped"}"#))
        });
        assert!(matches!(answer, Err(ClientError::Refused(_))));
        assert_eq!(sent, 1);
    }
}
