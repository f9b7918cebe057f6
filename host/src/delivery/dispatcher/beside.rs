//! What another generation of a plugin's data has to do with the one that a partition drives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use crate::delivery::past::Abandoned;
use crate::delivery::quiet::Quiet;
use crate::event::{PluginName, Position};
use crate::store::{DeadLetter, Owner, ReadPage, Store, StoreError};

/// Set-aside events read at a time: with their evidence they are some hundred KiB.
pub(super) const ROWS_READ: usize = 256;
/// The same without their evidence.
const BARE_ROWS_READ: usize = 4096;

/// Another generation.
#[derive(Clone)]
pub(super) enum Beside {
    /// There is none that matters.
    Nobody,
    /// The live one, while this one is built.
    Live {
        owner: Owner,
        /// How far each of its partitions has come: nothing beyond is handled here.
        limits: Vec<watch::Receiver<Position>>,
    },
    /// Those that were left before this one had come as far, the latest first.
    Abandoned { plugin: PluginName, abandoned: Arc<[Abandoned]> },
}

/// What it has set aside of a range, and which events of it emit nothing.
pub(super) type Found = (BTreeMap<Position, DeadLetter>, Quiet);

impl Beside {
    /// Whether this generation is built beside the live one.
    pub(super) const fn is_rebuild(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// How far a partition may go, where that is not the head of the log.
    pub(super) fn limit(&self, partition: u32) -> Option<watch::Receiver<Position>> {
        let Self::Live { limits, .. } = self else { return None };
        limits.get(usize::try_from(partition).ok()?).cloned()
    }

    /// Takes what is beyond the limit out of a page. It may have been read when the limit was lower.
    pub(super) fn cut(&self, page: &mut ReadPage, limit: Position) {
        if !self.is_rebuild() {
            return;
        }
        page.head = limit;
        page.complete = page.through >= limit;
        if page.complete {
            page.events.retain(|event| event.position <= limit);
            page.through = limit;
        }
    }

    /// What becomes of the events of a page that was read after a position. Blocks.
    pub(super) fn look(&self, store: &dyn Store, after: Position, page: &ReadPage) -> Result<Found, StoreError> {
        let through = page.through;
        match self {
            Self::Nobody => Ok((BTreeMap::new(), Quiet::Nothing)),
            Self::Live { owner, .. } => {
                let mut rows = BTreeMap::new();
                each_row(store, owner, after, through, |row| drop(rows.insert(row.position, row)))?;
                Ok((rows, Quiet::Everything))
            }
            Self::Abandoned { plugin, abandoned } => {
                let mut discarded = BTreeMap::new();
                let mut left = Vec::new();
                for abandoned in abandoned.iter().filter(|it| it.reach() > after) {
                    let (owner, mut loud) = (abandoned.owner(plugin), BTreeSet::new());
                    each_row(store, &owner, after, through, |row| match (row.is_discarded(), row.quiet) {
                        (true, _) => drop(discarded.insert(row.position, row)),
                        (false, true) => {}
                        (false, false) => drop(loud.insert(row.position)),
                    })?;
                    left.push((abandoned, loud));
                }
                Ok((discarded, Quiet::after(&left, &page.events)))
            }
        }
    }
}

/// Visits the set-aside events of a generation after a position and up to another one, in order. Blocks.
fn each_row(
    store: &dyn Store,
    owner: &Owner,
    mut after: Position,
    through: Position,
    mut visit: impl FnMut(DeadLetter),
) -> Result<(), StoreError> {
    while after < through {
        let rows = store.dead_letters(owner, after, ROWS_READ)?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        rows.into_iter().filter(|row| row.position <= through).for_each(&mut visit);
    }
    Ok(())
}

/// Every set-aside event of a generation, in order, without its evidence, read some at a time. Blocks.
pub(super) fn bare_rows(store: &dyn Store, owner: &Owner) -> impl Iterator<Item = Result<DeadLetter, StoreError>> {
    let mut after = Some(Position::START);
    let page = move || {
        let rows = store.bare_dead_letters(owner, after?, BARE_ROWS_READ);
        after = rows.as_ref().ok().and_then(|rows| rows.last()).map(|row| row.position);
        match rows {
            Ok(rows) if rows.is_empty() => None,
            Ok(rows) => Some(rows.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => Some(vec![Err(error)]),
        }
    };
    std::iter::from_fn(page).flatten()
}
