//! What a journal's record holds: one commit group. Numbers are little-endian; lengths are in bytes.
//!
//! ```text
//! records of the journal before u64 | first position u64 | blocks u32 | units of work length u32
//! | length of each block u32…
//! | blocks (see `block`) | works, one after the other, a unit of work, a change of a plugin or a source's place:
//!     owner length u16, owner | partition u32, if the owner ends with '/' | progress length u32, progress (JSON)
//!     | changes of state u32: (key length u32, key, 0 u8) or (key length u32, key, 1 u8, value length u32, value) …
//!     | changes of dead letters u32: (position u64, 0 u8) or (position u64, 1 u8, length u32, letter (JSON)) …
//!     or
//!     0 u16 | change length u32, change (JSON)
//!     or
//!     65535 u16 | source length u32, source | position u64
//! ```
//!
//! An owner is the plugin's name, then `@` and the generation unless that is 0, then `/` unless the partition is 0.
//!
//! The record's checksum covers all of it, that of a block only the block: one event is read, and verified,
//! without the rest of its record. A group without events has no blocks; its first position is the next one.
//! How many records the journal before has tells, at recovery, whether its last one is missing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::{Malformed, Reader};
use super::overlay::Work;
use crate::event::Position;
use crate::store::{DeadLetterChange, Owner, StateChange, StoreError, Tracking, UnitOfWork};

/// Bytes before the lengths of the blocks.
const HEAD_BYTES: usize = 24;
/// Stands in place of an owner's length before a change of a plugin.
const CHANGE: u16 = 0;
/// Stands in place of an owner's length before a source.
const TRACKING: u16 = u16::MAX;
/// Ends an owner whose partition is not the first.
const PARTITION: char = '/';

/// Encodes all but the blocks: what stands before them. `blocks` are their lengths.
pub(super) fn encode_head(
    records_before: u64,
    first: Position,
    blocks: impl ExactSizeIterator<Item = usize>,
    works_bytes: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + 4 * blocks.len());
    out.extend_from_slice(&records_before.to_le_bytes());
    out.extend_from_slice(&first.0.to_le_bytes());
    put_length(blocks.len(), &mut out);
    put_length(works_bytes, &mut out);
    blocks.for_each(|bytes| put_length(bytes, &mut out));
    out
}

/// Encodes works, without the events of units of work.
pub(super) fn encode_works(works: &[Work]) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::new();
    for work in works {
        match work {
            Work::Unit(work) => put_unit(work, &mut out)?,
            Work::Plugin(change) => {
                out.extend_from_slice(&CHANGE.to_le_bytes());
                put_json(change, &mut out)?;
            }
            Work::Tracking(tracking) => {
                out.extend_from_slice(&TRACKING.to_le_bytes());
                put_bytes(tracking.source.as_bytes(), &mut out);
                out.extend_from_slice(&tracking.position.to_le_bytes());
            }
        }
    }
    Ok(out)
}

fn put_unit(work: &UnitOfWork, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let mut owner = work.owner.to_string();
    if work.partition != 0 {
        owner.push(PARTITION);
    }
    out.extend_from_slice(&u16::try_from(owner.len()).expect("plugin names are bounded").to_le_bytes());
    out.extend_from_slice(owner.as_bytes());
    if work.partition != 0 {
        out.extend_from_slice(&work.partition.to_le_bytes());
    }
    put_json(&work.progress, out)?;
    put_length(work.state.len(), out);
    for change in &work.state {
        put_bytes(change.key.as_bytes(), out);
        out.push(change.value.is_some().into());
        if let Some(value) = &change.value {
            put_bytes(value, out);
        }
    }
    put_length(work.dead_letters.len(), out);
    for change in &work.dead_letters {
        match change {
            DeadLetterChange::Put(letter) => {
                out.extend_from_slice(&letter.position.0.to_le_bytes());
                out.push(1);
                put_json(letter, out)?;
            }
            DeadLetterChange::Remove(position) => {
                out.extend_from_slice(&position.0.to_le_bytes());
                out.push(0);
            }
        }
    }
    Ok(())
}

fn put_json(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let json = serde_json::to_vec(value);
    let json = json.map_err(|error| StoreError::WriteFailed { reason: format!("a row does not encode: {error}") })?;
    put_bytes(&json, out);
    Ok(())
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(length).expect("a group is bounded in bytes");
    out.extend_from_slice(&length.to_le_bytes());
}

/// A decoded record.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// How many records the journal before this one has.
    pub(super) records_before: u64,
    /// Position of its first event, or the one after the last when it has none.
    pub(super) first: Position,
    /// Its blocks: where each begins in the record, and its bytes.
    pub(super) blocks: Vec<(usize, &'a [u8])>,
    /// Its works, without events.
    pub(super) works: Vec<Work>,
}

impl<'a> Record<'a> {
    /// Decodes a record whose checksum was verified.
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(payload);
        let records_before = u64::from_le_bytes(reader.array()?);
        let first = Position(u64::from_le_bytes(reader.array()?));
        let (count, works_bytes) = (length(&mut reader)?, length(&mut reader)?);
        let mut lengths = Reader(reader.take(count.checked_mul(4).ok_or(TOO_MANY)?)?);
        let mut blocks = Vec::with_capacity(count);
        while !lengths.0.is_empty() {
            let at = payload.len() - reader.0.len();
            blocks.push((at, reader.take(length(&mut lengths)?)?));
        }
        let mut works_reader = Reader(reader.take(works_bytes)?);
        if !reader.0.is_empty() {
            return Err(Malformed("a record has bytes that belong to no part of it"));
        }
        let mut works = Vec::new();
        while !works_reader.0.is_empty() {
            works.push(decode_work(&mut works_reader)?);
        }
        Ok(Self { records_before, first, blocks, works })
    }
}

const TOO_MANY: Malformed = Malformed("a record counts too many blocks");

fn decode_work(reader: &mut Reader<'_>) -> Result<Work, Malformed> {
    match u16::from_le_bytes(reader.array()?) {
        CHANGE => json(reader).map(Work::Plugin),
        TRACKING => {
            let source = text(bytes(reader)?)?.to_owned();
            Ok(Work::Tracking(Tracking { source, position: u64::from_le_bytes(reader.array()?) }))
        }
        owner_bytes => decode_unit(owner_bytes, reader).map(Work::Unit),
    }
}

fn decode_unit(owner_bytes: u16, reader: &mut Reader<'_>) -> Result<UnitOfWork, Malformed> {
    let owner = text(reader.take(owner_bytes.into())?)?;
    let (owner, partition) = match owner.strip_suffix(PARTITION) {
        Some(owner) => (owner, u32::from_le_bytes(reader.array()?)),
        None => (owner, 0),
    };
    let owner: Owner = owner.parse().map_err(|_| Malformed("a record names a plugin that cannot be"))?;
    let progress = json(reader)?;
    let mut state = Vec::new();
    for _ in 0..length(reader)? {
        let key = text(bytes(reader)?)?.to_owned();
        let value = if flag(reader)? { Some(bytes(reader)?.to_vec()) } else { None };
        state.push(StateChange { key, value });
    }
    let mut dead_letters = Vec::new();
    for _ in 0..length(reader)? {
        let position = Position(u64::from_le_bytes(reader.array()?));
        let put = flag(reader)?;
        dead_letters.push(if put { DeadLetterChange::Put(json(reader)?) } else { DeadLetterChange::Remove(position) });
    }
    Ok(UnitOfWork { owner, partition, progress, state, events: Vec::new(), dead_letters })
}

fn length(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    reader.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Malformed("a record has a flag that is neither 0 nor 1")),
    }
}

fn bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let bytes = length(reader)?;
    reader.take(bytes)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}

fn json<T: DeserializeOwned>(reader: &mut Reader<'_>) -> Result<T, Malformed> {
    serde_json::from_slice(bytes(reader)?).map_err(|_| Malformed("a row of a record does not decode"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::event::PluginName;
    use crate::store::{DeadLetter, Failing, PluginChange, PluginRecord, Progress, Stopped};

    fn any_work() -> impl Strategy<Value = Work> {
        prop_oneof![
            4 => any_unit().prop_map(Work::Unit),
            1 => any_change().prop_map(Work::Plugin),
            1 => (".{1,9}", any::<u64>())
                .prop_map(|(source, position)| Work::Tracking(Tracking { source, position })),
        ]
    }

    fn any_unit() -> impl Strategy<Value = UnitOfWork> {
        let state = vec((".{0,8}", option::of(vec(any::<u8>(), 0..40))), 0..5);
        let letters = vec((any::<u64>(), option::of(".{0,8}")), 0..4);
        let owner = ("[a-z]{1,9}", 0..3_u32);
        (owner, 0..3_u32, any::<[u64; 3]>(), option::of(".{0,5}"), state, letters).prop_map(
            |((plugin, generation), partition, numbers, failing, state, letters)| UnitOfWork {
                owner: Owner { plugin: PluginName::new(plugin).unwrap(), generation },
                partition,
                progress: progress(numbers, failing),
                state: state.into_iter().map(|(key, value)| StateChange { key, value }).collect(),
                events: Vec::new(),
                dead_letters: letters.into_iter().map(|(position, put)| letter(Position(position), put)).collect(),
            },
        )
    }

    fn any_change() -> impl Strategy<Value = PluginChange> {
        let rows = vec((any::<u32>(), any::<u32>()), 0..3);
        ("[a-z]{1,9}", any::<u64>(), ".{0,9}", rows, any::<[u64; 3]>(), vec(any::<u32>(), 0..3)).prop_map(
            |(plugin, revision, content, rows, numbers, generations_dropped)| PluginChange {
                plugin: PluginName::new(plugin).unwrap(),
                record: PluginRecord { revision, content },
                progress: rows.iter().map(|(owner, partition)| (*owner, *partition, progress(numbers, None))).collect(),
                progress_removed: rows,
                generations_dropped,
            },
        )
    }

    fn progress([revision, checkpoint, time]: [u64; 3], failing: Option<String>) -> Progress {
        Progress {
            revision,
            checkpoint: Position(checkpoint),
            stopped: failing.as_ref().map(|reason| Stopped {
                quarantined: time % 2 == 0,
                reason: reason.clone(),
                ..Stopped::default()
            }),
            failing: failing.map(|reason| Failing {
                position: Position(checkpoint),
                attempts: 1,
                faults: 2,
                first_us: time,
                last_us: time,
                reason,
            }),
        }
    }

    fn letter(position: Position, put: Option<String>) -> DeadLetterChange {
        let Some(reason) = put else { return DeadLetterChange::Remove(position) };
        DeadLetterChange::Put(DeadLetter {
            position,
            key: Some(reason.clone()),
            reason,
            kind: "trap".to_owned(),
            attempts: 3,
            faults: 2,
            due_us: None,
            first_us: 1,
            last_us: 2,
            component_digest: String::new(),
            stderr_tail: "\n".to_owned(),
            backtrace: String::new(),
            quiet: false,
        })
    }

    fn encode(first: u64, blocks: &[Vec<u8>], works: &[Work]) -> Vec<u8> {
        let works = encode_works(works).unwrap();
        [encode_head(first ^ 5, Position(first), blocks.iter().map(Vec::len), works.len()), blocks.concat(), works]
            .concat()
    }

    proptest! {
        #[test]
        fn a_record_survives_the_round_trip(
            first: u64, blocks in vec(vec(any::<u8>(), 0..30), 0..5), works in vec(any_work(), 0..4),
        ) {
            let bytes = encode(first, &blocks, &works);
            let record = Record::decode(&bytes).unwrap();
            prop_assert_eq!((record.records_before, record.first), (first ^ 5, Position(first)));
            prop_assert_eq!(record.works, works);
            for ((at, found), block) in record.blocks.iter().zip(&blocks) {
                prop_assert_eq!((*found, &bytes[*at..at + block.len()]), (&block[..], &block[..]));
            }
            prop_assert_eq!(record.blocks.len(), blocks.len());
        }

        #[test]
        fn a_cut_record_is_refused(works in vec(any_work(), 0..3), cut: prop::sample::Index) {
            let bytes = encode(1, &[vec![7; 9]], &works);
            prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}
