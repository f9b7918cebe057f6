//! `tidemill events read`.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::CliError;
use super::event_row::print_event;
use super::output::{Output, talk};
use super::query::{FilterArgs, Query};
use super::schema_args::SchemaArgs;
use super::suggest;
use super::waiting::AtLeastArgs;

/// Events asked for at a time.
const PAGE_EVENTS: u64 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill events read --stream order-42                     one stream
  tidemill events read --type 'Order*' --backwards -n 10     the last ten of some types
  tidemill events read --since 2026-01-31T12:00:00Z          what was stored from then on
  tidemill events read --json | jq .data                     one JSON object a line
  tidemill events read --data ./pond                         without a server")]
pub(super) struct ReadArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Only events after this position
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<u64>,
    /// Only events before this position
    #[arg(long, value_name = "POSITION")]
    pub(super) before: Option<u64>,
    /// Only events stored at this time or later, as in RFC 3339: 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Only events stored before this time, as in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Fail if retention removed events that were asked for
    #[arg(long)]
    pub(super) complete: bool,
    /// Newest first
    #[arg(long)]
    pub(super) backwards: bool,
    /// Stop after so many events [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) schema: SchemaArgs,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

/// A page of events, each as it came.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) head: u64,
    pub(super) removed_before: Option<u64>,
    pub(super) next: Option<String>,
}

/// Prints events, page by page.
pub(super) fn run(args: &ReadArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut path = query(args).with("limit", &left.clamp(1, PAGE_EVENTS).to_string()).as_str().to_owned();
    let (mut told, mut found) = (false, false);
    while left > 0 {
        let page: Page = client.get_path(&path)?;
        if let Some(before) = page.removed_before.filter(|_| !std::mem::replace(&mut told, true)) {
            talk(&removed(before));
        }
        for event in page.events.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            print_event(output, event, args.source.json)?;
        }
        output.flush()?;
        left = left.saturating_sub(page.events.len() as u64);
        found |= !page.events.is_empty();
        match page.next {
            Some(next) => path = next,
            None => break,
        }
    }
    if !found {
        suggest::types(&args.filter, client);
    }
    Ok(())
}

/// What is said of removed events.
pub(super) fn removed(before: u64) -> String {
    format!("events before position {before} may be missing: retention removed some")
}

fn query(args: &ReadArgs) -> Query {
    Query::path(&["v1", "events"])
        .with_filter(&args.filter)
        .with_some("after", args.after)
        .with_some("before", args.before)
        .with_some("since", args.since.as_ref())
        .with_some("until", args.until.as_ref())
        .with_some("complete", args.complete.then_some("true"))
        .with_some("direction", args.backwards.then_some("backwards"))
        .with_schema(args.schema)
        .with_at_least(&args.at_least)
}
