//! An event as the API answers it, and as people read it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::CliError;
use super::output::{Output, shown};

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
        format!("{position:>8}  {timestamp}  {event_type:<20}  {place:<20}  {}", shown(&self.data(), chars_max))
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
