//! What survives a crash, and the promises that every commit is held to.

use std::collections::{BTreeMap, BTreeSet};

use super::handler::Mood;
use crate::delivery::key::{Key, Sequence};
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::machine::{BEHIND, Commit};
use crate::event::{Position, RecordedEvent};
use crate::store::{DeadLetter, DeadLetterChange, Progress};

pub(super) struct Durable {
    log: Vec<RecordedEvent>,
    layout: Layout,
    pub(super) before: Vec<Settled>,
    /// By partition number, of layouts that are gone too.
    pub(super) progress: Vec<Progress>,
    pub(super) rows: BTreeMap<Position, DeadLetter>,
    handled: BTreeSet<Position>,
    discarded: BTreeSet<Position>,
    /// Failed attempts and faults of each event, as far as they are committed.
    tallies: BTreeMap<Position, (u32, u32)>,
}

impl Durable {
    pub(super) fn new(log: Vec<RecordedEvent>) -> Self {
        Self {
            log,
            layout: Layout { partitions: 1, key: Key::Stream },
            before: Vec::new(),
            progress: vec![Progress::default()],
            rows: BTreeMap::new(),
            handled: BTreeSet::new(),
            discarded: BTreeSet::new(),
            tallies: BTreeMap::new(),
        }
    }

    /// Goes over to a layout, as the shell does at a start.
    pub(super) fn lay_out(&mut self, layout: &Layout) {
        if self.layout.shares_as(layout) {
            return;
        }
        let count = layout.partitions as usize;
        if self.progress.len() < count {
            self.progress.resize(count, Progress::default());
        }
        let current = &self.progress[..self.layout.partitions as usize];
        let owner = |position: Position| Some(self.owner(self.event(position), layout.partitions));
        let change = self.layout.change(&self.before, current, &self.progress[..count], owner);
        let kept: BTreeSet<_> =
            change.progress.iter().filter_map(|progress| progress.failing.as_ref()).map(|f| f.position).collect();
        let lost = self.progress.iter().filter_map(|progress| progress.failing.as_ref()).map(|f| f.position);
        for position in lost.filter(|position| !kept.contains(position)) {
            self.tallies.remove(&position);
        }
        self.progress[..count].clone_from_slice(&change.progress);
        (self.before, self.layout) = (change.before, layout.clone());
    }

    /// A new component has failed at nothing in place.
    pub(super) fn forget_attempts_in_place(&mut self) {
        for progress in &mut self.progress {
            if let Some(failing) = progress.failing.take() {
                self.tallies.remove(&failing.position);
            }
        }
    }

    fn event(&self, position: Position) -> &RecordedEvent {
        let index = self.log.binary_search_by_key(&position, |event| event.position);
        &self.log[index.expect("an event of the log")]
    }

    fn owner(&self, event: &RecordedEvent, count: u32) -> u32 {
        Key::Stream.sequence_of(event).partition(count)
    }

    fn is_settled(&self, position: Position) -> bool {
        self.handled.contains(&position) || self.discarded.contains(&position) || self.rows.contains_key(&position)
    }

    /// Takes a commit in that handled these events and accounts for a failed attempt, and holds it to the
    /// promises.
    pub(super) fn commit(
        &mut self,
        partition: usize,
        commit: &Commit,
        staged: &[Position],
        tried: Option<(Position, u32, u32)>,
    ) {
        let before = self.progress[partition].clone();
        assert_eq!(commit.progress.revision, before.revision + 1, "builds on the stored progress");
        assert!(commit.progress.checkpoint >= before.checkpoint, "the checkpoint never goes back");
        assert_eq!(commit.handled as usize, staged.len());
        assert!(staged.is_sorted(), "handed over in order");
        for change in &commit.rows {
            self.change_row(change, staged);
        }
        for position in staged {
            self.handled(*position, partition);
        }
        self.progress[partition] = commit.progress.clone();
        self.check_attempts(commit, tried);
        self.check_nothing_skipped(partition as u32, before.checkpoint, commit.progress.checkpoint);
    }

    fn change_row(&mut self, change: &DeadLetterChange, staged: &[Position]) {
        match change {
            DeadLetterChange::Put(letter) if letter.is_discarded() => {
                let position = letter.position;
                assert!(self.rows.remove(&position).is_some(), "{position} is not set aside");
                self.discarded.insert(position);
            }
            DeadLetterChange::Put(letter) => {
                let position = letter.position;
                assert!(!self.handled.contains(&position), "{position} was handled and is set aside");
                assert!(!self.discarded.contains(&position), "{position} was given up and is set aside");
                let sequence = Key::Stream.sequence_of(self.event(position));
                assert_eq!(sequence, Sequence::of_row(letter.key.as_deref(), position), "it keeps its key");
                if letter.kind == BEHIND {
                    let earlier = self.rows.range(..position);
                    assert!(earlier.clone().any(|(_, row)| row.key == letter.key), "{position} is behind nothing");
                    assert!(!self.rows.contains_key(&position), "{position} is put behind twice");
                }
                self.rows.insert(position, letter.clone());
            }
            DeadLetterChange::Remove(position) => {
                assert!(self.rows.remove(position).is_some(), "{position} is not set aside");
                assert!(staged.contains(position), "{position} is given up by nobody");
            }
        }
    }

    /// An event is handled once, by its partition, when all before it of its key are settled for good.
    fn handled(&mut self, position: Position, partition: usize) {
        assert!(!self.discarded.contains(&position), "{position} was given up and is handled");
        assert!(!self.rows.contains_key(&position), "{position} is handled and still set aside");
        let event = self.event(position);
        assert_eq!(self.owner(event, self.layout.partitions) as usize, partition, "it belongs to the partition");
        let Some(stream) = &event.stream else {
            assert!(self.handled.insert(position), "{position} is handled twice");
            return;
        };
        let earlier =
            self.log.iter().filter(|other| other.position < position && other.stream.as_ref() == Some(stream));
        for other in earlier.map(|other| other.position) {
            let settled = self.handled.contains(&other) || self.discarded.contains(&other);
            assert!(settled, "{position} is handled before {other} of the same key");
        }
        assert!(self.handled.insert(position), "{position} is handled twice");
    }

    /// Every attempt that failed is counted, once, on top of those before.
    fn check_attempts(&mut self, commit: &Commit, tried: Option<(Position, u32, u32)>) {
        let Some((position, attempts, faults)) = tried else { return };
        let tally = self.tallies.entry(position).or_default();
        *tally = (tally.0 + attempts, tally.1 + faults);
        let failing = commit.progress.failing.as_ref().filter(|failing| failing.position == position);
        let written = match (failing, self.rows.get(&position)) {
            (Some(failing), _) => (failing.attempts, failing.faults),
            (None, Some(row)) => (row.attempts, row.faults),
            (None, None) => panic!("the attempt at {position} is not written down"),
        };
        assert_eq!(written, *tally, "attempts at {position}");
    }

    /// The checkpoint has passed nothing of the partition's that is not settled.
    fn check_nothing_skipped(&self, partition: u32, after: Position, through: Position) {
        let passed = self.log.iter().filter(|event| event.position > after && event.position <= through);
        for event in passed.filter(|event| self.owner(event, self.layout.partitions) == partition) {
            let position = event.position;
            assert!(self.is_settled(position), "checkpoint {through} has passed {position}, which is not settled");
        }
    }

    /// What must hold when everything is settled.
    pub(super) fn check_end(&self, moods: &BTreeMap<Position, Mood>, fixed: bool) {
        let mut blocked = BTreeSet::new();
        for event in &self.log {
            let position = event.position;
            assert!(self.is_settled(position), "{position} is not settled");
            let Some(row) = self.rows.get(&position) else { continue };
            let first = row.key.is_none() || blocked.insert(row.key.clone());
            if first && row.kind != "no_key" {
                assert!(fixed || moods[&position].is_bad(), "{position} was fine: {row:?}");
                assert_ne!(row.kind, BEHIND, "{position} is the first of its key");
                assert_eq!(row.due_us, None, "it waits for an operator");
            } else if row.kind != "no_key" {
                assert_eq!(row.kind, BEHIND, "{position} was tried though its key is blocked");
            }
        }
    }
}
