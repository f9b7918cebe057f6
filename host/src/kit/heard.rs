//! Whether a plugin listens to what a fixture hands it: what it does not listen to it is never handed, so nothing that is
//! expected of it says anything.

use crate::event::{Filter, Pattern, RecordedEvent, StreamName};
use crate::nearest::nearest;

/// The events of `when` that are not handed over: of each, why.
pub(super) fn unheard(filter: &Filter, when: &[RecordedEvent]) -> Vec<String> {
    let unheard = when.iter().enumerate().filter(|(_, event)| !filter.matches(event));
    unheard.map(|(index, event)| format!("event {index} of `when` {}", why(filter, event))).collect()
}

fn why(filter: &Filter, event: &RecordedEvent) -> String {
    let given = event.event_type.as_str();
    if filter.matches_type(given) {
        let what = if filter.matches_stream(event.stream.as_ref().map(StreamName::as_str)) {
            "has not the tags"
        } else {
            "is of no stream"
        };
        return format!("{what} to which it listens");
    }
    let known: Vec<_> = filter.types.iter().filter_map(Pattern::exact).collect();
    match nearest(given, &known) {
        Some(meant) => format!("is of the type {given}, to which it does not listen; did you mean {meant}?"),
        None => format!("is of the type {given}, to which it does not listen"),
    }
}
