//! Accepted commands that were read and are not settled, and up to where all are settled.
//!
//! Pure. Of a command no more is held than where it is. No kind of aggregate takes all the room for those that are held: it
//! is held one more only while it has none, or fewer than there is room for. Of what comes behind, no more is known than
//! where it begins, and it is read again when there is room. Whose turn it is of those that are held is said by [`Turns`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::places::{GivenBack, Place};
use super::queue_checkpoint::{Checkpoint, Noted};
use super::queue_turns::{Aside, Turns, Waiting};
use super::request::stream_of;
use super::tally::Tally;
use crate::delivery::Envelope;
use crate::event::{Category, Position, RecordedEvent, StreamName, Version};

/// Most commands that are held, that were read and are not settled, but for one of each kind of aggregate.
const UNSETTLED_MAX: usize = 100_000;

/// Commands that were read and are not settled.
pub(super) struct Open {
    /// What is known from before: of those that had an outcome it may be removed by now.
    known_settled: Noted,
    /// Up to where the stream was read.
    read: Checkpoint,
    room: Room,
    turns: Turns,
}

/// Which of them are held, and which are not.
struct Room {
    /// Those that are held, and how many may be.
    unsettled: BTreeMap<Version, (Position, Category)>,
    unsettled_max: usize,
    /// How many of those each kind of aggregate has, if any.
    held_by_kind: HashMap<Category, usize>,
    /// Kinds of which not all that was read is held.
    beyond: BTreeMap<Category, Beyond>,
    /// How many of each kind are read, and not settled.
    tally: Arc<Tally>,
}

/// Commands of a kind of aggregate that were read and are not held: all of them from a place on.
struct Beyond {
    /// Up to where all are held or settled.
    after: Checkpoint,
    count: u64,
}

impl Open {
    /// Nothing, of a stream of which that is known.
    pub(super) fn after(known_settled: Noted) -> Self {
        Self::bounded(known_settled, UNSETTLED_MAX)
    }

    fn bounded(known_settled: Noted, unsettled_max: usize) -> Self {
        Self { read: known_settled.all, known_settled, room: Room::new(unsettled_max), turns: Turns::new() }
    }

    /// The same, counted elsewhere. Before any is read.
    pub(super) fn counted_in(mut self, tally: Arc<Tally>) -> Self {
        tally.clear();
        self.room.tally = tally;
        self
    }

    /// Whether another command may be read. Only more kinds of aggregates than there is room for commands end that.
    pub(super) fn has_room(&self) -> bool {
        self.room.beyond.len() < self.room.unsettled_max
    }

    /// Takes a command in. What no host wrote so is none, and is passed over, as is what is known to be settled.
    pub(super) fn read(&mut self, event: &RecordedEvent) {
        let until = std::mem::replace(&mut self.read, Checkpoint { position: event.position, version: event.version });
        let Some(waiting) = self.waiting(event) else { return };
        self.room.tally.add(&waiting.aggregate);
        if let Some(beyond) = self.room.beyond.get_mut(&waiting.aggregate) {
            beyond.count += 1;
        } else if self.room.may_hold(&waiting.aggregate) {
            self.hold(waiting, event.position);
        } else {
            self.room.beyond.insert(waiting.aggregate, Beyond { after: until, count: 1 });
        }
    }

    /// A kind of aggregate with commands that are to be read again, as there is room for as many as it has; and the
    /// positions that they are between, both exclusive.
    pub(super) fn again(&self) -> Option<(Category, Position, Position)> {
        let (category, beyond) = self.room.again()?;
        Some((category.clone(), beyond.after.position, self.read.position.next()))
    }

    /// Takes commands of a kind in that were read [again](Self::again), in a page that reaches through a position, and
    /// may be the last one.
    pub(super) fn read_again(
        &mut self,
        category: &Category,
        events: &[RecordedEvent],
        through: Position,
        is_last: bool,
    ) {
        let Some(Beyond { mut after, mut count }) = self.room.beyond.remove(category) else { return };
        for event in events {
            if let Some(waiting) = self.waiting(event).filter(|waiting| waiting.aggregate == *category) {
                if !self.room.may_hold(category) {
                    self.room.beyond.insert(category.clone(), Beyond { after, count });
                    return;
                }
                count = count.saturating_sub(1);
                self.hold(waiting, event.position);
            }
            after = Checkpoint { position: event.position, version: event.version };
        }
        if !is_last {
            let after = Checkpoint { position: through.max(after.position), ..after };
            self.room.beyond.insert(category.clone(), Beyond { after, count });
            return;
        }
        // Those that are not there any more.
        self.room.tally.take(category, count);
    }

    /// What an event of the queue's stream asks, if that is not known to be settled.
    fn waiting(&self, event: &RecordedEvent) -> Option<Waiting> {
        if self.known_settled.is_settled(event.version) {
            return None;
        }
        let Envelope { aggregate, key, .. } = Envelope::of(event)?;
        let stream = stream_of(&aggregate, &key).ok()?;
        Some(Waiting { event: event.id, version: event.version, stream, aggregate })
    }

    fn hold(&mut self, waiting: Waiting, position: Position) {
        self.room.hold(&waiting, position);
        self.turns.add(waiting);
    }

    /// Those that begin now, each with its place.
    pub(super) fn begin(&mut self) -> Vec<(Waiting, Place)> {
        self.turns.begin()
    }

    /// Whether some could begin, if they had places.
    pub(super) fn has_ready(&self) -> bool {
        self.turns.has_ready()
    }

    /// Where those that begin are set aside, before they give their places back.
    pub(super) fn aside(&self) -> Aside {
        self.turns.aside()
    }

    /// What tells that others may begin, as a place was given back.
    pub(super) fn given_back(&self) -> GivenBack {
        self.turns.given_back()
    }

    /// Notes that a command of an aggregate is settled; the next one's turn comes.
    pub(super) fn settle(&mut self, stream: &StreamName, version: Version) {
        self.room.settle(version);
        self.turns.pass_over(stream);
    }

    /// The next one's turn of an aggregate comes, though the one before is not settled: it is read again after a restart.
    pub(super) fn pass_over(&mut self, stream: &StreamName) {
        self.turns.pass_over(stream);
    }

    /// Up to where all are settled.
    fn settled(&self) -> Checkpoint {
        let held = self.room.unsettled.first_key_value().map_or(self.read, |(version, (position, _))| Checkpoint {
            position: Position(position.0.saturating_sub(1)),
            version: Version(version.0.saturating_sub(1)),
        });
        self.room.beyond.values().map(|beyond| beyond.after).fold(held, earlier)
    }

    /// Which are settled; no less than was known before, until all that it spoke of was read again.
    pub(super) fn noted(&self) -> Noted {
        if self.read.version < self.known_settled.read {
            return self.known_settled.clone();
        }
        // Of what comes behind some that are not held it is not told which are settled.
        let told = self.room.beyond.values().map(|beyond| beyond.after).fold(self.read, earlier);
        Noted::new(
            self.settled(),
            told.version,
            self.room.unsettled.range(..=told.version).map(|(version, _)| *version),
        )
    }

    /// Up to where the stream was read.
    pub(super) fn read_through(&self) -> Version {
        self.read.version
    }

    /// How many of the stream are settled, or are none, or are gone.
    pub(super) fn done(&self) -> u64 {
        let beyond: u64 = self.room.beyond.values().map(|beyond| beyond.count).sum();
        self.read.version.0.saturating_sub(self.room.unsettled.len() as u64 + beyond)
    }
}

impl Room {
    fn new(unsettled_max: usize) -> Self {
        Self {
            unsettled: BTreeMap::new(),
            unsettled_max,
            held_by_kind: HashMap::new(),
            beyond: BTreeMap::new(),
            tally: Arc::default(),
        }
    }

    fn free(&self) -> usize {
        self.unsettled_max.saturating_sub(self.unsettled.len())
    }

    fn held_of(&self, category: &Category) -> usize {
        self.held_by_kind.get(category).copied().unwrap_or_default()
    }

    fn may_hold(&self, category: &Category) -> bool {
        let held = self.held_of(category);
        held == 0 || held < self.free()
    }

    /// A kind of which there is room for as many as it has.
    fn again(&self) -> Option<(&Category, &Beyond)> {
        self.beyond.iter().find(|(category, _)| {
            let held = self.held_of(category);
            held == 0 || held < self.free().div_ceil(2)
        })
    }

    fn hold(&mut self, waiting: &Waiting, position: Position) {
        self.unsettled.insert(waiting.version, (position, waiting.aggregate.clone()));
        *self.held_by_kind.entry(waiting.aggregate.clone()).or_default() += 1;
    }

    fn settle(&mut self, version: Version) {
        let Some((_, category)) = self.unsettled.remove(&version) else { return };
        self.tally.take(&category, 1);
        let left = self.held_of(&category).saturating_sub(1);
        if left == 0 {
            self.held_by_kind.remove(&category);
        } else {
            self.held_by_kind.insert(category, left);
        }
    }
}

fn earlier(one: Checkpoint, other: Checkpoint) -> Checkpoint {
    if other.version < one.version { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, OwnIds};

    /// A command to an aggregate, as event `number` of the queue's stream, ten positions apart.
    fn accepted(number: u64, aggregate: &str, key: &str) -> RecordedEvent {
        let envelope = Envelope::new(format!("c{number}"), Category::new(aggregate).unwrap(), key.into(), "Add".into());
        let event = envelope.seal(NewEvent::json(EventType::new("x").unwrap(), "1"), OwnIds::FORESEEABLE).unwrap();
        RecordedEvent::record(event, Position(number * 10), Version(number), 1)
    }

    fn versions(begun: &[(Waiting, Place)]) -> Vec<u64> {
        begun.iter().map(|(waiting, _)| waiting.version.0).collect()
    }

    fn reached(open: &Open) -> (u64, u64, u64) {
        let Checkpoint { position, version } = open.settled();
        (position.0, version.0, open.done())
    }

    #[test]
    fn what_is_no_command_is_done_and_so_is_what_was_removed() {
        let mut open = Open::after(Noted::default());
        let planted = NewEvent::json(EventType::new("Planted").unwrap(), "1");
        // Those before were removed.
        open.read(&RecordedEvent::record(planted.clone(), Position(40), Version(5), 1));
        assert_eq!(reached(&open), (40, 5, 5));
        open.read(&accepted(6, "purse", "1"));
        open.read(&RecordedEvent::record(planted, Position(70), Version(7), 1));
        assert_eq!((versions(&open.begin()), reached(&open)), (vec![6], (59, 5, 6)));
        open.settle(&StreamName::new("purse-1").unwrap(), Version(6));
        assert_eq!(reached(&open), (70, 7, 7));
    }

    #[test]
    fn one_that_is_never_settled_holds_up_its_aggregate_alone() {
        let mut open = Open::after(Noted::default());
        for number in 1..=10_000 {
            open.read(&accepted(number, "purse", "stuck"));
        }
        open.read(&accepted(10_001, "purse", "other"));
        let begun = open.begin();
        assert_eq!(versions(&begun), [1, 10_001]);
        open.settle(&StreamName::new("purse-other").unwrap(), Version(10_001));
        assert_eq!((reached(&open), open.has_room()), ((9, 0, 1), true));
        assert!(open.begin().is_empty(), "those behind wait for their turn");
        drop(begun);
        open.settle(&StreamName::new("purse-stuck").unwrap(), Version(1));
        assert_eq!((versions(&open.begin()), reached(&open)), (vec![2], (19, 1, 2)));
    }

    #[test]
    fn no_kind_of_aggregate_takes_all_the_room_and_what_was_not_held_is_read_again_in_its_order() {
        let mut open = Open::bounded(Noted::default(), 8);
        let mut log: Vec<_> = (1..=20).map(|number| accepted(number, "lost", "1")).collect();
        log.push(accepted(21, "purse", "1"));
        log.iter().for_each(|event| open.read(event));
        assert_eq!(versions(&open.begin()), [1, 21], "another kind is served");
        assert_eq!((open.room.unsettled.len(), open.has_room(), reached(&open)), (5, true, (9, 0, 0)));
        open.settle(&StreamName::new("purse-1").unwrap(), Version(21));
        assert_eq!(reached(&open), (9, 0, 1));
        let noted = open.noted();
        assert!([5, 20, 21].iter().all(|version| !noted.is_settled(Version(*version))), "what is beyond is not told");
        assert_eq!(open.again(), None, "there is no room");
        let stream = StreamName::new("lost-1").unwrap();
        for number in 1..=20 {
            open.settle(&stream, Version(number));
            while let Some((category, after, before)) = open.again() {
                let within = |event: &&RecordedEvent| event.position > after && event.position < before;
                let page: Vec<_> = log.iter().filter(within).take(3).cloned().collect();
                let (through, is_last) = (page.last().map_or(after, |event| event.position), page.len() < 3);
                open.read_again(&category, &page, through, is_last);
            }
            let next = if number < 20 { vec![number + 1] } else { Vec::new() };
            assert_eq!(versions(&open.begin()), next);
            let all = if number < 20 { (number * 10 + 9, number) } else { (210, 21) };
            assert_eq!(reached(&open), (all.0, all.1, number + 1), "after {number}");
        }
        let Room { unsettled, held_by_kind, beyond, .. } = &open.room;
        assert!(held_by_kind.is_empty() && beyond.is_empty() && unsettled.is_empty());
    }

    #[test]
    fn what_was_settled_before_a_restart_is_not_read_again_though_one_before_it_waits() {
        let mut open = Open::after(Noted::default());
        for (number, key) in [(1, "stuck"), (2, "other"), (3, "other")] {
            open.read(&accepted(number, "purse", key));
        }
        assert_eq!(versions(&open.begin()), [1, 2]);
        open.settle(&StreamName::new("purse-other").unwrap(), Version(2));
        let noted = open.noted();
        let mut again = Open::after(noted.clone());
        for (number, key) in [(1, "stuck"), (2, "other"), (3, "other"), (4, "third")] {
            assert_eq!(again.noted(), noted, "nothing of it is forgotten on the way");
            again.read(&accepted(number, "purse", key));
        }
        assert_ne!(again.noted(), noted);
        assert_eq!((versions(&again.begin()), reached(&again)), (vec![1, 3, 4], (9, 0, 1)));
    }

    #[test]
    fn one_that_is_passed_over_lets_others_go_on_and_is_not_settled() {
        let mut open = Open::after(Noted::default());
        (1..=2).for_each(|number| open.read(&accepted(number, "purse", "1")));
        let stream = StreamName::new("purse-1").unwrap();
        assert_eq!(versions(&open.begin()), [1]);
        open.pass_over(&stream);
        assert_eq!(versions(&open.begin()), [2]);
        open.settle(&stream, Version(2));
        assert_eq!(reached(&open), (9, 0, 1));
        open.read(&accepted(3, "purse", "1"));
        assert_eq!(versions(&open.begin()), [3]);
    }

    #[test]
    fn each_kind_is_held_one_however_little_room_there_is_and_what_is_read_is_counted() {
        let mut open = Open::bounded(Noted::default(), 2).counted_in(Arc::default());
        let kinds = ["lost", "lost2", "lost3", "purse"];
        let mut number = 0;
        for kind in kinds {
            for _ in 0..3 {
                number += 1;
                open.read(&accepted(number, kind, "1"));
            }
        }
        assert_eq!(versions(&open.begin()), [1, 4, 7, 10]);
        let tally = Arc::clone(&open.room.tally);
        let counts = || kinds.map(|kind| tally.of(&Category::new(kind).unwrap()));
        assert_eq!(counts(), [3; 4]);
        open.settle(&StreamName::new("purse-1").unwrap(), Version(10));
        assert_eq!(counts(), [3, 3, 3, 2]);
        let (purse, ..) = open.again().expect("it has none, so there is room for one");
        assert_eq!(purse.as_str(), "purse");
        open.read_again(&purse, &[accepted(11, "purse", "1")], Position(110), true);
        assert_eq!((counts(), versions(&open.begin())), ([3, 3, 3, 1], vec![11]), "one is not there any more");
    }
}
