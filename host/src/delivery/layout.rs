//! How a plugin's events are shared among partitions, and what follows when that changes.
//!
//! A layout is a number of partitions and the rule that tells them apart. When it changes, the partitions of the
//! layout before stand at different checkpoints. The new ones all begin at the lowest of them and pass over
//! what is settled already: an event that an old layout's partition of it had come past. An old layout matters
//! until every partition has passed its highest checkpoint.
//!
//! Pure: [`super::record`] says where this is kept.

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::policy::Policy;
use crate::event::{Position, RecordedEvent};
use crate::store::{Failing, Progress};

/// How events are shared among partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// How many there are; at least 1.
    pub(super) partitions: u32,
    /// What tells them apart, as the manifest writes it.
    #[serde(with = "text")]
    pub(super) key: Key,
}

/// A layout of before, with how far its partitions had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    /// The layout.
    pub(super) layout: Layout,
    /// Checkpoint of each partition.
    pub(super) checkpoints: Vec<Position>,
}

/// What a change of the layout comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The layouts before, as far as they matter.
    pub(super) before: Vec<Settled>,
    /// Where each new partition begins.
    pub(super) progress: Vec<Progress>,
}

impl Layout {
    /// The layout that a policy asks for.
    pub(super) fn of(policy: &Policy) -> Self {
        Self { partitions: policy.partitions.max(1), key: policy.key() }
    }

    /// That of a plugin that has always had one partition and no key of its own.
    pub(super) fn single() -> Self {
        Self { partitions: 1, key: Key::default() }
    }

    /// What of it is written down: nothing of one that is taken for granted.
    pub(super) fn noted(self) -> Option<Self> {
        Some(self).filter(|layout| *layout != Self::single())
    }

    /// Whether events go to the same partitions in both.
    pub(super) fn shares_as(&self, other: &Self) -> bool {
        self.partitions == other.partitions && (self.partitions == 1 || self.key == other.key)
    }

    /// What follows from going over to a layout of `partitions`. `progress` is that of this layout's
    /// partitions, `stored` what is stored for the new partitions' numbers, `owner` tells the new partition of
    /// an event.
    pub(super) fn change(
        &self,
        before: &[Settled],
        progress: &[Progress],
        stored: &[Progress],
        owner: impl Fn(Position) -> Option<u32>,
    ) -> Change {
        let checkpoints: Vec<_> = progress.iter().map(|progress| progress.checkpoint).collect();
        let lowest = checkpoints.iter().min().copied().unwrap_or_default();
        let last = Settled { layout: self.clone(), checkpoints };
        let before = before.iter().chain([&last]).filter(|settled| settled.reach() > lowest).cloned().collect();
        // Whoever still drives the old partitions is fenced off.
        let revision = progress.iter().chain(stored).map(|progress| progress.revision).max().unwrap_or_default() + 1;
        let failing = |partition: u32| -> Option<Failing> {
            let all = progress.iter().filter_map(|progress| progress.failing.as_ref());
            let own = all.filter(|failing| owner(failing.position) == Some(partition));
            own.min_by_key(|failing| failing.position).cloned()
        };
        let numbers = 0..u32::try_from(stored.len()).unwrap_or(u32::MAX);
        let progress = numbers
            .map(|partition| Progress { revision, checkpoint: lowest, failing: failing(partition), stopped: None })
            .collect();
        Change { before, progress }
    }
}

impl Settled {
    /// Nothing beyond this is settled by it.
    pub(super) fn reach(&self) -> Position {
        self.checkpoints.iter().max().copied().unwrap_or_default()
    }

    /// Everything up to this is settled by it.
    pub(super) fn lowest(&self) -> Position {
        self.checkpoints.iter().min().copied().unwrap_or_default()
    }

    /// Whether an event was settled when the layout was given up.
    pub(super) fn covers(&self, event: &RecordedEvent) -> bool {
        let partition = self.layout.key.partition_of(event, self.layout.partitions);
        let checkpoint = usize::try_from(partition).ok().and_then(|partition| self.checkpoints.get(partition));
        checkpoint.is_some_and(|checkpoint| event.position <= *checkpoint)
    }
}

/// A key as text.
mod text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Key;

    pub(super) fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(partitions: u32) -> Layout {
        Layout { partitions, key: Key::Stream }
    }

    fn at(revision: u64, checkpoint: u64) -> Progress {
        Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() }
    }

    #[test]
    fn new_partitions_begin_at_the_lowest_checkpoint_and_fence_the_old_ones_off() {
        let change = layout(2).change(&[], &[at(7, 100), at(4, 60)], &[at(7, 100), at(4, 60), at(9, 3)], |_| None);
        assert_eq!(change.progress, vec![at(10, 60); 3]);
        assert_eq!(change.before.len(), 1);
        assert_eq!(change.before[0].reach(), Position(100));
        let back = layout(3).change(&change.before, &[at(11, 99), at(11, 110), at(11, 120)], &[at(11, 99)], |_| None);
        assert_eq!(back.progress, [at(12, 99)]);
        assert_eq!(back.before.len(), 2, "a partition is not past the first layout's reach yet");
        let past = layout(3).change(&change.before, &vec![at(11, 100); 3], &[at(11, 100)], |_| None);
        assert_eq!(past.before, []);
    }

    #[test]
    fn attempts_go_with_the_event() {
        let failing = |position| {
            let position = Position(position);
            Some(Failing { position, attempts: 2, faults: 0, first_us: 1, last_us: 2, reason: "no".into() })
        };
        let old = Progress { failing: failing(8), ..at(1, 7) };
        let change = layout(1).change(&[], &[old], &[at(0, 0), at(0, 0)], |position| Some((position.0 % 2) as u32));
        assert_eq!((&change.progress[0].failing, &change.progress[1].failing), (&failing(8), &None));
    }

    #[test]
    fn a_layout_reads_back() {
        let settled = Settled { layout: layout(3), checkpoints: vec![Position(1), Position(2)] };
        let text = serde_json::to_string(&settled).unwrap();
        assert_eq!(text, r#"{"layout":{"partitions":3,"key":"stream"},"checkpoints":[1,2]}"#);
        assert_eq!(serde_json::from_str::<Settled>(&text).unwrap(), settled);
    }

    #[test]
    fn one_partition_is_the_same_under_any_key() {
        let other = |partitions| Layout { partitions, key: Key::CorrelationId };
        assert!(layout(1).shares_as(&other(1)) && !layout(2).shares_as(&other(2)));
        assert!(!layout(1).shares_as(&layout(2)));
    }
}
