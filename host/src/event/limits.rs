//! Bounds on what one request may hold. Constants with units; every check names the constant's value.

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
/// Longest deadline of a command, in milliseconds.
pub const COMMAND_DEADLINE_MS_MAX: u64 = 600_000;
/// Most events in one append.
pub const APPEND_EVENTS_MAX: usize = 10_000;
/// Largest append: payloads, names and metadata together, in bytes.
pub const APPEND_BYTES_MAX: usize = 16 << 20;
/// Most expectations of streams in one append.
pub const EXPECTATIONS_MAX: usize = 10_000;
/// Most items in one query.
pub const QUERY_ITEMS_MAX: usize = 1_000;
/// Most patterns and tags in one query, all items together.
pub const QUERY_NAMES_MAX: usize = 10_000;
/// Most streams in one page of the list of streams, whatever was asked for.
pub const PAGE_STREAMS_MAX: usize = 10_000;

// One event that is within its bounds is an append within its bounds.
/// Largest unit of work: keys, values, evidence and events together, in bytes.
pub const WORK_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(APPEND_BYTES_MAX <= WORK_BYTES_MAX);
const _: () = assert!(
    DATA_BYTES_MAX
        + (2 + TAGS_MAX) * NAME_BYTES_MAX
        + METADATA_ENTRIES_MAX * (NAME_BYTES_MAX + METADATA_VALUE_BYTES_MAX)
        <= APPEND_BYTES_MAX
);
