//! One event as it crosses from the host, alone in its batch.

use crate::event::TRAIT_JSON;
use crate::{Event, host};

/// A head with its blob.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) head: host::Head,
    pub(crate) blob: Vec<u8>,
}

impl Packed {
    /// A JSON event; what is empty is absent.
    pub(crate) fn new(event_type: &str, stream: &str, payload: &[u8], context: &str) -> Self {
        let mut blob = Vec::new();
        let mut put = |part: &[u8]| {
            let start = blob.len();
            blob.extend_from_slice(part);
            host::Span { start: offset(start), length: offset(part.len()) }
        };
        let head = host::Head {
            position: 0,
            id: host::EventId { high: 0, low: 0 },
            version: 0,
            timestamp_us: 0,
            schema_version: 1,
            traits: TRAIT_JSON,
            event_type: put(event_type.as_bytes()),
            stream: put(stream.as_bytes()),
            payload: put(payload),
            context: put(context.as_bytes()),
        };
        Self { head, blob }
    }

    /// The event, as a handler sees it.
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub(crate) fn event(&self) -> Event<'_> {
        Event::read(&self.head, &self.blob).expect("the head was made with its blob")
    }
}

#[expect(clippy::expect_used, reason = "a helper of tests")]
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an event has less than 4 GiB")
}
