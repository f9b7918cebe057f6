//! How far the queue of accepted commands has come, as a row.
//!
//! It is kept among the snapshots, under the name of the queue's stream, which no aggregate has. *Key: the stream's name
//! -> value: format (1 byte, 81), position (8 bytes), version (8), last version that was read (8), versions up to there
//! that are not settled (8 each, rising), big-endian; or format 2 with the first two alone.* Written by `queue` once a
//! second while it moves; read when it begins, and where an accepted command has no outcome; one row. Without it the queue
//! is read from its beginning, and what has an outcome is passed over; with it, so is what had one that was removed. So one
//! that is damaged is not as good as none: it is an error, and nothing is decided and no event removed until the row is
//! restored, or an operator drops it.

use std::collections::BTreeSet;

use super::error::CommandError;
use super::snapshot;
use super::snapshots::Snapshots;
use crate::event::{ACCEPTED_STREAM, Position, Version};
use crate::store::{StateChange, Store, StoreError};

/// The format of the row, another than those of snapshots.
const FORMAT: u8 = 81;
/// The one that names the beginning alone. A snapshot is longer.
const FORMAT_WITHOUT_OPEN: u8 = 2;
/// Most commands that are named as not settled: what was read behind them counts as not known.
const OPEN_MAX: usize = 4096;

/// Up to where every accepted command is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    /// The version of that event in the queue's stream.
    pub(super) version: Version,
}

/// Which accepted commands are settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Up to where all are.
    pub(super) all: Checkpoint,
    /// Up to where all are but the open ones.
    pub(super) read: Version,
    open: BTreeSet<Version>,
}

impl Noted {
    /// All up to a checkpoint, and of those behind it that were read up to a version all but these, which rise.
    pub(super) fn new(all: Checkpoint, read: Version, open: impl Iterator<Item = Version>) -> Self {
        let mut open: BTreeSet<_> = open.take(OPEN_MAX + 1).collect();
        let beyond = if open.len() > OPEN_MAX { open.pop_last() } else { None };
        // Of what is behind those that are named nothing is known.
        let read = beyond.map_or(read, |beyond| Version(beyond.0.saturating_sub(1)));
        Self { all, read, open }
    }

    /// Whether the command at a version of the queue's stream is known to be settled.
    pub(super) fn is_settled(&self, version: Version) -> bool {
        version <= self.all.version || (version <= self.read && !self.open.contains(&version))
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        for number in [self.all.position.0, self.all.version.0, self.read.0] {
            row.extend(number.to_be_bytes());
        }
        self.open.iter().for_each(|version| row.extend(version.0.to_be_bytes()));
        row
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (format, rest) = row.split_first()?;
        let (numbers, rest) = rest.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
        let all = Checkpoint { position: Position(numbers.next()?), version: Version(numbers.next()?) };
        match *format {
            FORMAT if rest.is_empty() => {
                Some(Self { all, read: Version(numbers.next()?), open: numbers.map(Version).collect() })
            }
            FORMAT_WITHOUT_OPEN if rest.is_empty() && numbers.len() == 0 => {
                Some(Self { all, read: all.version, open: BTreeSet::new() })
            }
            _ => None,
        }
    }
}

/// What is known of the queue. Blocks.
pub(super) fn read(store: &dyn Store) -> Result<Noted, StoreError> {
    snapshot::row(store, ACCEPTED_STREAM)?.map_or_else(|| Ok(Noted::default()), of_row)
}

/// What a row says of the queue. One that is damaged says what to do.
pub(super) fn of_row(row: Result<Vec<u8>, StoreError>) -> Result<Noted, StoreError> {
    let noted = row.map(|row| Noted::decode(&row));
    let reason = match noted {
        Ok(Some(noted)) => return Ok(noted),
        Ok(None) => "it is in no format that is known".to_owned(),
        Err(error) => error.to_string(),
    };
    let todo = "restore it from a backup; or drop it (`tidemill snapshots drop --force '$commands-accepted'`): accepted \
                commands whose outcomes retention removed are decided again then";
    let what = "what the queue of accepted commands knows to be settled".to_owned();
    Err(StoreError::CorruptedRow { what, reason: format!("{reason}; {todo}") })
}

/// Whether there is a row that is to be dropped: a damaged one, which only `force` drops. Blocks.
pub(super) fn is_droppable(store: &dyn Store, force: bool) -> Result<bool, StoreError> {
    match read(store) {
        Err(StoreError::CorruptedRow { .. }) if force => Ok(true),
        known => known.map(|_| false),
    }
}

/// Notes what is known of the queue.
pub(super) async fn write(rows: &Snapshots, noted: &Noted) -> Result<(), CommandError> {
    rows.change(vec![StateChange { key: ACCEPTED_STREAM.to_owned(), value: Some(noted.encode()) }]).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_checkpoint_survives_as_a_row_that_is_no_snapshot(
            position: u64, version: u64, read: u64, open in proptest::collection::btree_set(any::<u64>(), 0..9)
        ) {
            let all = Checkpoint { position: Position(position), version: Version(version) };
            let noted = Noted::new(all, Version(read), open.into_iter().map(Version));
            let row = noted.encode();
            prop_assert_eq!(Noted::decode(&row[..24]), None);
            prop_assert!(super::super::snapshot::Snapshot::decode(&row).is_none());
            let before = [&[FORMAT_WITHOUT_OPEN], &row[1..17]].concat();
            prop_assert!(super::super::snapshot::Snapshot::decode(&before).is_none());
            let older = Noted { all, read: all.version, open: BTreeSet::new() };
            prop_assert_eq!(Noted::decode(&before), Some(older));
            prop_assert_eq!(Noted::decode(&row), Some(noted));
        }
    }
    #[test]
    fn what_is_open_is_not_settled_and_of_what_is_behind_too_many_nothing_is_known() {
        let all = Checkpoint { position: Position(10), version: Version(1) };
        let open = |count: u64| (1..=count).map(|number| Version(number * 2));
        let few = Noted::new(all, Version(7), open(3));
        let settled = |noted: &Noted, versions: &[u64]| -> Vec<u64> {
            versions.iter().copied().filter(|version| noted.is_settled(Version(*version))).collect()
        };
        assert_eq!(settled(&few, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), [0, 1, 3, 5, 7]);
        let many = Noted::new(all, Version(20_000), open(5000));
        assert_eq!(settled(&many, &[3, 8191, 8192, 8193, 8194, 8195, 20_000]), [3, 8191, 8193]);
        assert!(many.encode().len() <= 25 + 8 * OPEN_MAX);
    }
}
