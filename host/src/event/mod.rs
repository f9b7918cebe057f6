//! The event model: names, numbers, events before and after they are stored, and queries over them.
//!
//! Pure: no IO, no tokio, no clock. What may be appended is decided here, once, in
//! [`NewEvent::validate`] and the constructors of the names; every edge and every store relies on it.

mod filter;
mod limits;
mod name;
mod new_event;
mod number;
mod own_ids;
mod query;
mod recorded;

pub use filter::{Filter, Pattern};
pub use limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, COMMAND_DEADLINE_MS_MAX, DATA_BYTES_MAX, EXPECTATIONS_MAX,
    METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX, NAME_BYTES_MAX, PAGE_STREAMS_MAX, PLUGIN_NAME_BYTES_MAX,
    QUERY_ITEMS_MAX, QUERY_NAMES_MAX, TAGS_MAX, WORK_BYTES_MAX,
};
pub use name::{Category, EventType, NameError, PluginName, StreamName, Tag};
pub(crate) use name::{category_of, check_plain as check_name};
pub use new_event::{InvalidEvent, NewEvent};
pub use number::{ExpectedVersion, Position, Version};
pub use own_ids::OwnIds;
pub use query::{InvalidQuery, Query};
pub use recorded::RecordedEvent;

/// The content type of events that name none.
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// The content type of data that nobody told the type of, unless it is JSON.
pub const BYTES_CONTENT_TYPE: &str = "application/octet-stream";

/// What the types of events begin with that the host itself writes; appending others like it is refused.
pub const RESERVED_TYPE_PREFIX: char = '$';

/// Type of the event that ends a stream: its tombstone. Written by the deletion of a stream, never by an append.
pub const TOMBSTONE_TYPE: &str = "$stream-deleted";

/// Metadata key under which the host notes what an event was appended along with: a position, a space, and the name
/// of the source that it is of. Events that bring it are refused.
pub const TRACKING_KEY: &str = "$tracking";

/// Metadata key under which the host notes of which command an event is the outcome. Events that bring it are refused.
pub const COMMAND_KEY: &str = "$command";

/// Type of the event that keeps the outcome of a command that led to no other: a rejection, or nothing to do. Written by
/// the host, never by an append of others.
pub const COMMAND_TYPE: &str = "$command";

/// Type of the event by which a command is accepted that is decided later. Written by the host, never by an append of
/// others.
pub const ACCEPTED_TYPE: &str = "$command-accepted";

/// The stream of those.
pub const ACCEPTED_STREAM: &str = "$commands-accepted";

/// Type of the event by which an accepted command is given up. Written by the host, never by an append of others.
pub const FAILED_TYPE: &str = "$command-failed";

/// Known metadata keys (DESIGN: the event).
pub mod metadata_key {
    /// Groups all that follows from one first cause.
    pub const CORRELATION_ID: &str = "correlation_id";
    /// Id of the event that caused this one.
    pub const CAUSATION_ID: &str = "causation_id";
    /// Id of the command that led to this event.
    pub const COMMAND_ID: &str = "command_id";
    /// Trace that the append belongs to (W3C Trace Context). Not content: a retry has its own.
    pub const TRACEPARENT: &str = "traceparent";
    /// How many appends by plugins, one because of the other, led to this event; none for one that no plugin made.
    pub const CAUSATION_DEPTH: &str = "causation_depth";
    /// Id of the event that no plugin made and that these appends began with.
    pub const CAUSATION_ROOT: &str = "causation_root";
    /// What the host says itself of what a plugin appends, or decides on.
    pub const OF_HOST: [&str; 6] =
        [CORRELATION_ID, CAUSATION_ID, COMMAND_ID, TRACEPARENT, CAUSATION_DEPTH, CAUSATION_ROOT];

    /// Whether a key is one of those.
    #[must_use]
    pub fn is_of_host(key: &str) -> bool {
        OF_HOST.contains(&key)
    }
}
