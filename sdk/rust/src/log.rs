//! Log lines for the operator, written at once, also by attempts that fail; a dead letter keeps the last.
//!
//! The macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info),
//! [`warn!`](crate::warn) and [`error!`](crate::error!) format and log in one go. The host drops and
//! counts what goes past the manifest's `log_bytes_per_batch`.

use std::fmt::{self, Display};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// For whoever works on the plugin.
    Debug,
    /// For the operator, in normal running.
    Info,
    /// Something odd that was dealt with.
    Warn,
    /// Something that needs a person.
    Error,
}

impl Level {
    fn to_host(self) -> host::Level {
        match self {
            Self::Trace => host::Level::Trace,
            Self::Debug => host::Level::Debug,
            Self::Info => host::Level::Info,
            Self::Warn => host::Level::Warn,
            Self::Error => host::Level::Error,
        }
    }
}

/// Writes one line.
pub fn log(level: Level, message: &str) {
    host::log::log(level.to_host(), message);
}

#[doc(hidden)]
pub fn log_fmt(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => log(level, text),
        None => log(level, &message.to_string()),
    }
}

/// Writes one line for whoever works on the plugin.
pub fn debug(message: impl Display) {
    log_fmt(Level::Debug, format_args!("{message}"));
}

/// Writes one line for the operator.
pub fn info(message: impl Display) {
    log_fmt(Level::Info, format_args!("{message}"));
}

/// Writes one line about something odd that was dealt with.
pub fn warn(message: impl Display) {
    log_fmt(Level::Warn, format_args!("{message}"));
}

/// Writes one line about something that needs a person.
pub fn error(message: impl Display) {
    log_fmt(Level::Error, format_args!("{message}"));
}

/// Logs a formatted line at level trace.
#[macro_export]
macro_rules! trace {
    ($($argument:tt)+) => { $crate::log::log_fmt($crate::log::Level::Trace, ::std::format_args!($($argument)+)) };
}

/// Logs a formatted line at level debug.
#[macro_export]
macro_rules! debug {
    ($($argument:tt)+) => { $crate::log::log_fmt($crate::log::Level::Debug, ::std::format_args!($($argument)+)) };
}

/// Logs a formatted line at level info.
#[macro_export]
macro_rules! info {
    ($($argument:tt)+) => { $crate::log::log_fmt($crate::log::Level::Info, ::std::format_args!($($argument)+)) };
}

/// Logs a formatted line at level warn.
#[macro_export]
macro_rules! warn {
    ($($argument:tt)+) => { $crate::log::log_fmt($crate::log::Level::Warn, ::std::format_args!($($argument)+)) };
}

/// Logs a formatted line at level error.
#[macro_export]
macro_rules! error {
    ($($argument:tt)+) => { $crate::log::log_fmt($crate::log::Level::Error, ::std::format_args!($($argument)+)) };
}

/// Makes panics write their text to the host's log, and then whatever they did before.
pub(crate) fn log_panics() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        log(Level::Error, &panic_line(panic));
        before(panic);
    }));
}

fn panic_line(panic: &PanicHookInfo<'_>) -> String {
    let text = panic.payload_as_str().unwrap_or("(no text)");
    match panic.location() {
        Some(place) => format!("panicked at {place}: {text}"),
        None => format!("panicked: {text}"),
    }
}
