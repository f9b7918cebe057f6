//! Bounds on what one append may hold. Constants with units; every check names the constant's value.

/// Longest event type, stream name, tag, metadata key and content type, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest plugin name, in bytes.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;
/// Largest payload of one event, in bytes.
pub const DATA_BYTES_MAX: usize = 1 << 20;
/// Most tags on one event.
pub const TAGS_MAX: usize = 64;
/// Most metadata entries on one event.
pub const METADATA_ENTRIES_MAX: usize = 64;
/// Longest metadata value, in bytes of UTF-8.
pub const METADATA_VALUE_BYTES_MAX: usize = 4096;
/// Most events in one append.
pub const APPEND_EVENTS_MAX: usize = 10_000;
/// Largest append: payloads, names and metadata together, in bytes.
pub const APPEND_BYTES_MAX: usize = 16 << 20;

const _: () = assert!(DATA_BYTES_MAX <= APPEND_BYTES_MAX);
