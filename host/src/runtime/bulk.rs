//! Handing a batch over in bulk: a head of numbers for each event, and one blob for the rest of them.
//!
//! Both buffers are kept between calls, so nothing is allocated for an event. What the event before has
//! too (its type, its stream) is not written again.

use super::batch;
use super::bindings::{BulkParams, EventId, Head, Span};
use crate::event::{RecordedEvent, StreamName};

/// Bytes of the blob kept between calls; a larger one is given back. A full page of events fits.
const KEEP_BYTES_MAX: usize = 8 << 20;
/// Heads kept between calls.
const KEEP_HEADS_MAX: usize = 1 << 10;
/// Bit of `head.traits`: the payload is JSON.
const TRAIT_JSON: u32 = 1;

/// A batch in the form that crosses.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    heads: Vec<Head>,
    blob: Vec<u8>,
}

impl Bulk {
    /// Writes a batch in place of the last one, and answers what to call with.
    pub(super) fn write(&mut self, batch: &[RecordedEvent]) -> wasmtime::Result<BulkParams<'_>> {
        self.heads.clear();
        self.heads.shrink_to(KEEP_HEADS_MAX);
        self.blob.clear();
        self.blob.shrink_to(KEEP_BYTES_MAX);
        self.heads.reserve(batch.len());
        let (mut event_type, mut stream) = (Repeated::default(), Repeated::default());
        for event in batch {
            let event_type = event_type.put(&mut self.blob, event.event_type.as_str())?;
            let stream = stream.put(&mut self.blob, event.stream.as_ref().map_or("", StreamName::as_str))?;
            let payload = span(&mut self.blob, |blob| blob.extend_from_slice(&event.data))?;
            let mut written = Ok(());
            let context = span(&mut self.blob, |blob| written = batch::write_context(blob, event))?;
            written?;
            self.heads.push(head(event, [event_type, stream, payload, context]));
        }
        Ok((&self.heads, &self.blob))
    }
}

fn head(event: &RecordedEvent, [event_type, stream, payload, context]: [Span; 4]) -> Head {
    let (high, low) = event.id.as_u64_pair();
    Head {
        position: event.position.0,
        id: EventId { high, low },
        version: event.version.0,
        timestamp_us: event.timestamp_us,
        schema_version: event.schema_version,
        traits: if event.json().is_some() { TRAIT_JSON } else { 0 },
        event_type,
        stream,
        payload,
        context,
    }
}

/// Where what `write` appends to the blob lies.
fn span(blob: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> wasmtime::Result<Span> {
    let start = blob.len();
    write(blob);
    Ok(Span { start: u32::try_from(start)?, length: u32::try_from(blob.len() - start)? })
}

/// A text that many events in a row have.
#[derive(Default)]
struct Repeated<'a> {
    text: &'a str,
    span: Span,
}

impl<'a> Repeated<'a> {
    /// Where the text lies, which is written if it is another than before.
    fn put(&mut self, blob: &mut Vec<u8>, text: &'a str) -> wasmtime::Result<Span> {
        if text != self.text {
            *self = Self { text, span: span(blob, |blob| blob.extend_from_slice(text.as_bytes()))? };
        }
        Ok(self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, Position, Tag, Version};

    fn event(event_type: &str, stream: Option<&str>) -> RecordedEvent {
        let event = NewEvent::json(EventType::new(event_type).unwrap(), "{\"a\":1}");
        let event = NewEvent { stream: stream.map(|name| StreamName::new(name).unwrap()), ..event };
        RecordedEvent::record(event, Position(7), Version(3), 9)
    }

    fn texts(bulk: &mut Bulk, batch: &[RecordedEvent]) -> Vec<[String; 4]> {
        let (heads, blob) = bulk.write(batch).unwrap();
        let text = |span: Span| {
            let start = span.start as usize;
            String::from_utf8_lossy(&blob[start..start + span.length as usize]).into_owned()
        };
        heads.iter().map(|head| [head.event_type, head.stream, head.payload, head.context].map(text)).collect()
    }

    #[test]
    fn every_part_is_where_the_head_says() {
        let mut rich = event("B", Some("s-1")).clone();
        rich.tags = vec![Tag::new("a:1").unwrap()];
        rich.content_type = Some("image/png".into());
        let batch = [event("A", None), rich, event("B", None)];
        let mut bulk = Bulk::default();
        for _ in 0..2 {
            let context = r#"{"tags":["a:1"],"content_type":"image/png"}"#;
            let plain = |event_type: &str| [event_type, "", "{\"a\":1}", ""].map(str::to_owned);
            let rich = ["B", "s-1", "{\"a\":1}", context].map(str::to_owned);
            assert_eq!(texts(&mut bulk, &batch), [plain("A"), rich, plain("B")]);
        }
        assert_eq!(bulk.heads.iter().map(|head| head.traits).collect::<Vec<_>>(), [TRAIT_JSON, 0, TRAIT_JSON]);
    }

    #[test]
    fn what_repeats_is_written_once() {
        let mut bulk = Bulk::default();
        let batch = [event("Type", Some("stream-1")), event("Type", Some("stream-1"))];
        let (heads, blob) = bulk.write(&batch).unwrap();
        assert_eq!((heads[0].event_type, heads[0].stream), (heads[1].event_type, heads[1].stream));
        assert_eq!(blob.len(), "Typestream-1".len() + 2 * "{\"a\":1}".len());
    }

    #[test]
    fn a_large_blob_is_given_back() {
        let mut bulk = Bulk::default();
        let large = RecordedEvent { data: vec![b' '; KEEP_BYTES_MAX + 1], ..event("A", None) };
        bulk.write(&[large]).unwrap();
        bulk.write(&[event("A", None)]).unwrap();
        assert!(bulk.blob.capacity() <= KEEP_BYTES_MAX, "{}", bulk.blob.capacity());
    }
}
