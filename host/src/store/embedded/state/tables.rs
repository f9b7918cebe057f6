//! Every table of the file `state.redb`, in one place. Format version 1, and 2 once something was removed.
//!
//! Values begin with a checksum (see `row`): redb checks its own only when it repairs a file. `meta` has none:
//! a version that is not what was written is refused as one that is not known.

use redb::TableDefinition;

/// Version of the layout of the data directory, as stores are made.
pub(in crate::store::embedded) const FORMAT_VERSION: u64 = 1;
/// Version of one from which something was removed: whoever does not know of removals must not open it.
pub(super) const FORMAT_VERSION_REMOVALS: u64 = 2;

/// *(owner, key) (by bytes) -> checksum, the plugin's own bytes*; written by seals; read by plugins and
/// operators; grows with what plugins keep; trimmed by units of work that remove keys.
pub(super) const STATE: TableDefinition<'static, (&'static str, &'static str), &'static [u8]> =
    TableDefinition::new("state");

/// *owner -> checksum, how many keys its state has and bytes of them and their values, u64 little-endian each*; written
/// by seals, in the transaction that changes the state; read by who asks and by plugins' limits; one row for each owner
/// with state; trimmed with it. Counted anew when the store is opened if a release sealed that knows nothing of it.
pub(super) const STATE_SIZES: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("state_sizes");

/// *owner, then `/` and the partition unless that is 0 -> checksum, `Progress` as JSON*; written by seals; read at
/// open and when a plugin starts; one row for each partition that ever committed; trimmed by changes of plugins.
pub(super) const PROGRESS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("progress");

/// *(owner, position of the event) -> checksum, `DeadLetter` as JSON*; written by seals; read by
/// operators; grows with events set aside; trimmed by units of work that retry or discard them.
pub(super) const DEAD_LETTERS: TableDefinition<'static, (&'static str, u64), &'static [u8]> =
    TableDefinition::new("dead_letters");

/// *plugin name -> checksum, `PluginRecord` as JSON*; written by seals; read at open and when a plugin starts; one
/// row for each plugin of which something was said; never trimmed. A store may be without it.
pub(super) const RECORDS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("plugins");

/// *source -> checksum, position u64 little-endian*; written by seals; read at open and by whoever asks how far a
/// source was followed; one row for each source that was; never trimmed. A store may be without it.
pub(super) const TRACKING: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("tracking");

/// *first position of a segment -> checksum, `SegmentRow`: the summary as in a segment's trailer and, once it was
/// compacted, how often and how many stubs it has*; written by seals and compactions; read at open; one row for
/// each segment file; never trimmed.
pub(super) const SEGMENTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("segments");

/// *first position of a run -> checksum, `RunRow` as JSON*; written by seals, merges and compactions; read at
/// open; one row for each index file; trimmed by merges.
pub(super) const RUNS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("runs");

/// *category -> checksum, the position before which its events are removed, u64*; written by removals; read at
/// open; one row for each category that anything was removed of; made with the first; never trimmed.
pub(super) const REMOVALS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("removals");

/// *`manifest` -> checksum, `Roots` as JSON*; written when the store is made, by seals, and when a store that
/// was written to is closed; read at open; one row.
pub(super) const ROOTS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("roots");

/// The one key of [`ROOTS`].
pub(super) const ROOTS_KEY: &str = "manifest";

/// *`format_version` -> [`FORMAT_VERSION`] or [`FORMAT_VERSION_REMOVALS`]*; written when the store is made and by
/// removals; read at open, before anything else.
pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// [`FORMAT_VERSION`], in [`META`].
pub(super) const FORMAT_VERSION_KEY: &str = "format_version";
