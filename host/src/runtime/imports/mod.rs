//! The host's side of the contract: one file per interface, each a thin adapter onto [`Effects`].
//!
//! Bounds, grants and causes are checked by [`Effects`], once for every kind of handler.
//!
//! [`Effects`]: crate::delivery::Effects

mod append;
mod config;
mod dispatch;
mod log;
mod state;

pub(super) use append::payload;

use super::bindings::types;
use super::guest::Guest;
use crate::delivery::{EffectError, Effects};

impl types::Host for Guest {}

impl Guest {
    /// The effects of the call in progress, or what a guest is told outside of one.
    fn effects(&mut self) -> Result<&mut Effects, types::HostError> {
        self.effects.as_mut().ok_or_else(|| {
            types::HostError::Denied(
                "state and append are there while a batch is handled or a query is answered, not at start and not in `describe`".into(),
            )
        })
    }

    /// What a guest is told of a refused call.
    fn refusal(&self, error: EffectError) -> types::HostError {
        match error {
            EffectError::Invalid(text) => types::HostError::Invalid(text),
            EffectError::Denied(text) => {
                self.denied(&text);
                types::HostError::Denied(text)
            }
            EffectError::TooDeep { ref reason, ref correlation_id } => {
                self.options.denials.note(&self.options.plugin, reason, Some(correlation_id));
                types::HostError::LimitExceeded(error.to_string())
            }
            EffectError::NoRoom(text) => {
                self.denied(&text);
                types::HostError::LimitExceeded(text)
            }
            EffectError::LimitExceeded(text) => types::HostError::LimitExceeded(text),
            EffectError::Store(error) => {
                // The store's own words name paths of the host: they are for the operator.
                tracing::warn!(plugin = %self.options.plugin, %error, "the store failed a plugin's call");
                types::HostError::Unavailable("the store could not answer; report `retry`".into())
            }
        }
    }
}
