//! What a guest logs, kept for who wants to read it back: a test, or the author of a plugin at work.
//!
//! The lines are those that the operator would get, within the same budget. Nothing is kept unless somebody asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Most lines that are kept until they are taken; what comes after is not.
const LINES_MAX: usize = 100_000;

/// A line that a guest logged. What it writes to its standard streams counts as `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// One of [`LogLine::LEVELS`].
    pub level: String,
    /// Its text, control characters replaced.
    pub message: String,
}

impl LogLine {
    /// The levels, the quietest first.
    pub const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];
}

/// Lines as they come. Cheap to clone; clones share them. The default keeps none.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Option<Arc<Mutex<Vec<LogLine>>>>);

impl Transcript {
    /// One that keeps lines.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// How many lines there are.
    pub(crate) fn mark(&self) -> usize {
        self.lines().map_or(0, |lines| lines.len())
    }

    /// Takes back what was said since a mark.
    pub(crate) fn back_to(&self, mark: usize) {
        if let Some(mut lines) = self.lines() {
            lines.truncate(mark);
        }
    }

    /// Takes every line.
    #[must_use]
    pub fn take(&self) -> Vec<LogLine> {
        self.lines().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }

    pub(super) fn add(&self, level: &str, message: &str) {
        if let Some(mut lines) = self.lines().filter(|lines| lines.len() < LINES_MAX) {
            lines.push(LogLine { level: level.into(), message: message.into() });
        }
    }

    fn lines(&self) -> Option<MutexGuard<'_, Vec<LogLine>>> {
        self.0.as_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_where_somebody_asked_and_can_be_taken_back() {
        let (kept, none) = (Transcript::kept(), Transcript::default());
        for transcript in [&kept, &none] {
            transcript.add("info", "one");
            let mark = transcript.mark();
            transcript.add("warn", "two");
            transcript.back_to(mark);
        }
        assert_eq!(none.take(), []);
        assert_eq!(kept.clone().take(), [LogLine { level: "info".into(), message: "one".into() }]);
        assert_eq!(kept.take(), [], "they were taken");
    }
}
