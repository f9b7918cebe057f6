//! How events that were stored under an older schema become events of today's.
//!
//! An upcaster declares [`Lift`]s: which type and version it takes, and which types it makes of it at which version.
//! All of them together are a [`Chain`], which is checked as a whole before anything is lifted by it: it has no gap,
//! no cycle, and no event with two ways to go. A lift is code ([`Upcast`]) or declarative rules ([`rules`]).
//!
//! What data of a type looks like is for JSON Schemas to say ([`TypeSchemas`]), to which appends may be held.
//!
//! Pure: no IO, no tokio, no wall clock; how long lifting takes is bounded. What is stored never changes; where a chain comes from, and who reads through
//! it, is for others. Of an event a lift changes type, schema version, data and content type, and nothing else: where
//! it stands, what it is labelled with and when it was stored are the log's.

mod alone;
mod chain;
mod check;
mod circle;
mod commands;
mod effort;
mod lift;
mod lifted;
mod multiple;
mod outline;
mod page;
mod portion;
pub mod rules;
mod strict;
#[cfg(test)]
mod tests;
mod told;
mod types;

pub use alone::alone;
pub use chain::Chain;
pub use check::ChainError;
pub use commands::{CommandSchemaFile, CommandSchemas};
pub use effort::Allowance;
pub use lift::{Lift, NotUpcast, Step, Target, Upcast, Upcasted};
pub use lifted::{LiftError, PART_KEY};
pub use page::{SchemaView, UNLIFTED_KEY, lift_one, lift_page};
pub use portion::Portion;
pub use types::{FieldError, InvalidSchema, SchemaCell, SchemaFile, TypeSchema, TypeSchemas, Unfit};
