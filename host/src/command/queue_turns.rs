//! Whose turn it is of the accepted commands that are held.
//!
//! Pure. One that cannot be settled holds up those behind it of its aggregate and nobody else. Those that are carried out
//! take places, of which no kind of aggregate takes all, and give them back while they wait for their next try; of each
//! kind only so many are carried out, beside those that are set aside.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::places::{GivenBack, Place, Places};
use crate::event::{Category, StreamName, Version};

/// Most commands that are tried at a time: a part of those that the bus decides.
const PLACES: usize = 256;
/// Most commands of a kind of aggregate that are carried out at a time: that are tried, or wait for their next try.
const BEGUN_MAX: usize = PLACES / 2;
/// Most commands of a kind of aggregate that are set aside.
const ASIDE_MAX: usize = 1024;

/// A command that was read.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The event by which it was accepted.
    pub(super) event: Uuid,
    /// That event's version in the queue's stream.
    pub(super) version: Version,
    /// The stream that it is for.
    pub(super) stream: StreamName,
    pub(super) aggregate: Category,
}

/// Commands that are carried out and wait for what their aggregate alone lacks, by the kinds and streams of those: others
/// of their kind begin beside them. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(super) struct Aside(Arc<Mutex<HashMap<String, HashSet<StreamName>>>>);

impl Aside {
    /// Sets the one of an aggregate aside until it is carried out; says whether it is.
    pub(super) fn put(&self, stream: &StreamName) -> bool {
        let mut aside = self.lock();
        let of_kind = aside.entry(stream.category().to_owned()).or_default();
        of_kind.contains(stream) || (of_kind.len() < ASIDE_MAX && of_kind.insert(stream.clone()))
    }

    /// How many of a kind are.
    fn of(&self, kind: &str) -> usize {
        self.lock().get(kind).map_or(0, HashSet::len)
    }

    fn remove(&self, stream: &StreamName) {
        let mut aside = self.lock();
        let Some(of_kind) = aside.get_mut(stream.category()) else { return };
        of_kind.remove(stream);
        if of_kind.is_empty() {
            aside.remove(stream.category());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashSet<StreamName>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commands that have their turn, or wait for it.
pub(super) struct Turns {
    /// Behind the one of each aggregate that is carried out, or may be.
    lanes: HashMap<StreamName, VecDeque<Waiting>>,
    /// Those that have nothing of their aggregate before them.
    ready: BTreeMap<Category, VecDeque<Waiting>>,
    /// How many of each kind are carried out, those that are set aside among them.
    begun: HashMap<String, usize>,
    aside: Aside,
    places: Places,
}

impl Turns {
    pub(super) fn new() -> Self {
        let (lanes, ready, begun) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Self { lanes, ready, begun, aside: Aside::default(), places: Places::new(PLACES) }
    }

    /// Adds one behind those of its aggregate.
    pub(super) fn add(&mut self, waiting: Waiting) {
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
            let of_kind = self.begun.entry(aggregate.as_str().to_owned()).or_default();
            let begun_max = BEGUN_MAX + self.aside.of(aggregate.as_str());
            while *of_kind < begun_max
                && !ready.is_empty()
                && let Ok(place) = self.places.take(aggregate)
            {
                *of_kind += 1;
                begun.extend(ready.pop_front().map(|waiting| (waiting, place)));
            }
        }
        self.ready.retain(|_, ready| !ready.is_empty());
        begun
    }

    /// Whether some could begin, if they had places.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Where those that begin are set aside, before they give their places back.
    pub(super) fn aside(&self) -> Aside {
        self.aside.clone()
    }

    /// What tells that others may begin, as a place was given back.
    pub(super) fn given_back(&self) -> GivenBack {
        self.places.given_back()
    }

    /// The one of an aggregate is carried out; the next one's turn comes.
    pub(super) fn pass_over(&mut self, stream: &StreamName) {
        let of_kind = self.begun.remove(stream.category()).unwrap_or_default();
        if of_kind > 1 {
            self.begun.insert(stream.category().to_owned(), of_kind - 1);
        }
        self.aside.remove(stream);
        match self.lanes.get_mut(stream).and_then(VecDeque::pop_front) {
            Some(next) => self.make_ready(next),
            None => drop(self.lanes.remove(stream)),
        }
    }

    fn make_ready(&mut self, waiting: Waiting) {
        self.ready.entry(waiting.aggregate.clone()).or_default().push_back(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(number: u64, aggregate: &str, key: u64) -> Waiting {
        let stream = StreamName::new(format!("{aggregate}-{key}")).unwrap();
        let aggregate = Category::new(aggregate).unwrap();
        Waiting { event: Uuid::from_u128(number.into()), version: Version(number), stream, aggregate }
    }

    fn versions(begun: &[(Waiting, Place)]) -> Vec<u64> {
        begun.iter().map(|(waiting, _)| waiting.version.0).collect()
    }

    #[test]
    fn no_kind_of_aggregate_takes_all_places() {
        let mut turns = Turns::new();
        (1..=1000).for_each(|number| turns.add(waiting(number, "purse", number)));
        let of_one = turns.begin();
        assert_eq!(of_one.len(), PLACES / 2);
        turns.add(waiting(1001, "order", 1));
        assert_eq!(versions(&turns.begin()), [1001]);
        turns.pass_over(&StreamName::new("purse-1").unwrap());
        drop(of_one);
        assert_eq!(versions(&turns.begin()), [129], "there is room for one more");
        assert!(turns.has_ready());
    }

    #[test]
    fn those_that_rest_leave_their_places_to_others_and_no_more_of_their_kind_begin() {
        let mut turns = Turns::new();
        let mut number = 0;
        for kind in 0..20 {
            for key in 0..200 {
                number += 1;
                turns.add(waiting(number, &format!("lost{kind}"), key));
            }
        }
        for _ in 0..40 {
            // Their places are given back at once.
            drop(turns.begin());
        }
        assert_eq!(turns.begun.values().sum::<usize>(), 20 * BEGUN_MAX);
        turns.add(waiting(number + 1, "purse", 1));
        assert_eq!(versions(&turns.begin()), [number + 1]);
    }

    #[test]
    fn beside_those_that_are_set_aside_others_of_their_kind_begin_and_only_so_many_are() {
        let mut turns = Turns::new();
        let (stream, aside) = (|key: u64| StreamName::new(format!("purse-{key}")).unwrap(), turns.aside());
        (1..=2000).for_each(|number| turns.add(waiting(number, "purse", number)));
        let (mut begun, mut put) = (0, 0);
        loop {
            let begin = versions(&turns.begin());
            if begin.is_empty() {
                break;
            }
            begun += begin.len();
            put += begin.iter().filter(|number| aside.put(&stream(**number))).count();
        }
        assert_eq!((begun, put), (ASIDE_MAX + BEGUN_MAX, ASIDE_MAX));
        assert!(aside.put(&stream(1)), "it is already");
        turns.pass_over(&stream(1));
        assert!(turns.begin().is_empty());
        assert!(aside.put(&stream(1100)), "there is room again");
        assert_eq!(versions(&turns.begin()), [1153]);
        turns.pass_over(&stream(1101));
        assert_eq!(versions(&turns.begin()), [1154]);
    }
}
