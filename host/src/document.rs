//! TOML that somebody wrote by hand, read so that every complaint names the file and the line.
//!
//! A key that is not known is refused with the nearest known one, so that a typo never turns into a silent default.
//! What keys there are is for those to say whose file it is: `plugin.toml` and `tidemill.toml`. Nothing here touches
//! files.

mod advice;
mod error;
mod known;
mod reader;
#[cfg(test)]
pub(crate) mod schema_check;
mod units;

pub(crate) use advice::{grant, line_in, quoted};
pub use error::DocumentError;
pub(crate) use known::Known;
pub(crate) use reader::{Document, Section, Value, integer};
pub(crate) use units::{format_duration_ms, format_size};
