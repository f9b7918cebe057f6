//! What is seen from outside: structured logs on stderr, readable lines or JSON on request; metrics; what is sent
//! by OTLP.

mod lines;
pub mod metrics;
mod otlp;

use std::io::stderr;
use std::sync::OnceLock;

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use lines::Fields;
pub(crate) use lines::escaped;
pub use otlp::Otlp;

use crate::error::ErrorClass;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal
    #[default]
    Pretty,
    /// One JSON object a line
    Json,
}

/// Why there will be no logs.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The levels do not parse.
    #[error(
        "log level {given:?} is not understood ({reason}); give error, warn, info, debug or trace, or target=level pairs"
    )]
    BadLevel {
        /// What was given.
        given: String,
        /// The parser's words.
        reason: String,
    },
    /// Nobody logs here.
    #[error("logging is not set up")]
    NotSetUp,
    /// Somebody else logs already.
    #[error("logging is set up already")]
    SetUpAlready,
}

impl TelemetryError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::BadLevel { .. } => ErrorClass::Invalid,
            Self::SetUpAlready | Self::NotSetUp => ErrorClass::Bug,
        }
    }
}

/// Sets up logging for the whole process. `levels` is a level or a list like `info,tidemill::store=debug`; lines for
/// people are coloured if asked.
///
/// # Errors
/// When `levels` does not parse, or logging is set up already.
pub fn init(format: LogFormat, levels: &str, coloured: bool) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(levels)?).with_writer(stderr);
    let (done, set): (_, SetFilter) = match format {
        LogFormat::Pretty => {
            let builder = builder.fmt_fields(Fields::default()).with_ansi(coloured).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
        }
    };
    done.map_err(|_| TelemetryError::SetUpAlready)?;
    SET_FILTER.set(set).map_err(|_| TelemetryError::SetUpAlready)
}

/// Puts another filter in place of the one that decides what is logged; false when nobody logs.
type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// Logging belongs to the process, so this does too.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// From now on logs so much.
///
/// # Errors
/// When `levels` does not parse, or logging is not set up.
pub fn set_levels(levels: &str) -> Result<(), TelemetryError> {
    let filter = filter(levels)?;
    let is_set = SET_FILTER.get().is_some_and(|set| set(filter));
    if is_set { Ok(()) } else { Err(TelemetryError::NotSetUp) }
}

/// Levels as they were given, if they parse.
///
/// # Errors
/// When they do not.
pub fn levels(text: &str) -> Result<String, TelemetryError> {
    filter(text).map(|_| text.to_owned())
}

fn filter(levels: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(levels)
        .map_err(|error| TelemetryError::BadLevel { given: levels.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_is_named() {
        let error = init(LogFormat::Pretty, "tidemill=loud", false).unwrap_err();
        assert!(error.to_string().contains("tidemill=loud"), "{error}");
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
}
