//! Write [Tidemill] plugins in Rust: typed events, durable state, one `export!` line.
//!
//! A plugin is a library crate (`crate-type = ["cdylib"]`) compiled for `wasm32-wasip2`. This is a
//! whole one:
//!
//! ```
//! use serde::Deserialize;
//! use tidemill_sdk::{Context, NewEvent, Outcome, export, typed};
//!
//! #[derive(Deserialize)]
//! enum Shop {
//!     OrderPlaced { order: String, total_cents: u64 },
//! }
//!
//! fn handle(event: Shop, ctx: &mut Context) -> Outcome {
//!     let Shop::OrderPlaced { order, total_cents } = event;
//!     ctx.state().add("orders", 1)?;
//!     if total_cents > 1_000_000 {
//!         let body = serde_json::json!({ "order": order, "total_cents": total_cents });
//!         ctx.append(NewEvent::json("BigOrderSeen", &body).stream(format!("order-{order}")))?;
//!     }
//!     Ok(())
//! }
//!
//! export!(typed(handle), append = ["BigOrderSeen"]);
//! ```
//!
//! # What to know
//! - The host calls the handler for each event that the plugin listens to, in position order. State
//!   writes and appended events commit together with the checkpoint, after the handler returned `Ok`;
//!   a failed attempt leaves nothing behind.
//! - `?` does what is right with most errors ([`Error`] has the table): a payload that does not decode
//!   rejects the event, a store that is not ready retries it. [`Failure`] and [`OrFail`] are for
//!   decisions of your own.
//! - A plugin has no files, network or environment, and no clock but the event's: [`Event::timestamp_us`]. Where it
//!   needs HTTP, a setting or a secret, `export!` says so: `http = ["https://api.example.com/v1/"]`,
//!   `config = ["currency"]`, `secrets = ["API_KEY"]`; the manifest must grant it.
//! - Keep in the subscriber only what can be computed again: instances are thrown away after any
//!   fault, on reload and on restart.
//! - A plugin may answer queries about its state, over HTTP and by `tidemill query`: `export!(handle, query = answer)`;
//!   see [`Projection`].
//! - Native builds, for `cargo test`, run on [`testing::Harness`] instead of a host.
//!
//! [Tidemill]: https://docs.rs/tidemill

mod aggregate;
#[doc(hidden)]
pub mod aggregate_bindings;
#[doc(hidden)]
pub mod bindings;
mod config;
mod description;
#[doc(hidden)]
pub mod description_bindings;
mod error;
mod event;
mod export;
mod failure;
mod host;
mod json;
pub mod log;
mod new_command;
mod new_event;
mod projection;
mod query;
mod recent;
mod state;
mod subscriber;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod typed;
mod upcaster;
#[doc(hidden)]
pub mod upcaster_bindings;
mod validator;
#[doc(hidden)]
pub mod validator_bindings;

#[doc(hidden)]
pub use aggregate::{Live, describe_aggregate};
#[doc(hidden)]
pub use export::{answer_query, describe_component, handle_batch};
#[doc(hidden)]
pub use upcaster::{declared_lifts, upcast};
pub use validator::{new_validator, validate_command};

pub use aggregate::{Aggregate, Asked};
pub use config::Config;
pub use description::Description;
pub use error::Error;
pub use event::{Event, EventId};
pub use failure::{Failure, OrFail, Outcome, Verdict};
pub use new_command::NewCommand;
pub use new_event::NewEvent;
pub use projection::{Answer, Answered, Projected, Projection, QueryError, ReadContext, ReadState, projection};
pub use query::Query;
pub use state::{Scan, State};
pub use subscriber::{Context, Subscriber};
pub use typed::{Typed, event_types, typed};
pub use upcaster::Lift;
pub use validator::{CheckedCommand, FieldError, Validator};
