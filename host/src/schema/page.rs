//! Pages of stored events as a reader of today's schema sees them.

use super::chain::Chain;
use super::portion::Portion;
use crate::event::{Filter, Query, RecordedEvent};

/// Metadata key of an event that a reader is shown as it is stored, although it is not of today's schema: why.
pub const UNLIFTED_KEY: &str = "$unlifted";

/// Which schema a reader asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaView {
    /// Today's: events are lifted.
    #[default]
    Current,
    /// As they are stored.
    Stored,
}

/// Lifts the events of a page that a query was asked for in today's types; what does not match it then is not shown.
/// An event that cannot be lifted is shown, where it is within `reach`, as it is stored, and says why. Answers those
/// as well to which it did not come before the portion was full, the first never. Blocks where a step is code.
#[must_use]
pub fn lift_page(
    mut portion: Portion<'_>,
    (query, reach): (&Query, &Filter),
    events: Vec<RecordedEvent>,
    backwards: bool,
) -> (Vec<RecordedEvent>, Vec<RecordedEvent>) {
    let mut lifted = Vec::with_capacity(events.len());
    let mut events = events.into_iter();
    for event in events.by_ref() {
        match portion.lift(&event) {
            Ok(Some(mut parts)) => {
                // They stand in the order that the reader goes.
                if backwards {
                    parts.reverse();
                }
                lifted.extend(parts.into_iter().filter(|part| query.matches(part)));
            }
            // Stored under a type that others are lifted from: whether it is asked for is seen now.
            Ok(None) if query.matches(&event) => lifted.push(event),
            Ok(None) => {}
            Err(error) if reach.matches(&event) => lifted.push(marked(event, error.to_string())),
            Err(_) => {}
        }
        if portion.is_full() {
            break;
        }
    }
    (lifted, events.collect())
}

/// One event as a reader of today's schema sees it, who gets exactly one: itself where it became several or none.
/// Blocks where a step is code.
#[must_use]
pub fn lift_one(chain: &Chain, event: RecordedEvent) -> RecordedEvent {
    let at = event.position;
    match chain.lift(&event).map(|parts| parts.map(|parts| <[_; 1]>::try_from(parts).map_err(|parts| parts.len()))) {
        Ok(None) => event,
        Ok(Some(Ok([lifted]))) => lifted,
        Ok(Some(Err(0))) => marked(event, format!("event {at} is dropped in today's schema")),
        Ok(Some(Err(parts))) => {
            let after = at.0.saturating_sub(1);
            let read = format!("read them by after={after} and limit=1");
            marked(event, format!("event {at} is {parts} events in today's schema; {read}"))
        }
        Err(error) => marked(event, error.to_string()),
    }
}

fn marked(mut event: RecordedEvent, why: String) -> RecordedEvent {
    event.metadata.insert(UNLIFTED_KEY.into(), why);
    event
}
