//! An event as the API answers it, and as people read it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::CliError;
use super::output::{Output, shown};
use crate::schema::UNLIFTED_KEY;

/// What of an event is shown in a row.
#[derive(Debug, Deserialize)]
pub(super) struct EventRow<'a> {
    position: u64,
    timestamp: String,
    #[serde(rename = "type")]
    event_type: String,
    stream: Option<String>,
    version: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    content_type: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Characters of data that a row shows on a terminal.
const DATA_CHARS: usize = 96;

/// Prints one event: its JSON, or a row.
pub(super) fn print_event(output: &mut Output<'_>, event: &RawValue, json: bool) -> Result<(), CliError> {
    if json {
        return output.json_line(event.get());
    }
    match serde_json::from_str::<EventRow<'_>>(event.get()) {
        Ok(row) => output.line(&row.format(output.is_terminal())),
        // A newer server may answer what this release cannot lay out; its words are better than nothing.
        Err(_) => output.json_line(event.get()),
    }
}

impl EventRow<'_> {
    fn format(&self, cut: bool) -> String {
        let Self { position, timestamp, event_type, .. } = self;
        let place = match (&self.stream, self.version) {
            (Some(stream), Some(version)) => format!("{stream}@{version}"),
            _ => "-".into(),
        };
        let chars_max = if cut { DATA_CHARS } else { usize::MAX };
        let data = shown(&self.data(), chars_max);
        let unlifted = self.metadata.get(UNLIFTED_KEY).map(|why| format!("  (as stored: {})", shown(why, usize::MAX)));
        let unlifted = unlifted.unwrap_or_default();
        format!("{position:>8}  {timestamp}  {event_type:<20}  {place:<20}  {data}{unlifted}")
    }

    fn data(&self) -> String {
        match (self.data, &self.data_base64) {
            (Some(data), _) => data.get().to_owned(),
            (None, Some(encoded)) => format!("{} in base64: {encoded}", self.content_type),
            // The one JSON value that an optional field cannot tell from its absence.
            (None, None) => "null".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_could_not_be_lifted_is_marked_in_its_row() {
        let row = |metadata: &str| {
            let event = format!(
                r#"{{"position":4,"timestamp":"t","type":"Bad","stream":null,"version":null,"data":1,
                "content_type":"application/json","metadata":{metadata}}}"#
            );
            serde_json::from_str::<EventRow<'_>>(&event).unwrap().format(true)
        };
        let marked = row(r#"{"$unlifted":"Bad 1: nothing lifts it"}"#);
        assert!(marked.ends_with("  1  (as stored: Bad 1: nothing lifts it)"), "{marked}");
        assert!(row(r#"{"actor":"ada"}"#).ends_with("  1"), "nothing else is told of metadata");
    }
}
