//! Accepted commands that were read and are not settled: whose turn it is, and up to where all are settled.
//!
//! Pure. Of a command no more is held than where it is, so one that cannot be settled holds up those behind it of its
//! aggregate and nobody else. Those that are carried out take places, of which no kind of aggregate takes all.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use super::places::{Place, Places};
use super::queue_checkpoint::{Checkpoint, Noted};
use super::request::stream_of;
use crate::delivery::Envelope;
use crate::event::{Category, Position, RecordedEvent, StreamName, Version};

/// Most commands that are carried out at a time: a part of those that the bus decides.
const PLACES: usize = 256;
/// Most commands that were read and are not settled.
const UNSETTLED_MAX: usize = 100_000;

/// A command that was read.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The event by which it was accepted.
    pub(super) event: Uuid,
    /// That event's version in the queue's stream.
    pub(super) version: Version,
    /// The stream that it is for.
    pub(super) stream: StreamName,
    aggregate: Category,
}

/// Commands that were read and are not settled.
pub(super) struct Open {
    /// What is known from before: of those that had an outcome it may be removed by now.
    before: Noted,
    /// Up to where the stream was read.
    read: Checkpoint,
    unsettled: BTreeMap<Version, Position>,
    /// Behind the one of each aggregate that is carried out, or may be.
    lanes: HashMap<StreamName, VecDeque<Waiting>>,
    /// Those that have nothing of their aggregate before them.
    ready: BTreeMap<Category, VecDeque<Waiting>>,
    places: Places,
}

impl Open {
    /// Nothing, of a stream of which that is known.
    pub(super) fn after(before: Noted) -> Self {
        let read = before.all;
        let (unsettled, lanes, ready) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        Self { before, read, unsettled, lanes, ready, places: Places::new(PLACES) }
    }

    /// Whether another command may be read.
    pub(super) fn has_room(&self) -> bool {
        self.unsettled.len() < UNSETTLED_MAX
    }

    /// Takes a command in. What no host wrote so is none, and is passed over, as is what is known to be settled.
    pub(super) fn read(&mut self, event: &RecordedEvent) {
        self.read = Checkpoint { position: event.position, version: event.version };
        if self.before.is_settled(event.version) {
            return;
        }
        let Some(Envelope { aggregate, key, .. }) = Envelope::of(event) else { return };
        let Ok(stream) = stream_of(&aggregate, &key) else { return };
        self.unsettled.insert(event.version, event.position);
        let waiting = Waiting { event: event.id, version: event.version, stream, aggregate };
        match self.lanes.get_mut(&waiting.stream) {
            Some(lane) => lane.push_back(waiting),
            None => {
                self.lanes.insert(waiting.stream.clone(), VecDeque::new());
                self.make_ready(waiting);
            }
        }
    }

    /// Those that begin now, each with its place.
    pub(super) fn begin(&mut self) -> Vec<(Waiting, Place)> {
        let mut begun = Vec::new();
        for (aggregate, ready) in &mut self.ready {
            while !ready.is_empty()
                && let Ok(place) = self.places.take(aggregate)
            {
                begun.extend(ready.pop_front().map(|waiting| (waiting, place)));
            }
        }
        self.ready.retain(|_, ready| !ready.is_empty());
        begun
    }

    /// Notes that a command of an aggregate is settled; the next one's turn comes.
    pub(super) fn settle(&mut self, stream: &StreamName, version: Version) {
        self.unsettled.remove(&version);
        self.pass_over(stream);
    }

    /// The next one's turn of an aggregate comes, though the one before is not settled: it is read again after a restart.
    pub(super) fn pass_over(&mut self, stream: &StreamName) {
        match self.lanes.get_mut(stream).and_then(VecDeque::pop_front) {
            Some(next) => self.make_ready(next),
            None => drop(self.lanes.remove(stream)),
        }
    }

    /// Up to where all are settled.
    fn settled(&self) -> Checkpoint {
        self.unsettled.first_key_value().map_or(self.read, |(version, position)| Checkpoint {
            position: Position(position.0.saturating_sub(1)),
            version: Version(version.0.saturating_sub(1)),
        })
    }

    /// Which are settled; no less than was known before, until all that it spoke of was read again.
    pub(super) fn noted(&self) -> Noted {
        if self.read.version < self.before.read {
            return self.before.clone();
        }
        Noted::new(self.settled(), self.read.version, self.unsettled.keys().copied())
    }

    /// How many of the stream are settled, or are none, or are gone.
    pub(super) fn done(&self) -> u64 {
        self.read.version.0.saturating_sub(self.unsettled.len() as u64)
    }

    fn make_ready(&mut self, waiting: Waiting) {
        self.ready.entry(waiting.aggregate.clone()).or_default().push_back(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent};

    /// A command to an aggregate, as event `number` of the queue's stream, ten positions apart.
    fn accepted(number: u64, aggregate: &str, key: &str) -> RecordedEvent {
        let envelope = Envelope::new(format!("c{number}"), Category::new(aggregate).unwrap(), key.into(), "Add".into());
        let event = envelope.seal(NewEvent::json(EventType::new("x").unwrap(), "1")).unwrap();
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
    fn no_kind_of_aggregate_takes_all_places() {
        let mut open = Open::after(Noted::default());
        for number in 1..=1000 {
            open.read(&accepted(number, "purse", &number.to_string()));
        }
        let of_one = open.begin();
        assert_eq!(of_one.len(), PLACES / 2);
        open.read(&accepted(1001, "order", "1"));
        assert_eq!(versions(&open.begin()), [1001]);
        drop(of_one);
        assert!(!open.begin().is_empty(), "there is room again");
    }
}
