//! What goes over the wire: the messages of package `umadb.v1`, as protocol buffers (proto3).

use prost::{Enumeration, Message};

/// An event as clients give it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) event_type: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) data: Vec<u8>,
    /// Empty for none.
    #[prost(string, tag = "4")]
    pub(super) uuid: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) metadata: Vec<MetadataEntry>,
}

/// An entry of an event's metadata.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// A stored event.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SequencedEvent {
    #[prost(uint64, tag = "1")]
    pub(super) position: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) event: Option<Event>,
    #[prost(message, optional, tag = "3")]
    pub(super) tracking_info: Option<TrackingInfo>,
}

/// Any of the types, or of all types when there is none, and all of the tags.
#[derive(Clone, PartialEq, Message)]
pub(super) struct QueryItem {
    #[prost(string, repeated, tag = "1")]
    pub(super) types: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
}

/// Any of the items, or every event when there is none.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Query {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<QueryItem>,
}

/// What no event may match.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendCondition {
    /// Every event when there is none.
    #[prost(message, optional, tag = "1")]
    pub(super) fail_if_events_match: Option<Query>,
    /// Only events after this position count; exclusive.
    #[prost(uint64, optional, tag = "2")]
    pub(super) after: Option<u64>,
}

/// Asks for events that are there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) query: Option<Query>,
    /// Where to begin; inclusive.
    #[prost(uint64, optional, tag = "2")]
    pub(super) start: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    pub(super) backwards: Option<bool>,
    /// Most events of the whole answer.
    #[prost(uint32, optional, tag = "4")]
    pub(super) limit: Option<u32>,
    /// What [`SubscribeRequest`] is for.
    #[prost(bool, optional, tag = "5")]
    pub(super) subscribe: Option<bool>,
    /// Most events of one message of the answer.
    #[prost(uint32, optional, tag = "6")]
    pub(super) batch_size: Option<u32>,
}

/// Some of the events that were asked for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<SequencedEvent>,
    /// The last position when the read began; with a limit, that of the last event here.
    #[prost(uint64, optional, tag = "2")]
    pub(super) head: Option<u64>,
}

/// Asks for events that are there and those to come.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscribeRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) query: Option<Query>,
    /// Only events after this position; exclusive.
    #[prost(uint64, optional, tag = "2")]
    pub(super) after: Option<u64>,
    /// Most events of one message of the answer.
    #[prost(uint32, optional, tag = "3")]
    pub(super) batch_size: Option<u32>,
}

/// Some of the events that were asked for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscribeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<SequencedEvent>,
}

/// How far a source was followed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackingInfo {
    #[prost(string, tag = "1")]
    pub(super) source: String,
    #[prost(uint64, tag = "2")]
    pub(super) position: u64,
}

/// Gives events.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<Event>,
    #[prost(message, optional, tag = "2")]
    pub(super) condition: Option<AppendCondition>,
    #[prost(message, optional, tag = "3")]
    pub(super) tracking_info: Option<TrackingInfo>,
}

/// Tells where they stand.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendResponse {
    /// Position of the last of them.
    #[prost(uint64, tag = "1")]
    pub(super) position: u64,
}

/// Asks for the last position.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadRequest {}

/// Tells the last position.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadResponse {
    /// None when there are no events.
    #[prost(uint64, optional, tag = "1")]
    pub(super) position: Option<u64>,
}

/// Asks how far a source was followed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackingRequest {
    #[prost(string, tag = "1")]
    pub(super) source: String,
}

/// Tells how far a source was followed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackingResponse {
    /// None when it never was.
    #[prost(uint64, optional, tag = "1")]
    pub(super) position: Option<u64>,
}

/// What went wrong: the details of a status.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ErrorResponse {
    #[prost(string, tag = "1")]
    pub(super) message: String,
    #[prost(enumeration = "ErrorType", tag = "2")]
    pub(super) error_type: i32,
}

/// What kind of thing went wrong. The protocol has one more, `Serialization = 1`, which nothing here comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum ErrorType {
    Io = 0,
    Integrity = 2,
    Corruption = 3,
    Internal = 4,
    Authentication = 5,
    InvalidArgument = 6,
}
