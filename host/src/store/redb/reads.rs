//! Reads of events and of rows: redb read transactions over committed data, helped by the index.

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;

use super::cursor::EventCursor;
use super::encoding::EventView;
use super::failure::{corrupted, read_failed};
use super::index::Candidates;
use super::shared::Shared;
use super::tables::{DEAD_LETTERS, PROGRESS, STATE};
use crate::event::{Filter, PluginName, Position, RecordedEvent};
use crate::store::page::{PageBuilder, StatePageBuilder, is_above};
use crate::store::{DeadLetter, Direction, Progress, ReadPage, ReadRequest, StatePage, StoreError};

/// Positions taken from the index at a time.
const CANDIDATES_MAX: usize = 1024;

/// Reads a page of events.
pub(super) fn read(shared: &Shared, request: &ReadRequest) -> Result<ReadPage, StoreError> {
    let mut page = PageBuilder::new(request, shared.head());
    let mut left = Left::new(page.range());
    if left.is_empty() {
        return Ok(page.exhaust());
    }
    let mut cursor = EventCursor::new(&begin(shared)?, request.direction)?;
    while let Some(positions) = left.next_positions(shared, request) {
        for position in positions {
            let view = cursor.event(position)?;
            if !is_above(view.version, request.after_version) || !matches(&request.filter, &view, position)? {
                continue;
            }
            if page.is_full() {
                return Ok(page.stop());
            }
            page.push(view.to_event(position).map_err(corrupted(position))?);
        }
    }
    Ok(page.exhaust())
}

/// What of the asked range is not looked at yet.
struct Left {
    after: Position,
    below: Position,
    done: bool,
}

impl Left {
    const fn new((after, below): (Position, Position)) -> Self {
        Self { after, below, done: false }
    }

    fn is_empty(&self) -> bool {
        self.done || self.below.0.saturating_sub(self.after.0) <= 1
    }

    /// The next positions to look at, in the direction; none when all were.
    fn next_positions(&mut self, shared: &Shared, request: &ReadRequest) -> Option<Vec<Position>> {
        if self.is_empty() {
            return None;
        }
        let found = shared.index().candidates(request, self.after, self.below, CANDIDATES_MAX);
        let positions = match found {
            Candidates::Some(positions) => positions,
            Candidates::All => self.all(request.direction),
        };
        self.done = positions.len() < CANDIDATES_MAX;
        match (request.direction, positions.last()) {
            (_, None) => return None,
            (Direction::Forwards, Some(last)) => self.after = Position(*last),
            (Direction::Backwards, Some(last)) => self.below = Position(*last),
        }
        Some(positions.into_iter().map(Position).collect())
    }

    fn all(&self, direction: Direction) -> Vec<u64> {
        let range = self.after.0 + 1..self.below.0;
        match direction {
            Direction::Forwards => range.take(CANDIDATES_MAX).collect(),
            Direction::Backwards => range.rev().take(CANDIDATES_MAX).collect(),
        }
    }
}

/// [`Filter::matches`] without copying the event.
fn matches(filter: &Filter, view: &EventView<'_>, position: Position) -> Result<bool, StoreError> {
    if !filter.matches_type(view.event_type) || !filter.matches_stream(view.stream) {
        return Ok(false);
    }
    if filter.tags.is_empty() {
        return Ok(true);
    }
    let tags = view.tags().map_err(corrupted(position))?;
    Ok(filter.tags.iter().all(|tag| tags.contains(&tag.as_str())))
}

/// The event at a committed position.
pub(super) fn event_at(shared: &Shared, position: Position) -> Result<RecordedEvent, StoreError> {
    let mut cursor = EventCursor::new(&begin(shared)?, Direction::Forwards)?;
    cursor.event(position)?.to_event(position).map_err(corrupted(position))
}

pub(super) fn begin(shared: &Shared) -> Result<ReadTransaction, StoreError> {
    shared.database.begin_read().map_err(read_failed)
}

pub(super) fn progress(shared: &Shared, plugin: &PluginName) -> Result<Option<Progress>, StoreError> {
    let table = begin(shared)?.open_table(PROGRESS).map_err(read_failed)?;
    let row = table.get(plugin.as_str()).map_err(read_failed)?;
    row.map(|row| decode_progress(plugin.as_str(), row.value())).transpose()
}

/// Every row of the table `progress`, in name order.
pub(super) fn all_progress(transaction: &ReadTransaction) -> Result<Vec<(PluginName, Progress)>, StoreError> {
    let table = transaction.open_table(PROGRESS).map_err(read_failed)?;
    let mut all = Vec::new();
    for row in table.iter().map_err(read_failed)? {
        let (name, progress) = row.map_err(read_failed)?;
        all.push((PluginName::from_stored(name.value()), decode_progress(name.value(), progress.value())?));
    }
    Ok(all)
}

pub(super) fn plugins(shared: &Shared) -> Result<Vec<PluginName>, StoreError> {
    Ok(all_progress(&begin(shared)?)?.into_iter().map(|(name, _)| name).collect())
}

pub(super) fn state_get(shared: &Shared, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let table = begin(shared)?.open_table(STATE).map_err(read_failed)?;
    let row = table.get((plugin.as_str(), key)).map_err(read_failed)?;
    Ok(row.map(|row| row.value().to_vec()))
}

pub(super) fn state_scan(
    shared: &Shared,
    plugin: &PluginName,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<StatePage, StoreError> {
    let table = begin(shared)?.open_table(STATE).map_err(read_failed)?;
    let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let mut page = StatePageBuilder::new(limit);
    for row in table.range((plugin.as_str(), start)..).map_err(read_failed)? {
        let (found, value) = row.map_err(read_failed)?;
        let (owner, key) = found.value();
        if owner != plugin.as_str() || !key.starts_with(prefix) {
            break;
        }
        if after != Some(key) && !page.offer(key, value.value()) {
            break;
        }
    }
    Ok(page.finish())
}

pub(super) fn dead_letters(
    shared: &Shared,
    plugin: &PluginName,
    after: Position,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let table = begin(shared)?.open_table(DEAD_LETTERS).map_err(read_failed)?;
    let Some(first) = after.0.checked_add(1) else { return Ok(Vec::new()) };
    let rows = table.range((plugin.as_str(), first)..=(plugin.as_str(), u64::MAX)).map_err(read_failed)?;
    let mut letters = Vec::new();
    for row in rows.take(limit) {
        let (key, letter) = row.map_err(read_failed)?;
        letters.push(decode_letter(plugin, Position(key.value().1), letter.value())?);
    }
    Ok(letters)
}

pub(super) fn dead_letter(
    shared: &Shared,
    plugin: &PluginName,
    position: Position,
) -> Result<Option<DeadLetter>, StoreError> {
    let table = begin(shared)?.open_table(DEAD_LETTERS).map_err(read_failed)?;
    let row = table.get((plugin.as_str(), position.0)).map_err(read_failed)?;
    row.map(|row| decode_letter(plugin, position, row.value())).transpose()
}

/// Counts rows, not decoding them: their number is what operators are to keep small.
pub(super) fn dead_letter_count(shared: &Shared, plugin: &PluginName) -> Result<u64, StoreError> {
    let table = begin(shared)?.open_table(DEAD_LETTERS).map_err(read_failed)?;
    let rows = table.range((plugin.as_str(), 0)..=(plugin.as_str(), u64::MAX)).map_err(read_failed)?;
    let mut count = 0;
    for row in rows {
        row.map_err(read_failed)?;
        count += 1;
    }
    Ok(count)
}

fn decode_progress(plugin: &str, row: &[u8]) -> Result<Progress, StoreError> {
    decode(row, || format!("the progress of plugin {plugin}"))
}

fn decode_letter(plugin: &PluginName, position: Position, row: &[u8]) -> Result<DeadLetter, StoreError> {
    decode(row, || format!("the dead letter of plugin {plugin} at position {position}"))
}

fn decode<T: DeserializeOwned>(row: &[u8], what: impl Fn() -> String) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|error| StoreError::CorruptedRow { what: what(), reason: error.to_string() })
}
