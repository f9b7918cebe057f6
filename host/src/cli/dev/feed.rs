//! The events that a plugin under development is handed: of its fixtures, of a server, or of a file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::EVENTS_MAX;
use crate::cli::client::Client;
use crate::cli::error::{CliError, Exit};
use crate::cli::events_read::Page;
use crate::cli::query::{FilterArgs, Query};
use crate::error::with_sources;
use crate::event::{Filter, Pattern};
use crate::kit::{Fixture, KitError, Written};

/// Events asked for at a time.
const PAGE_EVENTS: u64 = 1000;
/// The folder of a project's fixtures.
const FIXTURES: &str = "fixtures";

/// Events to be handled, and what must come of them, if anything.
pub(super) struct Feed {
    /// Where they come from.
    pub(super) from: PathBuf,
    pub(super) fixture: Fixture,
    /// Where each stands in a server's log; empty where that says nothing.
    pub(super) positions: Vec<u64>,
    /// How many of them were shown before.
    pub(super) shown: usize,
}

/// The fixtures of a project. Those that are none are told by themselves.
pub(super) fn fixtures(folder: &Path) -> Result<Vec<Result<Feed, CliError>>, CliError> {
    let files = Fixture::files(&folder.join(FIXTURES));
    let files = files.map_err(|error| {
        failed(&error).hint("write one, or give events by --events FILE or --server URL; `tidemill plugins test --help` shows what a fixture is")
    })?;
    let read = |from: PathBuf| {
        let text = fs::read_to_string(&from).map_err(|error| failed(&KitError::unreadable(&from, &error)))?;
        let fixture = Fixture::parse(&from, &text).map_err(|error| failed(&error))?;
        Ok(Feed { from, fixture, positions: Vec::new(), shown: 0 })
    };
    Ok(files.into_iter().map(read).collect())
}

/// Events of a server's log that a plugin listens to.
pub(super) fn of_server(from: u64, limit: u64, filter: &Filter, client: &Client) -> Result<Feed, CliError> {
    let mut left = limit;
    let query =
        Query::path(&["v1", "events"]).with_filter(&asked(filter)).with("after", &from.saturating_sub(1).to_string());
    let mut path = query.with("limit", &left.min(PAGE_EVENTS).to_string()).as_str().to_owned();
    let mut events = Vec::new();
    while left > 0 {
        let page: Page = client.get_path(&path)?;
        let take = page.events.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        for event in page.events.iter().take(take) {
            events.push(Written::parse(event.get()).map_err(|reason| unreadable(event, &reason))?);
        }
        left -= take as u64;
        match page.next {
            Some(next) if !page.events.is_empty() => path = next,
            _ => break,
        }
    }
    let Client::Server(server) = client else { return Err(CliError::usage("only a server is asked for events")) };
    Ok(feed(server.url().to_string().into(), events))
}

/// The events of a file.
pub(super) fn of_file(file: &Path, limit: Option<u64>) -> Result<Feed, CliError> {
    let text = fs::read_to_string(file).map_err(|error| failed(&KitError::unreadable(file, &error)))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let event = |(index, line): (usize, &str)| {
        let number = index + 1;
        Written::parse(line)
            .map_err(|reason| CliError::usage(format_args!("{}, line {number}: {reason}", file.display())))
    };
    // One more than may be: then it is told, and nothing is passed over.
    let take = usize::try_from(limit.unwrap_or(EVENTS_MAX + 1)).unwrap_or(usize::MAX);
    let events: Vec<_> = lines.take(take).map(event).collect::<Result<_, _>>()?;
    if events.len() as u64 > EVENTS_MAX {
        let what = format!("{} has more than {EVENTS_MAX} events", file.display());
        return Err(CliError::usage(what).hint("give --limit N to take the first of them"));
    }
    Ok(feed(file.into(), events))
}

/// Tells of an event of a server's log that cannot be read, with its place.
fn unreadable(event: &RawValue, reason: &str) -> CliError {
    #[derive(Deserialize)]
    struct Placed {
        position: u64,
    }
    let placed = serde_json::from_str::<Placed>(event.get());
    let which =
        placed.map_or_else(|_| "an event".into(), |Placed { position }| format!("the event at position {position}"));
    CliError::new(Exit::Failure, format_args!("{which} of the server's log cannot be read: {reason}"))
}

/// Events as they were read, as they are appended: the scratch store gives them positions and versions of its own.
fn feed(from: PathBuf, mut when: Vec<Written>) -> Feed {
    let mut positions = Vec::with_capacity(when.len());
    for event in &mut when {
        positions.extend(event.take_position());
    }
    if positions.len() != when.len() {
        positions.clear();
    }
    Feed { from, fixture: Fixture { when, ..Fixture::default() }, positions, shown: 0 }
}

/// A plugin's filter, as the options of commands say it.
fn asked(filter: &Filter) -> FilterArgs {
    let Filter { types, streams, tags } = filter;
    let texts = |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    FilterArgs {
        types: texts(types),
        streams: texts(streams),
        tags: tags.iter().map(ToString::to_string).collect(),
        categories: Vec::new(),
    }
}

pub(super) fn failed(error: &KitError) -> CliError {
    CliError::new(error.class().into(), with_sources(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_handed_over_without_what_a_store_gives() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = "{\"type\":\"A\",\"position\":7,\"version\":2,\"timestamp\":\"2026-01-01T00:00:00Z\"}\n\n{\"type\":\"B\",\"position\":9}\n";
        fs::write(file.path(), lines).unwrap();
        let found = of_file(file.path(), None).unwrap();
        assert_eq!(found.positions, [7, 9]);
        assert_eq!(found.fixture.when[0].to_string(), r#"{"timestamp":"2026-01-01T00:00:00Z","type":"A"}"#);
        assert_eq!(of_file(file.path(), Some(1)).unwrap().fixture.when.len(), 1);
        let odd = r#"{"type":"A","data":{"n":1e400,"a":1}}"#;
        fs::write(file.path(), odd).unwrap();
        let found = of_file(file.path(), None).unwrap();
        assert_eq!(serde_json::to_string(&found.fixture.when).unwrap(), r#"[{"data":{"n":1e400,"a":1},"type":"A"}]"#);
        fs::write(file.path(), "{\"type\":\"A\"}\n[]\n").unwrap();
        let Err(CliError::Failed { exit, what, .. }) = of_file(file.path(), Some(9)) else {
            panic!("a list is no event")
        };
        assert!(exit == Exit::Usage && what.ends_with("line 2: it is no JSON object"), "{what}");
    }

    #[test]
    fn an_event_that_cannot_be_read_is_told_with_its_position() {
        let text = r#"{"position":7,"type":"A","metadata":{"a":1e400},"data":1e400}"#;
        let event = RawValue::from_string(text.to_owned()).unwrap();
        let reason = Written::parse(event.get()).unwrap_err();
        let CliError::Failed { what, .. } = unreadable(&event, &reason) else { panic!("{reason}") };
        assert!(what.starts_with("the event at position 7 of the server's log cannot be read: `metadata`"), "{what}");
    }
}
