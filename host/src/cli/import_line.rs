//! One line of an export, made into an event to append.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::api::{ParsedEvent, parse_event};
use crate::event::{ACCEPTED_TYPE, COMMAND_KEY, COMMAND_TYPE, FAILED_TYPE, TOMBSTONE_TYPE, TRACKING_KEY};

/// Key of the metadata that tells when an imported event was stored first, as its `timestamp` was exported.
pub(super) const TIME_KEY: &str = "original_time";
/// Key of the metadata that tells which place of which source an imported event came from.
const SOURCE_KEY: &str = "original_tracking";
/// Where it is kept of which command an event was the outcome: commands are known where they were asked.
const COMMAND_OF_SOURCE_KEY: &str = "original_command";

type Fields = BTreeMap<String, Box<RawValue>>;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Imported {
    /// An event, as a line to append.
    Event { id: Uuid, text: String },
    /// The end of a stream, whose tombstone had this id.
    Deletion { stream: String, id: Uuid },
}

/// What is known of the lines before: the version that each stream had come to.
#[derive(Debug, Default)]
pub(super) struct Order(HashMap<String, u64>);

impl Order {
    /// Makes a line into what is to be done; none when it is blank.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(super) fn imported(&mut self, text: &str) -> Result<Option<Imported>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut fields: Fields = serde_json::from_str(text).map_err(|error| format!("not an event: {error}"))?;
        fields.remove("position");
        let (version, time): (Option<u64>, Option<String>) =
            (take(&mut fields, "version")?, take(&mut fields, "timestamp")?);
        let stream: Option<String> = get(&fields, "stream")?;
        let id: Option<Uuid> = get(&fields, "id")?;
        let id = id.ok_or("`id` is missing: an import sent again would store it twice; `tidemill append` takes it")?;
        let event_type: Option<String> = get(&fields, "type")?;
        self.check(stream.as_deref(), version)?;
        if event_type.as_deref() == Some(TOMBSTONE_TYPE) {
            let stream = stream.ok_or("it ends a stream, but `stream` is missing")?;
            return Ok(Some(Imported::Deletion { stream, id }));
        }
        if matches!(event_type.as_deref(), Some(COMMAND_TYPE | ACCEPTED_TYPE | FAILED_TYPE)) {
            // What the other store noted of a command, which changed nothing there.
            return Ok(None);
        }
        keep_origin(&mut fields, time)?;
        let text = serde_json::to_string(&fields).map_err(|error| error.to_string())?;
        let ParsedEvent { event, .. } = parse_event(&text)?;
        event.validate().map_err(|error| error.to_string())?;
        Ok(Some(Imported::Event { id, text }))
    }

    /// Checks that the versions of a stream rise.
    fn check(&mut self, stream: Option<&str>, version: Option<u64>) -> Result<(), String> {
        let (Some(stream), Some(version)) = (stream, version) else { return Ok(()) };
        match self.0.get_mut(stream) {
            Some(last) if *last >= version => Err(format!(
                "version {version} of stream {stream:?} stands behind its version {last}: sort the lines by position"
            )),
            Some(last) => {
                *last = version;
                Ok(())
            }
            None => {
                self.0.insert(stream.to_owned(), version);
                Ok(())
            }
        }
    }
}

/// Puts into the metadata what the store sets itself. What an earlier import put there stays.
fn keep_origin(fields: &mut Fields, time: Option<String>) -> Result<(), String> {
    let mut metadata: BTreeMap<String, String> = get(fields, "metadata")?.unwrap_or_default();
    for (key, kept) in [(TRACKING_KEY, SOURCE_KEY), (COMMAND_KEY, COMMAND_OF_SOURCE_KEY)] {
        if let Some(value) = metadata.remove(key) {
            metadata.entry(kept.to_owned()).or_insert(value);
        }
    }
    if let Some(time) = time {
        metadata.entry(TIME_KEY.to_owned()).or_insert(time);
    }
    fields.insert("metadata".to_owned(), to_raw_value(&metadata).map_err(|error| error.to_string())?);
    Ok(())
}

fn get<T: serde::de::DeserializeOwned>(fields: &Fields, name: &str) -> Result<Option<T>, String> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    serde_json::from_str(value.get()).map_err(|error| format!("`{name}`: {error}"))
}

fn take<T: serde::de::DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<Option<T>, String> {
    let value = get(fields, name)?;
    fields.remove(name);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    fn line(rest: &str) -> String {
        format!("{{\"position\":9,\"id\":\"{ID}\",{rest}}}")
    }

    #[test]
    fn what_the_store_sets_is_kept_in_the_metadata_and_the_payload_is_not_touched() {
        let given = line(
            r#""type":"T","timestamp":"2026-01-31T12:00:00.000001Z","data":{"b": 1.50,"a":2},"metadata":{"k":"v","$tracking":"7 s"}"#,
        );
        let Some(Imported::Event { text, .. }) = Order::default().imported(&given).unwrap() else { panic!("no event") };
        let event = parse_event(&text).unwrap().event;
        assert_eq!((event.id.to_string().as_str(), &event.data[..]), (ID, &br#"{"b": 1.50,"a":2}"#[..]));
        let kept: Vec<_> = event.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("k", "v"), (TIME_KEY, "2026-01-31T12:00:00.000001Z"), (SOURCE_KEY, "7 s")]);
        let again = line(r#""type":"T","timestamp":"2027-01-01T00:00:00Z","metadata":{"original_time":"first"}"#);
        let Some(Imported::Event { text, .. }) = Order::default().imported(&again).unwrap() else { panic!("no event") };
        assert_eq!(parse_event(&text).unwrap().event.metadata[TIME_KEY], "first");
    }

    #[test]
    fn streams_keep_their_order_and_their_ends() {
        let mut order = Order::default();
        assert!(order.imported(&line(r#""type":"T","stream":"s-1","version":3"#)).unwrap().is_some());
        assert!(order.imported(&line(r#""type":"T","stream":"s-2","version":1"#)).unwrap().is_some());
        let refused = order.imported(&line(r#""type":"T","stream":"s-1","version":3"#)).unwrap_err();
        assert!(refused.contains("version 3 of stream \"s-1\" stands behind its version 3"), "{refused}");
        let end = order.imported(&line(r#""type":"$stream-deleted","stream":"s-1","version":4,"data":{}"#)).unwrap();
        assert_eq!(end, Some(Imported::Deletion { stream: "s-1".into(), id: ID.parse().unwrap() }));
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let refused = |text: &str| Order::default().imported(text).unwrap_err();
        assert!(refused("{").starts_with("not an event: "));
        assert!(refused(r#"{"type":"T"}"#).contains("`id` is missing"));
        assert!(refused(&line(r#""type":"T","version":"x""#)).starts_with("`version`: "));
        assert!(refused(&line(r#""typ":"T""#)).contains("did you mean `type`?"));
        assert_eq!(Order::default().imported(""), Ok(None));
    }
}
