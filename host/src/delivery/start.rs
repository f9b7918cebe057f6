//! Where a plugin without a checkpoint begins.

use super::policy::Start;
use crate::event::{Filter, Position};
use crate::store::{ReadRequest, Store, StoreError};

/// The position after which delivery starts. Blocks.
pub(super) fn resolve(start: Start, store: &dyn Store) -> Result<Position, StoreError> {
    match start {
        Start::Beginning => Ok(Position::START),
        Start::End => Ok(store.head()),
        Start::After(position) => Ok(position),
        Start::Time(time_us) => last_before(time_us, store),
    }
}

/// The position after which a plugin begins again; none when it began at an end of the log that is not known any more.
/// `began` is where its live generation did, where that is written down. Blocks.
pub(super) fn again(began: Option<Position>, start: Start, store: &dyn Store) -> Result<Option<Position>, StoreError> {
    match (began, start) {
        (Some(began), _) => Ok(Some(began)),
        (None, Start::End) => Ok(None),
        (None, start) => resolve(start, store).map(Some),
    }
}

/// Before which position retention has removed events after another one that a filter may ask for, if it has. Blocks.
pub(super) fn removed_after(
    filter: Filter,
    after: Position,
    store: &dyn Store,
) -> Result<Option<Position>, StoreError> {
    // What is removed shows in the first page, whatever is in it; so it is a short one.
    let before = Some(Position(after.0.saturating_add(2)));
    let request = ReadRequest { query: filter.into(), after, before, limit: 1, ..ReadRequest::default() };
    Ok(store.read(&request)?.removed_before)
}

/// Position of the last event stored before a time: times never decrease with position, so it is searched
/// for by halves.
fn last_before(time_us: u64, store: &dyn Store) -> Result<Position, StoreError> {
    let (mut before, mut end) = (0, store.head().0);
    // Everything up to `before` is older; everything after `end` is not.
    while before < end {
        let middle = before + (end - before).div_ceil(2);
        let request = ReadRequest { after: Position(middle - 1), limit: 1, ..ReadRequest::default() };
        let page = store.read(&request)?;
        match page.events.first() {
            Some(event) if event.timestamp_us < time_us => before = middle,
            _ => end = middle - 1,
        }
    }
    Ok(Position(before))
}
