//! The events that every benchmark appends.
//!
//! Event `n` is a function of `n` alone, so that readers know what is stored: 256 bytes of JSON, one of four
//! types, one tag, a stream, a version 4 id. Streams come in rounds: each round puts one event on every
//! stream, in an order of its own, so the n-th round makes every stream n events long, and the events of one
//! stream lie as far apart as they can. Ten rounds are ten events per stream; tags are a tenth as many as
//! streams, so that they hold a hundred events each then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill::event::{EventType, NewEvent, StreamName, Tag, Version};
use uuid::{Builder, Uuid};

/// Payload of an event, in bytes.
const DATA_BYTES: usize = 256;
/// Random letters that payloads are cut from, in bytes.
const TEXT_BYTES: u64 = 1 << 16;
const TYPES: [&str; 4] = ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderClosed"];

/// A source of events, shared by all appenders.
#[derive(Debug)]
pub struct Workload {
    streams: u64,
    text: Vec<u8>,
    types: [EventType; 4],
    next: AtomicU64,
}

impl Workload {
    /// Events over this many streams, from the first on.
    ///
    /// # Panics
    /// Never: the names are valid.
    #[must_use]
    pub fn new(streams: u64) -> Self {
        Self::starting_at(0, streams)
    }

    /// Events over this many streams, from event `next` on.
    ///
    /// # Panics
    /// Never: the names are valid.
    #[must_use]
    pub fn starting_at(next: u64, streams: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(42);
        let text = (0..TEXT_BYTES as usize + DATA_BYTES).map(|_| random.alphanumeric() as u8).collect();
        let types = TYPES.map(|name| EventType::new(name).expect("a valid name"));
        Self { streams: streams.max(1), text, types, next: AtomicU64::new(next) }
    }

    /// Numbers of the next events; nobody else gets them.
    pub fn take(&self, count: u64) -> Range<u64> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// Event `n`.
    ///
    /// # Panics
    /// Never: names and ranges are valid.
    #[must_use]
    pub fn event(&self, n: u64) -> NewEvent {
        let chance = mixed(n);
        let at = (chance % TEXT_BYTES) as usize;
        let mut data = Vec::with_capacity(DATA_BYTES);
        data.push(b'"');
        data.extend_from_slice(self.text.get(at..at + DATA_BYTES - 2).expect("the text is that long"));
        data.push(b'"');
        NewEvent {
            id: id_of(n),
            event_type: self.event_type(chance >> 16).clone(),
            stream: Some(self.stream(self.stream_number(n))),
            tags: vec![self.tag(chance >> 20)],
            data,
            content_type: None,
            metadata: BTreeMap::new(),
            schema_version: 1,
        }
    }

    /// Version of event `n`'s stream before it, when events were appended in their order.
    #[must_use]
    pub const fn version_before(&self, n: u64) -> Version {
        Version(n / self.streams)
    }

    /// One of the streams; any number will do.
    ///
    /// # Panics
    /// Never: the name is valid.
    #[must_use]
    pub fn stream(&self, number: u64) -> StreamName {
        StreamName::new(format!("order-{:07}", number % self.streams)).expect("a valid name")
    }

    /// One of the tags; any number will do.
    ///
    /// # Panics
    /// Never: the name is valid.
    #[must_use]
    pub fn tag(&self, number: u64) -> Tag {
        Tag::new(format!("customer:{:06}", number % (self.streams / 10).max(1))).expect("a valid name")
    }

    /// A tag that no event carries.
    ///
    /// # Panics
    /// Never: the name is valid.
    #[must_use]
    pub fn unused_tag(&self, number: u64) -> Tag {
        Tag::new(format!("name:{number:012}")).expect("a valid name")
    }

    /// One of the four types; any number will do.
    ///
    /// # Panics
    /// Never: there are four.
    #[must_use]
    pub fn event_type(&self, number: u64) -> &EventType {
        self.types.get((number % 4) as usize).expect("one of four")
    }

    fn stream_number(&self, n: u64) -> u64 {
        shuffled(n % self.streams, self.streams, n / self.streams)
    }
}

/// Id of event `n`: a version 4 UUID.
#[must_use]
pub fn id_of(n: u64) -> Uuid {
    let (high, low) = (mixed(n ^ (1 << 62)), mixed(n ^ (1 << 63)));
    Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
}

/// Spreads a number over all 64 bits; different numbers stay different.
const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// Where `index` goes when the numbers below `count` are shuffled, in the order that `key` names.
const fn shuffled(index: u64, count: u64, key: u64) -> u64 {
    // Steps that can be undone, on as many bits as `count` needs; again while the outcome is not below it.
    let bits = 64 - count.leading_zeros();
    let (mask, half) = (u64::MAX >> (64 - bits), bits.div_ceil(2));
    let (odd, offset) = (mixed(key) | 1, mixed(!key));
    let mut number = index;
    loop {
        number = number.wrapping_mul(odd).wrapping_add(offset) & mask;
        number ^= number >> half;
        number = number.wrapping_mul(0xD6E8_FEB8_6659_FD93) & mask;
        number ^= number >> half;
        number = number.wrapping_mul(0xA076_1D64_78BD_642F) & mask;
        number ^= number >> half;
        if number < count {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_round_visits_every_stream_once_in_an_order_of_its_own() {
        for count in [1, 2, 3, 10, 64, 1000] {
            let workload = Workload::new(count);
            let round = |round: u64| -> Vec<u64> {
                (round * count..(round + 1) * count).map(|n| workload.stream_number(n)).collect()
            };
            let distinct: HashSet<_> = round(0).into_iter().collect();
            assert_eq!(distinct.len() as u64, count);
            assert!(distinct.into_iter().all(|stream| stream < count));
            assert!(count < 64 || round(0) != round(1));
            assert_eq!(workload.version_before(count), Version(1));
        }
    }

    #[test]
    fn events_are_as_promised() {
        let workload = Workload::new(1000);
        let events: Vec<_> = workload.take(100).map(|n| workload.event(n)).collect();
        let ids: HashSet<_> = events.iter().map(|event| event.id).collect();
        assert_eq!((ids.len(), workload.take(1)), (100, 100..101));
        for event in &events {
            assert_eq!((event.data.len(), event.tags.len(), event.id.get_version_num()), (DATA_BYTES, 1, 4));
            event.validate().unwrap();
        }
        assert_eq!(events[7], workload.event(7));
    }
}
