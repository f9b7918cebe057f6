//! The set-aside events of a machine's partition, as far as they must be known to decide: their positions.
//!
//! Rows of one sequence stand in a line; only its head is ever handed over. A line whose head has no due time
//! waits for an operator. Every change belongs to the unit of work that is being gathered, and is taken back
//! with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::io::Elsewhere;
use crate::delivery::key::Sequence;
use crate::event::Position;

/// A set-aside event, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Row {
    /// What it keeps the order of.
    pub(in crate::delivery) sequence: Sequence,
    /// The event.
    pub(in crate::delivery) position: Position,
    /// When it is handed over, once it is the head: at once when it was never tried; none when it waits for an
    /// operator.
    pub(in crate::delivery) due_us: Option<u64>,
    /// Whether another generation has set it aside too: it waits for what becomes of it there.
    pub(in crate::delivery) held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    rows: VecDeque<Position>,
    /// When the head is handed over; none when it waits for an operator.
    due_us: Option<u64>,
    /// An operator wants the line handled, whatever else waits.
    forced: bool,
}

/// Lines of set-aside events.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: BTreeMap<Sequence, Line>,
    /// Every line with a due time, by it.
    due: BTreeSet<(u64, Sequence)>,
    rows: usize,
    /// Events that wait for what becomes of them elsewhere.
    held: BTreeSet<Position>,
    /// Lines that the unit changed, as they were before.
    undo: BTreeMap<Sequence, Option<Line>>,
}

impl Queue {
    /// The lines of stored rows, which come in position order.
    pub(super) fn load(rows: Vec<Row>) -> Self {
        let mut queue = Self::default();
        for row in rows {
            if row.held {
                queue.push_held(row.sequence, row.position);
            } else {
                queue.push(row.sequence, row.position, row.due_us);
            }
        }
        queue.settle();
        queue
    }

    /// How many events are set aside.
    pub(super) const fn len(&self) -> usize {
        self.rows
    }

    /// How many lines wait for an operator: each by one event that failed.
    pub(super) fn parked(&self) -> usize {
        self.lines.len() - self.due.len()
    }

    /// How many keys are blocked.
    pub(super) fn blocked_keys(&self) -> usize {
        let alone = Sequence::Alone(Position::START)..=Sequence::Alone(Position(u64::MAX));
        self.lines.len() - self.lines.range(alone).count()
    }

    /// Whether later events of a sequence must wait.
    pub(super) fn blocks(&self, sequence: &Sequence) -> bool {
        self.lines.contains_key(sequence)
    }

    /// The first of a line.
    pub(super) fn head(&self, sequence: &Sequence) -> Option<Position> {
        self.lines.get(sequence)?.rows.front().copied()
    }

    /// Every sequence that has a line.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.lines.keys()
    }

    /// Sets an event aside behind those of its sequence; `due_us` counts when it is the first.
    pub(super) fn push(&mut self, sequence: Sequence, position: Position, due_us: Option<u64>) {
        self.held.remove(&position);
        self.add(sequence, position, due_us);
    }

    /// The same for one that waits for what becomes of it elsewhere.
    pub(super) fn push_held(&mut self, sequence: Sequence, position: Position) {
        self.held.insert(position);
        self.add(sequence, position, None);
    }

    /// Of those that wait for what becomes of them elsewhere only these go on waiting; what was given up there goes, and
    /// a line whose head was neither is wanted handled, up to the next that waits.
    pub(super) fn release(&mut self, Elsewhere { held, discarded }: &Elsewhere, now_us: u64) {
        let is_gone = |row: &&Position| discarded.contains(row) && self.held.contains(row);
        let gone = |(sequence, line): (&Sequence, &Line)| {
            line.rows.iter().filter(is_gone).map(|row| (sequence.clone(), *row)).collect::<Vec<_>>()
        };
        for (sequence, position) in self.lines.iter().flat_map(gone).collect::<Vec<_>>() {
            self.held.remove(&position);
            self.remove(&sequence, position, now_us);
        }
        let released: BTreeSet<_> = self.held.difference(held).copied().collect();
        self.held.retain(|position| held.contains(position));
        let is_released = |line: &Line| line.rows.front().is_some_and(|head| released.contains(head));
        let heads: Vec<_> =
            self.lines.iter().filter(|(_, line)| is_released(line)).map(|(sequence, _)| sequence.clone()).collect();
        heads.iter().for_each(|sequence| self.force(sequence, now_us));
    }

    fn add(&mut self, sequence: Sequence, position: Position, due_us: Option<u64>) {
        self.change(sequence, |line| match line {
            Some(line) => line.rows.push_back(position),
            None => *line = Some(Line { rows: [position].into(), due_us, forced: false }),
        });
    }

    /// Takes an event out, handled or given up; when it was the head, the next one moves up and is due.
    pub(super) fn remove(&mut self, sequence: &Sequence, position: Position, now_us: u64) {
        let held = std::mem::take(&mut self.held);
        self.change(sequence.clone(), |slot| {
            let Some(line) = slot else { return };
            if line.rows.front() == Some(&position) {
                line.rows.pop_front();
                line.due_us = Some(now_us);
                if line.rows.front().is_some_and(|head| held.contains(head)) {
                    (line.due_us, line.forced) = (None, false);
                }
            } else {
                line.rows.retain(|row| *row != position);
            }
            if line.rows.is_empty() {
                *slot = None;
            }
        });
        self.held = held;
    }

    /// The head failed: it is due again then, or waits for an operator.
    pub(super) fn hold(&mut self, sequence: &Sequence, due_us: Option<u64>) {
        self.change(sequence.clone(), |line| {
            if let Some(line) = line {
                (line.due_us, line.forced) = (due_us, false);
            }
        });
    }

    /// An operator wants a line handled: its head is due at once.
    pub(super) fn force(&mut self, sequence: &Sequence, now_us: u64) {
        self.change(sequence.clone(), |line| {
            if let Some(line) = line {
                (line.due_us, line.forced) = (Some(now_us), true);
            }
        });
    }

    /// Whether an operator wants a line handled.
    pub(super) fn is_forced(&self, sequence: &Sequence) -> bool {
        self.lines.get(sequence).is_some_and(|line| line.forced)
    }

    /// What an operator wanted is forgotten.
    pub(super) fn calm(&mut self) {
        self.lines.values_mut().for_each(|line| line.forced = false);
    }

    /// Every head that waits for a time is due at once.
    pub(super) fn hasten(&mut self) {
        for (_, sequence) in std::mem::take(&mut self.due) {
            if let Some(line) = self.lines.get_mut(&sequence) {
                line.due_us = Some(0);
            }
            self.due.insert((0, sequence));
        }
    }

    /// Heads that are due later than that are due at once.
    pub(super) fn cut(&mut self, latest_us: u64, now_us: u64) {
        while let Some((due_us, sequence)) = self.due.last().filter(|(due_us, _)| *due_us > latest_us).cloned() {
            self.due.remove(&(due_us, sequence.clone()));
            if let Some(line) = self.lines.get_mut(&sequence) {
                line.due_us = Some(now_us);
            }
            self.due.insert((now_us, sequence));
        }
    }

    /// The head that has been due longest, with whether an operator wants it; only such when `forced_only`.
    pub(super) fn ready(&self, now_us: u64, forced_only: bool) -> Option<(&Sequence, Position, bool)> {
        let due = self.due.iter().take_while(|(due_us, _)| *due_us <= now_us);
        let mut lines = due.filter_map(|(_, sequence)| self.lines.get(sequence).map(|line| (sequence, line)));
        let (sequence, line) = lines.find(|(_, line)| line.forced || !forced_only)?;
        Some((sequence, *line.rows.front()?, line.forced))
    }

    /// When the next head is due.
    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// What was changed is committed.
    pub(super) fn settle(&mut self) {
        self.undo.clear();
    }

    /// What was changed is taken back.
    pub(super) fn rewind(&mut self) {
        for (sequence, line) in std::mem::take(&mut self.undo) {
            self.take(&sequence);
            self.put(sequence, line);
        }
    }

    fn change(&mut self, sequence: Sequence, change: impl FnOnce(&mut Option<Line>)) {
        let mut line = self.take(&sequence);
        self.undo.entry(sequence.clone()).or_insert_with(|| line.clone());
        change(&mut line);
        self.put(sequence, line);
    }

    fn take(&mut self, sequence: &Sequence) -> Option<Line> {
        let (sequence, line) = self.lines.remove_entry(sequence)?;
        self.rows -= line.rows.len();
        if let Some(due_us) = line.due_us {
            self.due.remove(&(due_us, sequence));
        }
        Some(line)
    }

    fn put(&mut self, sequence: Sequence, line: Option<Line>) {
        let Some(line) = line else { return };
        self.rows += line.rows.len();
        if let Some(due_us) = line.due_us {
            self.due.insert((due_us, sequence.clone()));
        }
        self.lines.insert(sequence, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Sequence {
        Sequence::Key(name.into())
    }

    fn row(name: &str, position: u64, due_us: Option<u64>) -> Row {
        Row { sequence: key(name), position: Position(position), due_us, held: false }
    }

    fn ready(queue: &Queue, now_us: u64) -> Option<(String, u64)> {
        let (sequence, position, _) = queue.ready(now_us, false)?;
        Some((sequence.key().unwrap_or("alone").to_owned(), position.0))
    }

    #[test]
    fn lines_move_up_in_order() {
        let mut queue = Queue::load(vec![row("a", 1, None), row("b", 2, Some(50)), row("a", 3, Some(0))]);
        assert_eq!((queue.len(), queue.parked(), queue.blocked_keys()), (3, 1, 2));
        assert_eq!((ready(&queue, 49), queue.next_due_us()), (None, Some(50)));
        assert_eq!(ready(&queue, 50), Some(("b".into(), 2)));
        queue.force(&key("a"), 40);
        assert_eq!(ready(&queue, 50), Some(("a".into(), 1)), "due longer");
        queue.remove(&key("a"), Position(1), 60);
        assert_eq!(queue.head(&key("a")), Some(Position(3)));
        assert_eq!(queue.ready(60, true), Some((&key("a"), Position(3), true)), "the whole line is wanted");
        queue.remove(&key("a"), Position(3), 70);
        assert!(!queue.blocks(&key("a")) && queue.blocks(&key("b")));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_was_changed_is_taken_back() {
        let mut queue = Queue::load(vec![row("a", 1, None), row("b", 2, Some(50))]);
        let before = format!("{queue:?}");
        queue.remove(&key("b"), Position(2), 9);
        queue.force(&key("a"), 9);
        queue.push(key("a"), Position(4), None);
        queue.push(key("c"), Position(5), Some(1));
        queue.push(Sequence::Alone(Position(6)), Position(6), None);
        queue.hold(&key("a"), Some(7));
        queue.rewind();
        assert_eq!(format!("{queue:?}"), before);
    }

    #[test]
    fn what_waits_for_elsewhere_moves_up_when_it_is_settled_there() {
        let held = |row: Row| Row { held: true, ..row };
        let rows = vec![held(row("a", 1, None)), held(row("a", 2, None)), row("a", 3, None), held(row("b", 4, None))];
        let mut queue = Queue::load(rows);
        assert_eq!(ready(&queue, 100), None);
        queue.release(&Elsewhere { held: [Position(2)].into(), discarded: BTreeSet::new() }, 10);
        assert_eq!(queue.ready(10, true), Some((&key("a"), Position(1), true)));
        queue.remove(&key("a"), Position(1), 11);
        assert!(!queue.is_forced(&key("a")) && queue.is_forced(&key("b")), "the second waits still");
        queue.remove(&key("b"), Position(4), 12);
        assert_eq!(ready(&queue, 100), None);
        queue.release(&Elsewhere::default(), 13);
        queue.remove(&key("a"), Position(2), 14);
        assert_eq!(ready(&queue, 14), Some(("a".into(), 3)), "the third was never held");
    }

    #[test]
    fn what_is_given_up_elsewhere_goes_and_nobody_tries_it() {
        let held = |row: Row| Row { held: true, ..row };
        let rows = vec![held(row("a", 1, None)), held(row("a", 2, None)), row("a", 3, None), held(row("b", 4, None))];
        let mut queue = Queue::load(rows);
        let given_up = |positions: &[u64]| positions.iter().copied().map(Position).collect::<BTreeSet<_>>();
        // The third is set aside here alone: that is nothing to the other one.
        queue.release(&Elsewhere { held: [Position(2)].into(), discarded: given_up(&[1, 3, 4]) }, 10);
        assert_eq!((ready(&queue, 100), queue.len()), (None, 2), "the second waits still");
        queue.release(&Elsewhere { held: BTreeSet::new(), discarded: given_up(&[1, 2, 3, 4]) }, 11);
        assert_eq!((ready(&queue, 100), queue.len()), (Some(("a".into(), 3)), 1));
    }

    #[test]
    fn a_row_in_the_middle_can_go() {
        let mut queue = Queue::load(vec![row("a", 1, None), row("a", 2, Some(0)), row("a", 3, Some(0))]);
        queue.remove(&key("a"), Position(2), 5);
        assert_eq!((queue.head(&key("a")), queue.len(), queue.parked()), (Some(Position(1)), 2, 1));
    }
}
