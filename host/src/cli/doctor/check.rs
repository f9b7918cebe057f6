//! One thing that was looked at, and what was found.

use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::output::{Output, shown};

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    Server,
    Store,
    Data,
    Disk,
    Configuration,
    Plugins,
    Ports,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, but is worth a look.
    Unusual,
    /// Something does not work, or will not last.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) area: Area,
    pub(super) state: State,
    /// What was found.
    pub(super) what: String,
    /// What to do; none when nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Check {
    /// As it should be.
    pub(super) fn ok(area: Area, what: impl Into<String>) -> Self {
        Self { area, state: State::Ok, what: what.into(), advice: None }
    }

    /// Worth a look.
    pub(super) fn unusual(area: Area, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { area, state: State::Unusual, what: what.into(), advice: Some(advice.into()) }
    }

    /// To be mended.
    pub(super) fn wrong(area: Area, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { area, state: State::Wrong, what: what.into(), advice: Some(advice.into()) }
    }

    /// Prints it: a word, what was found, and what to do on a line of its own.
    pub(super) fn print(&self, output: &mut Output<'_>) -> Result<(), CliError> {
        let word = match self.state {
            State::Ok => "ok:",
            State::Unusual => "unusual:",
            State::Wrong => "wrong:",
        };
        output.line(&format!("{word:<8} {}", shown(&self.what, usize::MAX)))?;
        match &self.advice {
            Some(advice) => output.line(&format!("{:<8} {}", "", shown(advice, usize::MAX))),
            None => Ok(()),
        }
    }
}
