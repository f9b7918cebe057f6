//! The manifest: which files make up the log, and from where on the journals count.

use serde::{Deserialize, Serialize};

use crate::event::{Category, Position};
use crate::store::Removals;
use crate::store::embedded::segment::SegmentRow;

/// What a data directory is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store::embedded) struct Manifest {
    /// Drawn when the store was made; every file of it carries it.
    pub(in crate::store::embedded) store_id: u128,
    /// Seeds the checksums of journal records.
    pub(in crate::store::embedded) journal_seed: u64,
    /// Lowest sequence of a journal that is not sealed.
    pub(in crate::store::embedded) journal_floor: u64,
    /// How far journals are known to have come.
    pub(in crate::store::embedded) mark: JournalMark,
    /// The segments, by rising position, without gaps.
    pub(in crate::store::embedded) segments: Vec<SegmentRow>,
    /// How many streams have their first event in a segment.
    pub(in crate::store::embedded) streams: u64,
    /// The runs of the index, by rising position, without gaps.
    pub(in crate::store::embedded) runs: Vec<RunRow>,
    /// What was removed.
    pub(in crate::store::embedded) removals: Removals,
}

/// How far the journals had come when it was noted: there are at least so many records. What is missing of
/// them at an open was lost, and not torn by a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::store::embedded) struct JournalMark {
    /// The newest journal.
    pub(in crate::store::embedded) sequence: u64,
    /// How many synced records it had.
    pub(in crate::store::embedded) records: u64,
}

/// What of the manifest is one row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Roots {
    store_id_high: u64,
    store_id_low: u64,
    journal_seed: u64,
    journal_floor: u64,
    mark: JournalMark,
    streams: u64,
    /// That of `journal_floor` up to which every seal kept the sizes of state; behind it where a release sealed that
    /// knows nothing of them, and writes this row without it.
    #[serde(default)]
    sizes_floor: u64,
}

impl Roots {
    /// Those of a manifest.
    pub(super) const fn of(manifest: &Manifest) -> Self {
        Self {
            store_id_high: (manifest.store_id >> 64) as u64,
            store_id_low: manifest.store_id as u64,
            journal_seed: manifest.journal_seed,
            journal_floor: manifest.journal_floor,
            mark: manifest.mark,
            streams: manifest.streams,
            sizes_floor: manifest.journal_floor,
        }
    }

    /// Lowest sequence of a journal that is not sealed.
    pub(super) const fn journal_floor(&self) -> u64 {
        self.journal_floor
    }

    /// Whether every seal kept the sizes of state.
    pub(super) const fn has_sizes(&self) -> bool {
        self.sizes_floor == self.journal_floor
    }

    /// The sizes of state are counted.
    pub(super) const fn counted_sizes(self) -> Self {
        Self { sizes_floor: self.journal_floor, ..self }
    }

    /// A manifest without files.
    pub(super) fn manifest(self) -> Manifest {
        let Self { store_id_high, store_id_low, journal_seed, journal_floor, mark, streams, sizes_floor: _ } = self;
        let store_id = u128::from(store_id_high) << 64 | u128::from(store_id_low);
        Manifest { store_id, journal_seed, journal_floor, mark, streams, ..Manifest::default() }
    }

    /// Makes a change.
    pub(super) fn apply(&mut self, change: &ManifestChange) {
        let sizes = self.has_sizes();
        self.journal_floor = change.journal_floor.unwrap_or(self.journal_floor);
        if sizes {
            *self = self.counted_sizes();
        }
        self.mark = self.mark.max(change.mark);
        self.streams += change.streams;
    }
}

/// A run of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::embedded) struct RunRow {
    /// First position it covers.
    pub(in crate::store::embedded) first: Position,
    /// Last position it covers.
    pub(in crate::store::embedded) last: Position,
    /// 0 for the run of one segment; one more than that of the runs it was merged from.
    pub(in crate::store::embedded) level: u32,
    /// Size of the file.
    pub(in crate::store::embedded) bytes: u64,
    /// How many times it was compacted since it was sealed or merged; part of its file's name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::store::embedded) generation: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RunRow {
    /// Name of its file.
    pub(in crate::store::embedded) fn file_name(&self) -> String {
        let Self { first: Position(first), last: Position(last), generation, .. } = self;
        match generation {
            0 => format!("{first:020}-{last:020}.index"),
            _ => format!("{first:020}-{last:020}.{generation}.index"),
        }
    }
}

impl Manifest {
    /// Last position that is sealed.
    pub(in crate::store::embedded) fn sealed(&self) -> Position {
        self.segments.last().map_or(Position::START, |row| row.summary.last)
    }

    /// What is wrong with it, if anything: segments and runs must each cover the same positions without gaps.
    pub(in crate::store::embedded) fn flaw(&self) -> Option<String> {
        let gap = |what: &str, ranges: &mut dyn Iterator<Item = (Position, Position)>| {
            let mut next = self.segments.first().map_or(Position(1), |row| row.summary.first);
            for (first, last) in ranges {
                if first != next || last < first {
                    return Err(format!("a {what} covers {first} to {last} where {next} comes next"));
                }
                next = last.next();
            }
            Ok(next)
        };
        let segments = gap("segment", &mut self.segments.iter().map(|row| (row.summary.first, row.summary.last)));
        let runs = gap("run of the index", &mut self.runs.iter().map(|row| (row.first, row.last)));
        match (segments, runs) {
            (Ok(segments), Ok(runs)) if segments == runs => None,
            (Ok(segments), Ok(runs)) => Some(format!("segments end before {segments}, the index before {runs}")),
            (Err(flaw), _) | (_, Err(flaw)) => Some(flaw),
        }
    }
}

/// What a seal, a merge, a compaction or a removal changes, in one transaction.
#[derive(Clone, Debug, Default)]
pub(in crate::store::embedded) struct ManifestChange {
    /// The new lowest sequence of a journal that is not sealed.
    pub(in crate::store::embedded) journal_floor: Option<u64>,
    /// How far the journals have come.
    pub(in crate::store::embedded) mark: JournalMark,
    /// Segments that are there now, the last ones or in place of others.
    pub(in crate::store::embedded) segments: Vec<SegmentRow>,
    /// How many streams have their first event in them.
    pub(in crate::store::embedded) streams: u64,
    /// First positions of runs that are replaced.
    pub(in crate::store::embedded) runs_removed: Vec<Position>,
    /// Runs that are there now.
    pub(in crate::store::embedded) runs: Vec<RunRow>,
    /// A category and the position before which its events are removed.
    pub(in crate::store::embedded) removal: Option<(Category, Position)>,
}

#[cfg(test)]
impl ManifestChange {
    /// Makes the change.
    fn apply(&self, manifest: &mut Manifest) {
        let mut roots = Roots::of(manifest);
        roots.apply(self);
        let Manifest { segments, runs, removals, .. } = std::mem::take(manifest);
        *manifest = Manifest { segments, runs, removals, ..roots.manifest() };
        manifest.segments.extend(self.segments.clone());
        manifest.runs.retain(|row| !self.runs_removed.contains(&row.first));
        manifest.runs.extend(&self.runs);
        manifest.runs.sort_by_key(|row| row.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::segment::SegmentSummary;

    fn segment(first: u64, last: u64) -> SegmentRow {
        SegmentRow::sealed(SegmentSummary {
            first: Position(first),
            last: Position(last),
            first_timestamp_us: 0,
            last_timestamp_us: 0,
            blocks: 1,
            payload_bytes: 1,
            file_bytes: 1,
            root: [0; 32],
        })
    }

    fn run(first: u64, last: u64, level: u32) -> RunRow {
        RunRow { first: Position(first), last: Position(last), level, bytes: 1, generation: 0 }
    }

    #[test]
    fn changes_keep_it_whole_and_flaws_are_named() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.flaw(), None);
        for (first, last) in [(1, 5), (6, 9)] {
            let change = ManifestChange {
                segments: vec![segment(first, last)],
                runs: vec![run(first, last, 0)],
                ..ManifestChange::default()
            };
            change.apply(&mut manifest);
        }
        let merge = ManifestChange {
            runs_removed: vec![Position(1), Position(6)],
            runs: vec![run(1, 9, 1)],
            journal_floor: Some(3),
            ..ManifestChange::default()
        };
        merge.apply(&mut manifest);
        assert_eq!((manifest.flaw(), manifest.sealed(), manifest.journal_floor), (None, Position(9), 3));
        manifest.runs.clear();
        assert_eq!(manifest.flaw().unwrap(), "segments end before 10, the index before 1");
        manifest.segments.push(segment(12, 13));
        assert_eq!(manifest.flaw().unwrap(), "a segment covers 12 to 13 where 10 comes next");
    }
}
