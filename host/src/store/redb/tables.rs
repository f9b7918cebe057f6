//! Every table of the file `events.redb`, in one place. Format version 1.
//!
//! Nothing here is keyed at random per event: the only table that grows with events grows at its right edge.

use redb::TableDefinition;

/// Version of the layout described here; `meta` holds the one that a file was written with.
pub(super) const FORMAT_VERSION: u64 = 1;

/// *first position of the block (u64, rising) -> block of events (see `block`)*; written by the writer,
/// one or more blocks per commit, never changed after; read by every read of events and whole at open;
/// grows with events; never trimmed.
pub(super) const EVENTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("events");

/// *(plugin name, key) (by bytes) -> the plugin's own bytes*; written by units of work; read by plugins
/// and operators; grows with what plugins keep; trimmed by units of work that remove keys.
pub(super) const STATE: TableDefinition<'static, (&'static str, &'static str), &'static [u8]> =
    TableDefinition::new("state");

/// *plugin name -> `Progress` as JSON*; written by every unit of work; read at open, and when a plugin
/// starts; one row for each plugin that ever committed; never trimmed.
pub(super) const PROGRESS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("progress");

/// *(plugin name, position of the event) -> `DeadLetter` as JSON*; written by units of work; read by
/// operators; grows with events set aside; trimmed by units of work that retry or discard them.
pub(super) const DEAD_LETTERS: TableDefinition<'static, (&'static str, u64), &'static [u8]> =
    TableDefinition::new("dead_letters");

/// *name -> number*: `format_version` is [`FORMAT_VERSION`]; written when the file is made; read at open.
pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// Key of the format version in [`META`].
pub(super) const FORMAT_VERSION_KEY: &str = "format_version";
