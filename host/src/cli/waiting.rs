//! Read your writes: the options of commands that wait for the log, or for plugins.

use clap::Args;
use serde::Deserialize;

use super::error::{CliError, Exit};
use super::query::Query;

/// What a read must have seen.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct AtLeastArgs {
    /// Wait until the log (or the plugin, where its state is read) has reached this position
    #[arg(long, value_name = "POSITION")]
    pub(super) at_least: Option<u64>,
    /// How long to wait for that, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS", requires = "at_least")]
    pub(super) timeout_ms: Option<u64>,
}

/// Whom an append waits for.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct WaitForArgs {
    /// Wait until this plugin has handled the events; repeat, or separate by commas, for several
    #[arg(long, value_name = "PLUGIN", value_delimiter = ',')]
    pub(super) wait_for: Vec<String>,
    /// How long to wait for plugins, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS", requires = "wait_for")]
    pub(super) timeout_ms: Option<u64>,
}

/// A plugin that has not handled an append in time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Behind {
    plugin: String,
    checkpoint: u64,
    reason: String,
}

impl Query {
    /// Adds what the read must have seen.
    pub(super) fn with_at_least(self, args: &AtLeastArgs) -> Self {
        self.with_some("at_least", args.at_least).with_some("timeout_ms", args.timeout_ms)
    }

    /// Adds whom the append waits for.
    pub(super) fn with_wait_for(self, args: &WaitForArgs) -> Self {
        let query = args.wait_for.iter().fold(self, |query, plugin| query.with("wait_for", plugin));
        query.with_some("timeout_ms", args.timeout_ms)
    }
}

/// Fails if a plugin is behind. The events are stored: they are told of before.
pub(super) fn check(behind: &[Behind]) -> Result<(), CliError> {
    if behind.is_empty() {
        return Ok(());
    }
    let one =
        |Behind { plugin, checkpoint, reason }: &Behind| format!("{plugin} is at position {checkpoint}: {reason}");
    let who = behind.iter().map(one).collect::<Vec<_>>().join("; ");
    Err(CliError::new(Exit::Unavailable, format_args!("the events are stored, but not handled: {who}"))
        .hint("see `tidemill plugins ls`; appending them again is not needed"))
}
