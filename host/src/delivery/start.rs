//! Where a plugin without a checkpoint begins.

use super::policy::Start;
use crate::event::Position;
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
