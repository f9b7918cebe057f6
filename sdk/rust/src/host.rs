//! What the host offers: its imports in a component, and the fake of [`crate::testing`] elsewhere.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::dispatching::tidemill::plugin::dispatch;
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::tidemill::plugin::{append, config, log, state};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::fake::{append, config, dispatch, log, state};

pub(crate) use crate::bindings::dispatching::tidemill::plugin::dispatch::NewCommand;
pub(crate) use crate::bindings::exports::tidemill::plugin::bulk_subscriber::{Head, Span};
pub(crate) use crate::bindings::projection::exports::tidemill::plugin::projection::{Answer, QueryError, Request};
pub(crate) use crate::bindings::projection::tidemill::plugin::types::Payload as AnswerPayload;
pub(crate) use crate::bindings::tidemill::plugin::append::NewEvent;
pub(crate) use crate::bindings::tidemill::plugin::log::Level;
pub(crate) use crate::bindings::tidemill::plugin::state::Entry;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::bindings::tidemill::plugin::state::Page;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::bindings::tidemill::plugin::types::EventId;
pub(crate) use crate::bindings::tidemill::plugin::types::{Failure, HostError, Payload, Verdict};
