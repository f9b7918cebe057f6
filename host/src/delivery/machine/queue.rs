//! The set-aside events of a machine's partition, as far as they must be known to decide: their positions.
//!
//! Rows of one sequence stand in a line, in position order; only its head is ever handed over. A line whose head has no
//! due time waits for an operator. Every change belongs to the unit of work that is being gathered, and is taken back
//! with it: so each notes what undoes it, and costs the same however long the line is.

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

#[derive(Debug, Default)]
struct Line {
    rows: VecDeque<Position>,
    times: Times,
}

/// When the head of a line is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    /// By itself; none when it waits for an operator.
    due_us: Option<u64>,
    /// Because an operator wants the line handled, whatever else waits.
    forced_us: Option<u64>,
}

impl Times {
    fn first_us(self) -> Option<u64> {
        self.forced_us.or(self.due_us)
    }
}

/// What is done to the rows of a line.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Nothing,
    /// One more, at an index.
    Add(usize, Position),
    /// The one at an index goes.
    Remove(usize, Position),
}

/// What takes a change back.
#[derive(Debug)]
struct Undo {
    sequence: Sequence,
    edit: Edit,
    /// As they were.
    times: Times,
}

/// Lines of set-aside events.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: BTreeMap<Sequence, Line>,
    /// Every line that is handed over at a time, by it.
    due: BTreeSet<(u64, Sequence)>,
    rows: usize,
    /// Lines of events without a key.
    alone: usize,
    /// Events that wait for what becomes of them elsewhere.
    held: BTreeSet<Position>,
    /// What the unit changed, the last at the end.
    undo: Vec<Undo>,
    /// Sequences that are not wanted any more, or were taken back to where they are.
    rested: Vec<Sequence>,
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
        self.lines.len() - self.alone
    }

    /// Whether later events of a sequence must wait.
    pub(super) fn blocks(&self, sequence: &Sequence) -> bool {
        self.lines.contains_key(sequence)
    }

    /// The first of a line.
    pub(super) fn head(&self, sequence: &Sequence) -> Option<Position> {
        self.lines.get(sequence)?.rows.front().copied()
    }

    /// The rows of a sequence, in position order.
    pub(super) fn rows_of(&self, sequence: &Sequence) -> impl Iterator<Item = Position> {
        self.lines.get(sequence).into_iter().flat_map(|line| line.rows.iter().copied())
    }

    /// Whether an event of a sequence is set aside.
    pub(super) fn holds(&self, sequence: &Sequence, position: Position) -> bool {
        self.lines.get(sequence).is_some_and(|line| line.rows.binary_search(&position).is_ok())
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
        let (index, times) = match self.lines.get(&sequence) {
            // Under a key that changed an earlier one may come later.
            Some(line) => (line.rows.partition_point(|row| *row < position), line.times),
            None => (0, Times { due_us, forced_us: None }),
        };
        self.change(sequence, Edit::Add(index, position), times);
    }

    /// Takes an event out, handled or given up; when it was the head, the next one moves up and is due.
    pub(super) fn remove(&mut self, sequence: &Sequence, position: Position, now_us: u64) {
        let Some(line) = self.lines.get(sequence) else { return };
        let Ok(index) = line.rows.binary_search(&position) else { return };
        let waits = line.rows.get(1).is_some_and(|next| self.held.contains(next));
        let times = match index {
            0 if waits => Times::default(),
            0 => Times { due_us: Some(now_us), forced_us: line.times.forced_us.map(|_| now_us) },
            _ => line.times,
        };
        self.change(sequence.clone(), Edit::Remove(index, position), times);
    }

    /// The head failed: it is due again then, or waits for an operator.
    pub(super) fn hold(&mut self, sequence: &Sequence, due_us: Option<u64>) {
        self.change(sequence.clone(), Edit::Nothing, Times { due_us, forced_us: None });
    }

    /// An operator wants a line handled: its head is due at once.
    pub(super) fn force(&mut self, sequence: &Sequence, now_us: u64) {
        let Some(Line { times, .. }) = self.lines.get(sequence) else { return };
        let times = Times { forced_us: Some(now_us), ..*times };
        self.change(sequence.clone(), Edit::Nothing, times);
    }

    /// Whether an operator wants a line handled.
    pub(super) fn is_forced(&self, sequence: &Sequence) -> bool {
        self.lines.get(sequence).is_some_and(|line| line.times.forced_us.is_some())
    }

    /// What an operator wanted is forgotten, whatever is taken back later: each line waits for what it waited for before.
    pub(super) fn calm(&mut self) {
        let forced = |(_, line): &(&Sequence, &Line)| line.times.forced_us.is_some();
        let forced: Vec<_> =
            self.lines.iter().filter(forced).map(|(sequence, line)| (sequence.clone(), line.times)).collect();
        for (sequence, times) in forced {
            self.alter(sequence, Times { forced_us: None, ..times }, |_| {});
        }
        self.undo.iter_mut().for_each(|undo| undo.times.forced_us = None);
    }

    /// Sequences that an operator wanted and that have come to a rest since this was asked last, some of them more than
    /// once; what was taken back since may be wanted still.
    pub(super) fn take_rested(&mut self) -> Vec<Sequence> {
        std::mem::take(&mut self.rested)
    }

    /// Every head that waits for a time is due at once.
    pub(super) fn hasten(&mut self) {
        for (_, sequence) in std::mem::take(&mut self.due) {
            if let Some(line) = self.lines.get_mut(&sequence) {
                line.times.due_us = Some(0);
            }
            self.due.insert((0, sequence));
        }
    }

    /// Heads that are due later than that are due at once.
    pub(super) fn cut(&mut self, latest_us: u64, now_us: u64) {
        while let Some((due_us, sequence)) = self.due.last().filter(|(due_us, _)| *due_us > latest_us).cloned() {
            self.due.remove(&(due_us, sequence.clone()));
            if let Some(line) = self.lines.get_mut(&sequence) {
                let Times { due_us, forced_us } = &mut line.times;
                *if forced_us.is_some() { forced_us } else { due_us } = Some(now_us);
            }
            self.due.insert((now_us, sequence));
        }
    }

    /// The head that has been due longest, with whether an operator wants it; only such when `forced_only`.
    pub(super) fn ready(&self, now_us: u64, forced_only: bool) -> Option<(&Sequence, Position, bool)> {
        let due = self.due.iter().take_while(|(due_us, _)| *due_us <= now_us);
        let mut lines = due.filter_map(|(_, sequence)| self.lines.get(sequence).map(|line| (sequence, line)));
        let forced = |line: &Line| line.times.forced_us.is_some();
        let (sequence, line) = lines.find(|(_, line)| forced(line) || !forced_only)?;
        Some((sequence, *line.rows.front()?, forced(line)))
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
        for Undo { sequence, edit, times } in std::mem::take(&mut self.undo).into_iter().rev() {
            self.alter(sequence, times, |rows| match edit {
                Edit::Nothing => {}
                Edit::Add(index, _) => drop(rows.remove(index)),
                Edit::Remove(index, position) => rows.insert(index, position),
            });
        }
    }

    /// Changes a line, and notes what takes that back.
    fn change(&mut self, sequence: Sequence, edit: Edit, times: Times) {
        let before = self.alter(sequence.clone(), times, |rows| match edit {
            Edit::Nothing => {}
            Edit::Add(index, position) => rows.insert(index, position),
            Edit::Remove(index, _) => drop(rows.remove(index)),
        });
        self.undo.push(Undo { sequence, edit, times: before });
    }

    /// Changes the rows of a line and its times; answers those that it had. A line without rows is none.
    fn alter(&mut self, sequence: Sequence, times: Times, edit: impl FnOnce(&mut VecDeque<Position>)) -> Times {
        let mut line = self.take(&sequence).unwrap_or_default();
        let before = std::mem::replace(&mut line.times, times);
        edit(&mut line.rows);
        if before.forced_us.is_some() && (times.forced_us.is_none() || line.rows.is_empty()) {
            self.rested.push(sequence.clone());
        }
        self.put(sequence, line);
        before
    }

    fn take(&mut self, sequence: &Sequence) -> Option<Line> {
        let (sequence, line) = self.lines.remove_entry(sequence)?;
        self.rows -= line.rows.len();
        self.alone -= usize::from(sequence.key().is_none());
        if let Some(due_us) = line.times.first_us() {
            self.due.remove(&(due_us, sequence));
        }
        Some(line)
    }

    fn put(&mut self, sequence: Sequence, line: Line) {
        if line.rows.is_empty() {
            return;
        }
        self.rows += line.rows.len();
        self.alone += usize::from(sequence.key().is_none());
        if let Some(due_us) = line.times.first_us() {
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
        queue.remove(&key("a"), Position(1), 9);
        queue.push(key("a"), Position(4), None);
        queue.push(key("c"), Position(5), Some(1));
        queue.push(Sequence::Alone(Position(6)), Position(6), None);
        queue.hold(&key("a"), Some(7));
        queue.rewind();
        assert_eq!(queue.take_rested(), [key("a"), key("a")], "it was wanted, and is not again");
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

    #[test]
    fn what_an_operator_wanted_is_forgotten_and_waits_as_before() {
        let alone = Sequence::Alone(Position(5));
        let rows = vec![row("a", 1, None), row("b", 2, Some(500)), row("b", 3, Some(0)), row("c", 4, None)];
        let mut queue = Queue::load(rows);
        queue.push(alone.clone(), Position(5), None);
        [&key("a"), &key("b"), &alone].into_iter().for_each(|sequence| queue.force(sequence, 40));
        queue.remove(&key("b"), Position(2), 50);
        queue.settle();
        assert_eq!((queue.parked(), queue.blocked_keys()), (1, 3));
        queue.calm();
        assert_eq!(queue.take_rested(), [key("a"), key("b"), alone.clone()]);
        assert!(!queue.is_forced(&key("a")) && queue.take_rested().is_empty());
        assert_eq!(ready(&queue, 1000), Some(("b".into(), 3)), "its turn had come by itself");
        queue.remove(&key("b"), Position(3), 60);
        assert_eq!((ready(&queue, 1000), queue.parked()), (None, 3), "the others wait for an operator");
    }

    #[test]
    fn one_long_line_is_gone_through_in_no_time() {
        const ROWS: u64 = 100_000;
        let mut queue = Queue::load((1..=ROWS).map(|position| row("a", position, Some(0))).collect());
        queue.force(&key("a"), 1);
        for position in 1..=ROWS {
            queue.remove(&key("a"), Position(position), position);
            queue.settle();
        }
        assert_eq!((queue.len(), queue.take_rested()), (0, vec![key("a")]));
    }
}
