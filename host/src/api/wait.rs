//! Read your writes: a read that names a position waits until the log, or a plugin, has reached it.
//!
//! It never answers with less: what does not come in time is a problem with `Retry-After`, and a position
//! that cannot come in time is refused at once.

use std::time::Duration;

use tokio::sync::watch;

use super::params::{Params, bad_value};
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::event::{PluginName, Position};

/// How long a read waits unless told, in milliseconds.
pub(super) const TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// How long a read may ask to wait, in milliseconds.
pub(super) const TIMEOUT_MS_MAX: u64 = 60_000;
/// How far beyond the head a position may be that a read waits for: more than any log grows within the
/// longest wait.
const AHEAD_EVENTS_MAX: u64 = 100_000_000;

/// Takes `timeout_ms`.
pub(super) fn timeout(params: &Params) -> Result<Duration, Problem> {
    match params.number("timeout_ms")? {
        Some(given) if given > TIMEOUT_MS_MAX => {
            Err(bad_value("timeout_ms", &given.to_string(), &format!("give 0 to {TIMEOUT_MS_MAX}")))
        }
        given => Ok(Duration::from_millis(given.unwrap_or(TIMEOUT_MS_DEFAULT))),
    }
}

/// Waits until the log has come so far, if the request asks for it.
pub(super) async fn for_log(state: &ApiState, params: &Params) -> Result<(), Problem> {
    match AtLeast::parse(params)? {
        Some(at_least) => at_least.of_log(state).await,
        None => Ok(()),
    }
}

/// The position a read must have seen, and how long it waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtLeast {
    position: Position,
    timeout: Duration,
}

impl AtLeast {
    /// Takes `at_least` and `timeout_ms`.
    pub(super) fn parse(params: &Params) -> Result<Option<Self>, Problem> {
        let timeout = timeout(params)?;
        Ok(params.position("at_least")?.map(|position| Self { position, timeout }))
    }

    /// Holds what was found against the position.
    pub(super) fn check(self, found: Position, who: &str) -> Result<(), Problem> {
        if found >= self.position { Ok(()) } else { Err(self.not_reached(found, who)) }
    }

    /// Waits until the head of the log has reached the position.
    pub(super) async fn of_log(self, state: &ApiState) -> Result<(), Problem> {
        self.of(state, state.store().watch_head(), |head| *head, "the log").await
    }

    /// Waits until a running plugin has settled everything up to the position.
    pub(super) async fn of_plugin(self, state: &ApiState, plugin: &PluginName) -> Result<(), Problem> {
        match state.plugins().watch(plugin) {
            Some(status) => self.of(state, status, |status| status.checkpoint, &format!("plugin {plugin}")).await,
            None => Err(Problem::of_class(
                ErrorClass::Unavailable,
                format!("plugin {plugin} is not running, so it will not reach position {}", self.position),
            )
            .absent(true)),
        }
    }

    async fn of<T>(
        self,
        state: &ApiState,
        mut watched: watch::Receiver<T>,
        position: impl Fn(&T) -> Position,
        who: &str,
    ) -> Result<(), Problem> {
        let head = state.store().head();
        if self.position.0.saturating_sub(head.0) > AHEAD_EVENTS_MAX {
            let allowed = format!("the log ends at {head}, so give a position that an append answered");
            return Err(bad_value("at_least", &self.position.to_string(), &allowed).with("head", head.0));
        }
        let reached = tokio::select! {
            reached = watched.wait_for(|now| position(now) >= self.position) => reached.is_ok(),
            () = tokio::time::sleep(self.timeout) => false,
            () = state.closed() => false,
        };
        if reached {
            return Ok(());
        }
        let now = position(&watched.borrow());
        Err(self.not_reached(now, who))
    }

    fn not_reached(self, now: Position, who: &str) -> Problem {
        let detail = format!(
            "{who} is at position {now} and did not reach {} within {} ms; try again, or give a longer timeout_ms",
            self.position,
            self.timeout.as_millis()
        );
        Problem::new(ErrorClass::Unavailable, Kind::TimedOut, detail)
            .with("at_least", self.position.0)
            .with("position", now.0)
    }
}
