//! What is appended, in the words of either protocol.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::grpc::Proposal;

/// Type of every event that a benchmark appends.
pub(super) const EVENT_TYPE: &str = "TidemillBench";

/// Events of one size, under tags that no other run has.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    run: String,
    /// The payload: a string of JSON, quotes included.
    data: String,
}

/// One append.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// What all its events carry.
    pub(super) tag: String,
    /// How many events it has.
    pub(super) events: usize,
    /// Whether it is to fail when an event carries the tag already.
    pub(super) guarded: bool,
}

impl Workload {
    /// Events with payloads of so many bytes, at least 2.
    pub(super) fn new(bytes: u32) -> Self {
        let fill = usize::try_from(bytes).unwrap_or_default().saturating_sub(2);
        Self { run: format!("{:08x}", fastrand::u32(..)), data: format!("\"{}\"", "x".repeat(fill)) }
    }

    /// Payload of an event, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// A tag of this run.
    pub(super) fn tag(&self, part: &str) -> String {
        format!("bench:{}-{part}", self.run)
    }

    /// The body of a request of the HTTP API.
    pub(super) fn body(&self, batch: &Batch) -> Bytes {
        let mut body = String::with_capacity(200 + batch.events * (self.data.len() + 80));
        body.push_str("{\"events\":[");
        for n in 0..batch.events {
            body.push_str(if n == 0 { "" } else { "," });
            self.event(&batch.tag, &mut body);
        }
        body.push(']');
        if batch.guarded {
            // A string takes every text.
            let _ = write!(body, ",\"condition\":{{\"fail_if_match\":[{{\"tags\":[\"{}\"]}}]}}", batch.tag);
        }
        body.push('}');
        body.into()
    }

    /// So many lines of an import.
    pub(super) fn lines(&self, tag: &str, events: usize) -> Bytes {
        let mut lines = String::with_capacity(events * (self.data.len() + 80));
        for _ in 0..events {
            self.event(tag, &mut lines);
            lines.push('\n');
        }
        lines.into()
    }

    fn event(&self, tag: &str, to: &mut String) {
        let _ = write!(to, "{{\"type\":\"{EVENT_TYPE}\",\"tags\":[\"{tag}\"],\"data\":{}}}", self.data);
    }

    /// The events of an append over gRPC.
    pub(super) fn proposals(&self, batch: &Batch) -> Vec<Proposal> {
        let event =
            || Proposal { event_type: EVENT_TYPE, tags: vec![batch.tag.clone()], data: self.data.clone().into_bytes() };
        std::iter::repeat_with(event).take(batch.events).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_say_the_same() {
        let workload = Workload::new(16);
        let batch = Batch { tag: workload.tag("1"), events: 2, guarded: true };
        let body: serde_json::Value = serde_json::from_slice(&workload.body(&batch)).unwrap();
        let proposals = workload.proposals(&batch);
        assert_eq!((body["events"].as_array().unwrap().len(), proposals.len()), (2, 2));
        assert_eq!(body["events"][1]["tags"][0], proposals[1].tags[0]);
        assert_eq!(body["events"][1]["data"].to_string().as_bytes(), proposals[1].data);
        assert_eq!((proposals[0].data.len(), workload.bytes()), (16, 16));
        assert_eq!(body["condition"]["fail_if_match"][0]["tags"][0], batch.tag);
        let lines = workload.lines("t", 3);
        assert_eq!(std::str::from_utf8(&lines).unwrap().lines().count(), 3);
        assert!(workload.body(&Batch { guarded: false, ..batch }).ends_with(b"}]}"));
    }
}
