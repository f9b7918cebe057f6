//! One state, several partitions: what each commit wrote, so that units of work stay serialisable.
//!
//! A unit notes what it reads. When it is submitted, all that other partitions have written since it began is
//! looked through, before anybody else submits: if it read any of that, it is refused and
//! done again. So the state is what handling unit after unit, in the order of commits, would have made of it.
//!
//! Units are submitted one after the other, by threads that may be blocked by that; what is known of writes is looked at
//! and changed apart from it, so that tasks ask without waiting for the store.
//!
//! Writes count from what is durable: one that is still under way counts as newer than whatever began meanwhile,
//! whether it could be read already or not. The log of writes is bounded; a unit that began before what it
//! still holds is refused.
//!
//! Partitions that keep meeting at the same keys would do most of their work twice. So when a partition is refused
//! twice in a row all of them take **turns**: a unit begins when the one before is durable, and so sees what that
//! wrote. That is as fast as one partition. It ends when units have come that would not have met without it.

mod reads;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

pub(super) use self::reads::Reads;

/// Most keys in the log of writes.
const LOG_KEYS_MAX: usize = 65_536;
/// Refusals of a partition in a row from which on partitions take turns.
const REFUSALS_MAX: u32 = 2;
/// Units in turns that would not have met without, until they go on without.
const CALM_UNITS: u32 = 64;

/// Who wrote what, lately, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    /// Held by the thread that submits a unit.
    submitting: Mutex<()>,
    log: Mutex<Log>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to run a unit while partitions take turns; ends when it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// What is known of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Its units that were refused in a row.
    refused: u32,
    /// Number of its last write.
    last: u64,
}

#[derive(Debug, Default)]
struct Log {
    partitions: BTreeMap<u32, Standing>,
    /// Units that are still to be run in turns.
    turns: u32,
    /// Number of the last write.
    last: u64,
    writes: VecDeque<Write>,
    keys: usize,
    /// Writes up to this one are forgotten.
    forgotten: u64,
    /// Writes that are submitted and not answered.
    under_way: BTreeSet<u64>,
}

#[derive(Debug)]
struct Write {
    number: u64,
    partition: u32,
    /// In order.
    keys: Vec<String>,
}

/// Another partition has written what the unit had read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict;

/// A submitted write; to be given back when it is answered.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket(u64);

impl SharedState {
    /// Number of the write up to which all is durable: where a unit begins.
    pub(super) fn durable(&self) -> u64 {
        self.log().durable()
    }

    /// The turn, when partitions take turns. Waits for it.
    pub(super) async fn turn(&self) -> Option<Turn> {
        if self.log().turns == 0 {
            return None;
        }
        Some(Arc::clone(&self.turn).lock_owned().await)
    }

    /// Visits the keys that other partitions have written after a number. False when that is not known any more.
    pub(super) fn written_after(&self, number: u64, partition: u32, mut visit: impl FnMut(&str)) -> bool {
        let log = self.log();
        log.after(number).filter(|write| write.partition != partition).flat_map(|write| &write.keys).for_each(|key| {
            visit(key);
        });
        log.forgotten <= number
    }

    /// Submits a unit of work that began at a number, has read `reads` and writes `keys`, which are in order. Blocks.
    pub(super) fn submit<T>(
        &self,
        partition: u32,
        (began, reads): (u64, &Reads),
        keys: Vec<String>,
        submit: impl FnOnce() -> T,
    ) -> Result<(T, Ticket), Conflict> {
        let _alone = self.submitting.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = self.log().take(partition, (began, reads), keys)?;
        Ok((submit(), ticket))
    }

    /// A submitted write is answered. One that failed has changed nothing, and is taken for one that has.
    pub(super) fn answered(&self, ticket: Ticket) {
        self.log().under_way.remove(&ticket.0);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Every change of it is whole, so a panic elsewhere leaves nothing half done.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn durable(&self) -> u64 {
        self.under_way.first().map_or(self.last, |first| first - 1)
    }

    fn after(&self, number: u64) -> impl Iterator<Item = &Write> {
        self.writes.iter().rev().take_while(move |write| write.number > number)
    }

    /// Takes a write, unless it is in conflict.
    fn take(&mut self, partition: u32, (began, reads): (u64, &Reads), keys: Vec<String>) -> Result<Ticket, Conflict> {
        if self.meets(partition, began, reads) {
            self.refused(partition);
            return Err(Conflict);
        }
        self.calm_down(partition, reads);
        Ok(self.note(partition, keys))
    }

    /// Whether what a partition has read was written by others after a number.
    fn meets(&self, partition: u32, number: u64, reads: &Reads) -> bool {
        let mut others = self.after(number).filter(|write| write.partition != partition);
        others.any(|write| reads.meet(&write.keys)) || (self.forgotten > number && !reads.is_empty())
    }

    fn refused(&mut self, partition: u32) {
        let standing = self.partitions.entry(partition).or_default();
        standing.refused += 1;
        if standing.refused >= REFUSALS_MAX {
            self.turns = CALM_UNITS;
        }
    }

    /// A unit goes through. One that has read what others wrote since the partition's last one needed its turn.
    fn calm_down(&mut self, partition: u32, reads: &Reads) {
        let last = self.partitions.entry(partition).or_default().last;
        if self.turns > 0 {
            self.turns = if self.meets(partition, last, reads) { CALM_UNITS } else { self.turns - 1 };
        }
    }

    fn note(&mut self, partition: u32, keys: Vec<String>) -> Ticket {
        self.last += 1;
        self.partitions.insert(partition, Standing { refused: 0, last: self.last });
        // What nobody can meet is not kept: only keys make the log give way.
        if !keys.is_empty() {
            self.keys += keys.len();
            self.writes.push_back(Write { number: self.last, partition, keys });
        }
        self.under_way.insert(self.last);
        while self.keys > LOG_KEYS_MAX
            && let Some(oldest) = self.writes.pop_front()
        {
            self.keys -= oldest.keys.len();
            self.forgotten = oldest.number;
        }
        Ticket(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(keys: &[&str], prefixes: &[&str]) -> Reads {
        let mut reads = Reads::default();
        keys.iter().for_each(|key| reads.note_key(key));
        prefixes.iter().for_each(|prefix| reads.note_prefix(prefix));
        reads
    }

    fn submit(
        shared: &SharedState,
        partition: u32,
        began: u64,
        reads: &Reads,
        keys: &[&str],
    ) -> Result<Ticket, Conflict> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        shared.submit(partition, (began, reads), keys, || ()).map(|((), ticket)| ticket)
    }

    #[test]
    fn a_unit_that_read_what_another_wrote_meanwhile_is_refused() {
        let shared = SharedState::default();
        let began = shared.durable();
        let first = submit(&shared, 0, began, &reads(&["a"], &[]), &["a", "b/1"]).unwrap();
        assert_eq!(submit(&shared, 1, began, &reads(&["a"], &[]), &["c"]).unwrap_err(), Conflict);
        assert_eq!(submit(&shared, 1, began, &reads(&[], &["b/"]), &["c"]).unwrap_err(), Conflict);
        let other = submit(&shared, 1, began, &reads(&["c"], &["d/"]), &["c"]).unwrap();
        shared.answered(other);
        assert_eq!(shared.durable(), began, "the first write is under way");
        shared.answered(first);
        assert_eq!(shared.durable(), 2);
        assert!(submit(&shared, 1, shared.durable(), &reads(&["a"], &[]), &["a"]).is_ok());
    }

    #[tokio::test]
    async fn partitions_that_keep_meeting_take_turns_until_they_do_not() {
        let shared = SharedState::default();
        let (hot, cold) = (reads(&["hot"], &[]), [reads(&["a"], &[]), reads(&["b"], &[])]);
        let run = |partition, began, reads: &Reads, keys: &[&str]| {
            submit(&shared, partition, began, reads, keys).map(|ticket| shared.answered(ticket))
        };
        for _ in 0..REFUSALS_MAX {
            assert!(shared.turn().await.is_none());
            let began = shared.durable();
            run(0, began, &hot, &["hot"]).unwrap();
            run(1, began, &hot, &["hot"]).unwrap_err();
        }
        let turn = shared.turn().await.expect("they take turns");
        assert!(shared.turn.try_lock().is_err(), "one has the turn");
        drop(turn);
        for unit in 0..3 * CALM_UNITS {
            run(unit % 2, shared.durable(), &hot, &["hot"]).unwrap();
        }
        assert!(shared.turn().await.is_some(), "each needed what the other wrote");
        for unit in 0..=CALM_UNITS {
            run(unit % 2, shared.durable(), &cold[(unit % 2) as usize], &[["a", "b"][(unit % 2) as usize]]).unwrap();
        }
        assert!(shared.turn().await.is_none());
    }

    #[test]
    fn what_others_wrote_is_told_for_caches() {
        let shared = SharedState::default();
        let _one = submit(&shared, 0, 0, &Reads::default(), &["a"]).unwrap();
        let _two = submit(&shared, 1, 0, &Reads::default(), &["b"]).unwrap();
        let told = |number, partition| {
            let mut keys = Vec::new();
            assert!(shared.written_after(number, partition, |key| keys.push(key.to_owned())));
            keys
        };
        assert_eq!((told(0, 0), told(0, 1), told(1, 1)), (vec!["b".to_owned()], vec!["a".to_owned()], vec![]));
    }

    #[test]
    fn what_is_forgotten_counts_as_met() {
        let shared = SharedState::default();
        let many: Vec<_> = (0..LOG_KEYS_MAX).map(|key| format!("{key:05}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let _many = submit(&shared, 0, 0, &Reads::default(), &many).unwrap();
        let _more = submit(&shared, 0, 0, &Reads::default(), &["x"]).unwrap();
        assert_eq!(submit(&shared, 1, 0, &reads(&["y"], &[]), &[]).unwrap_err(), Conflict);
        assert!(submit(&shared, 1, 1, &reads(&["y"], &[]), &[]).is_ok());
        assert!(submit(&shared, 1, 0, &Reads::default(), &["z"]).is_ok(), "who read nothing cannot be wrong");
        assert!(!shared.written_after(0, 1, |_| ()));
    }
}
