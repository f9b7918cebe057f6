//! What is seen from outside: structured logs on stderr, readable lines or JSON on request; metrics; what is sent
//! by OTLP.

pub mod metrics;
mod otlp;

use std::io::{IsTerminal as _, stderr};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

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
            Self::SetUpAlready => ErrorClass::Bug,
        }
    }
}

/// Sets up logging for the whole process. `levels` is a level or a list like `info,tidemill::store=debug`.
///
/// # Errors
/// When `levels` does not parse, or logging is set up already.
pub fn init(format: LogFormat, levels: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(levels)
        .map_err(|error| TelemetryError::BadLevel { given: levels.into(), reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let done = match format {
        LogFormat::Pretty => builder.with_ansi(stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    done.map_err(|_| TelemetryError::SetUpAlready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_is_named() {
        let error = init(LogFormat::Pretty, "tidemill=loud").unwrap_err();
        assert!(error.to_string().contains("tidemill=loud"), "{error}");
        assert_eq!(error.class(), ErrorClass::Invalid);
    }
}
