//! What is kept for how long: policies for categories, and what they come to.
//!
//! A policy only ever asks; what is removed is decided together with what plugins still need. Pure, but for the
//! store that is asked where events stand and told to remove them.

mod going;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use going::Going;
pub use going::{Kept, Known, Reader};

use super::{Direction, Owner, ReadRequest, Store, StoreError};
use crate::event::{ACCEPTED_STREAM, Category, Filter, NameError, Pattern, PluginName, Position, category_of};

/// Ages as people write them, smallest first.
const UNITS_US: [(&str, u64); 5] =
    [("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000), ("w", 604_800_000_000)];
/// What a number of events ends in.
const EVENTS: &str = "events";

/// How long events of a category are kept. An event is let go as soon as either bound is passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of which streams.
    pub category: Category,
    /// Age from which events are let go, in microseconds, at least one second.
    pub max_age_us: Option<u64>,
    /// Number of newest events that are kept, at least one.
    pub max_count: Option<u64>,
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidRetention {
    /// It has no `=`.
    #[error("{text:?} names no bound; write CATEGORY=30d, CATEGORY=1000events or CATEGORY=30d,1000events")]
    NoBound {
        /// The text.
        text: String,
    },
    /// What is before the `=` is no category.
    #[error("{text:?} is no policy: {reason}")]
    Category {
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        reason: NameError,
    },
    /// A bound is neither an age nor a number of events.
    #[error("{bound:?} is no bound; give an age such as 12h, 30d or 8w, or a number such as 1000events")]
    Bound {
        /// The bound.
        bound: String,
    },
    /// There are two ages or two numbers.
    #[error("{text:?} has two bounds of one kind; give at most one age and one number of events")]
    Twice {
        /// The text.
        text: String,
    },
}

impl FromStr for Retention {
    type Err = InvalidRetention;

    fn from_str(text: &str) -> Result<Self, InvalidRetention> {
        let no_bound = || InvalidRetention::NoBound { text: text.to_owned() };
        let (category, bounds) = text.split_once('=').ok_or_else(no_bound)?;
        let category =
            Category::new(category).map_err(|reason| InvalidRetention::Category { text: text.to_owned(), reason })?;
        let mut policy = Self { category, max_age_us: None, max_count: None };
        for bound in bounds.split(',') {
            let (slot, value) = match bound.strip_suffix(EVENTS) {
                Some(count) => (&mut policy.max_count, number(count)),
                None => (&mut policy.max_age_us, age_us(bound)),
            };
            let value = value.ok_or_else(|| InvalidRetention::Bound { bound: bound.to_owned() })?;
            if slot.replace(value).is_some() {
                return Err(InvalidRetention::Twice { text: text.to_owned() });
            }
        }
        Ok(policy)
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0)
}

fn age_us(text: &str) -> Option<u64> {
    let (digits, factor) = UNITS_US.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    number(digits)?.checked_mul(factor)
}

/// The bounds, as they are read: `30d,1000events`.
impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.max_age_us.map(|age_us| {
            let largest = UNITS_US.iter().rev().find(|(_, factor)| age_us.is_multiple_of(*factor)).or(UNITS_US.first());
            largest.map_or_else(String::new, |(unit, factor)| format!("{}{unit}", age_us / factor))
        });
        let count = self.max_count.map(|count| format!("{count}{EVENTS}"));
        f.write_str(&age.into_iter().chain(count).collect::<Vec<_>>().join(","))
    }
}

impl Retention {
    /// The position before which the policy lets events of its category go, at a time: at least what is gone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn wanted(&self, store: &dyn Store, now_us: u64) -> Result<Position, StoreError> {
        let mut wanted = store.removals().horizon(self.category.as_str());
        if let Some(age_us) = self.max_age_us {
            let oldest_us = now_us.saturating_sub(age_us);
            wanted = wanted.max(self.last_before(store, oldest_us)?.map_or(Position::START, Position::next));
        }
        if let Some(newer) = self.max_count.map(|count| count.saturating_sub(1)) {
            wanted = wanted.max(store.nth_newest(&self.category, newer)?.unwrap_or_default());
        }
        Ok(wanted)
    }

    /// The last event of the category that was stored before a time.
    fn last_before(&self, store: &dyn Store, time_us: u64) -> Result<Option<Position>, StoreError> {
        let mut request = ReadRequest {
            query: of_category(&self.category).into(),
            until_us: Some(time_us),
            direction: Direction::Backwards,
            limit: 1,
            ..ReadRequest::default()
        };
        loop {
            let page = store.read(&request)?;
            match page.events.first() {
                Some(event) => return Ok(Some(event.position)),
                None if page.complete => return Ok(None),
                None => request.before = Some(page.through),
            }
        }
    }
}

/// A plugin and the first position that it may still read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The plugin; `$commands-accepted` for the queue of accepted commands.
    pub plugin: PluginName,
    /// The first event it is not done with, or its first dead letter.
    pub from: Position,
    /// The generation of its data that needs it, where that is only kept to return to.
    pub kept: Option<u32>,
}

/// What a policy has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionStatus {
    /// The policy.
    pub policy: Retention,
    /// The position before which events are removed.
    pub removed_before: Position,
    /// The position before which the policy lets them go.
    pub wanted_before: Position,
    /// Who needs some of them: of several, the one that is furthest behind.
    pub blocked_by: Option<Needed>,
    /// Generations that plugins kept to return to, and that were dropped because they alone held events back.
    pub dropped: Vec<Owner>,
}

/// Removes what policies let go and no plugin needs: nobody needs what it would not be handed. `known` tells of plugins of
/// which more is known than the store holds; those that it holds progress of count too, from there on or from where they
/// have looked, whichever is further. It is asked anew for each policy, and again before anything goes: where it tells
/// something else by then, nothing of that category goes until the next look. `undecided` is the first accepted command that
/// is not settled.
///
/// # Errors
/// When the store cannot be read or written.
pub fn apply(
    store: &dyn Store,
    policies: &[Retention],
    known: &dyn Fn() -> Result<Known, StoreError>,
    undecided: Option<Position>,
    now_us: u64,
) -> Result<Vec<RetentionStatus>, StoreError> {
    let apply_one = |policy: &Retention| {
        let wanted_before = policy.wanted(store, now_us)?;
        let going = Going { category: &policy.category, before: wanted_before, store };
        let told = known()?;
        let needed = going.needed(&told.readers, &told.kept)?;
        // Only what nobody else holds back is said to be held back by one that is kept.
        let by_kept = going.needed_by_kept(&told.kept)?;
        let by_kept = by_kept.filter(|it| needed.as_ref().is_none_or(|needed| it.from < needed.from));
        let of_queue = (policy.category.as_str() == category_of(ACCEPTED_STREAM)).then(|| needed_by_queue(undecided));
        let lowest = by_kept.or(needed).into_iter().chain(of_queue.flatten()).min_by_key(|needed| needed.from);
        let blocked_by = lowest.filter(|needed| needed.from < wanted_before);
        let before = blocked_by.as_ref().map_or(wanted_before, |needed| needed.from);
        let (removed_before, blocked_by) = if told.tells_as(&known()?) {
            (store.remove(&policy.category, before)?, blocked_by)
        } else {
            (store.removals().horizon(policy.category.as_str()), None)
        };
        let blocked_by = blocked_by.filter(|_| removed_before < wanted_before);
        Ok(RetentionStatus { policy: policy.clone(), removed_before, wanted_before, blocked_by, dropped: Vec::new() })
    };
    policies.iter().map(apply_one).collect()
}

/// What the queue of accepted commands needs, which is told under the name of its stream.
fn needed_by_queue(undecided: Option<Position>) -> Option<Needed> {
    Some(Needed { plugin: PluginName::from_stored(ACCEPTED_STREAM), from: undecided?, kept: None })
}

/// The events of a category.
fn of_category(category: &Category) -> Filter {
    let name = category.as_str();
    let streams = [format!("{name}-*"), name.to_owned()].map(Pattern::new).into_iter().flatten().collect();
    Filter { streams, ..Filter::default() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;
    use crate::event::{EventType, NewEvent, QUERY_NAMES_MAX, StreamName};
    use crate::store::memory::MemoryStore;
    use crate::store::{AppendRequest, DeadLetter, DeadLetterChange, Progress, UnitOfWork};

    fn policy(text: &str) -> Retention {
        text.parse().unwrap()
    }

    fn plugin(name: &str) -> PluginName {
        PluginName::new(name).unwrap()
    }

    /// One event a second, from second 1 on, in these streams.
    fn store(streams: &[&str]) -> MemoryStore {
        let clock = Arc::new(ManualClock::at(0));
        let store = MemoryStore::new(clock.clone());
        for name in streams {
            clock.advance_us(1_000_000);
            let mut event = NewEvent::json(EventType::new("T").unwrap(), "1");
            event.stream = Some(StreamName::new(*name).unwrap());
            let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
            store.append(request).wait().unwrap();
        }
        store
    }

    /// Commits a checkpoint; of the plugin `parker` with a dead letter there.
    fn settle(store: &MemoryStore, name: &str, checkpoint: u64) {
        let revision = store.progress(&plugin(name).into(), 0).unwrap().map_or(1, |progress| progress.revision + 1);
        let letter = DeadLetter {
            position: Position(checkpoint),
            kind: "reject".to_owned(),
            attempts: 1,
            ..DeadLetter::default()
        };
        let work = UnitOfWork {
            owner: plugin(name).into(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters: (name == "parker").then_some(DeadLetterChange::Put(letter)).into_iter().collect(),
        };
        store.commit(work).wait().unwrap();
    }

    fn reader(name: &str, looked: u64, filters: Option<Vec<Filter>>) -> Reader {
        Reader { plugin: plugin(name), looked: Some(Position(looked)), filters, revision: 0 }
    }

    /// Applies policies where nothing changes meanwhile.
    fn apply(
        store: &dyn Store,
        policies: &[Retention],
        readers: &[Reader],
        kept: &[Kept],
        undecided: Option<Position>,
        now_us: u64,
    ) -> Result<Vec<RetentionStatus>, StoreError> {
        let known = || Ok::<_, StoreError>(Known { readers: readers.to_vec(), kept: kept.to_vec() });
        super::apply(store, policies, &known, undecided, now_us)
    }

    #[test]
    fn policies_are_read_and_written() {
        for (text, age_us, count) in [
            ("order=30d", Some(30 * 86_400_000_000), None),
            ("order=1000events", None, Some(1000)),
            ("order=36h,5events", Some(36 * 3_600_000_000), Some(5)),
            ("größer=5events,90s", Some(90_000_000), Some(5)),
        ] {
            let policy = policy(text);
            assert_eq!((policy.max_age_us, policy.max_count), (age_us, count), "{text}");
            assert_eq!(format!("{}={policy}", policy.category).parse(), Ok(policy.clone()), "{text}");
        }
        assert_eq!(policy("order=14d").to_string(), "2w");
    }

    #[test]
    fn what_is_no_policy_is_refused_with_what_to_write() {
        for (text, told) in [
            ("order", "write CATEGORY=30d"),
            ("order=", "\"\" is no bound"),
            ("order=30", "an age such as"),
            ("order=0d", "\"0d\" is no bound"),
            ("order=0events", "is no bound"),
            ("order=-1d", "is no bound"),
            ("order=30d,40d", "two bounds of one kind"),
            ("order=99999999999999w", "is no bound"),
            ("=30d", "category is empty"),
            ("order-1=30d", "'-'"),
            ("order=30d;stock=1d", "is no bound"),
        ] {
            let error = text.parse::<Retention>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn plugins_hold_back_what_they_need() {
        let store = store(&["order-1"; 10]);
        let policies = [policy("order=2events")];
        let act = |readers: &[Reader]| {
            let status = apply(&store, &policies, readers, &[], None, 10_000_000).unwrap().remove(0);
            let blocked_by = status.blocked_by.map(|needed| (needed.plugin.to_string(), needed.from.0));
            (status.removed_before.0, status.wanted_before.0, blocked_by)
        };
        settle(&store, "slow", 3);
        settle(&store, "fast", 9);
        let fresh = [reader("fresh", 0, None), reader("fast", 0, None)];
        assert_eq!(act(&fresh), (0, 9, Some(("fresh".to_owned(), 1))), "one that never committed needs all");
        assert_eq!(act(&[]), (4, 9, Some(("slow".to_owned(), 4))));
        assert_eq!(
            act(&[reader("slow", 5, None)]),
            (6, 9, Some(("slow".to_owned(), 6))),
            "what it looked at and does not want"
        );
        settle(&store, "parker", 7);
        settle(&store, "slow", 9);
        assert_eq!(act(&[]), (7, 9, Some(("parker".to_owned(), 7))), "its dead letter");
        let kept = [Kept { owner: plugin("parker").into(), filter: None }];
        let live = Owner { plugin: plugin("parker"), generation: 1 };
        let progress = Progress { revision: 1, checkpoint: Position(9), ..Progress::default() };
        let (state, events, dead_letters) = (Vec::new(), Vec::new(), Vec::new());
        store.commit(UnitOfWork { owner: live, partition: 0, progress, state, events, dead_letters }).wait().unwrap();
        let status = apply(&store, &policies, &[], &kept, None, 10_000_000).unwrap().remove(0);
        let blocked_by = Some(Needed { plugin: plugin("parker"), from: Position(7), kept: Some(0) });
        assert_eq!((status.removed_before, status.blocked_by), (Position(7), blocked_by), "it alone holds that back");
        assert_eq!(store.removals().horizon("order"), Position(7));
    }

    /// What policies that keep one event of each of two categories come to where `slow` is told of: 5 events of `order`, 5
    /// of `trace` behind them.
    fn removed_of_two(readers: &[Reader], kept: &[Kept]) -> [(u64, bool); 2] {
        let store = store(&[["order-1"; 5], ["trace-1"; 5]].concat());
        settle(&store, "slow", 3);
        let live = Owner { plugin: plugin("slow"), generation: 1 };
        let progress =
            Progress { revision: 1, checkpoint: Position(if kept.is_empty() { 3 } else { 10 }), ..Progress::default() };
        let (state, events, dead_letters) = (Vec::new(), Vec::new(), Vec::new());
        store.commit(UnitOfWork { owner: live, partition: 0, progress, state, events, dead_letters }).wait().unwrap();
        let of = |text: &str| {
            let status = apply(&store, &[policy(text)], readers, kept, None, 10_000_000).unwrap().remove(0);
            (status.removed_before.0, status.blocked_by.is_some_and(|needed| needed.kept == Some(0)))
        };
        [of("order=1events"), of("trace=1events")]
    }

    #[test]
    fn what_a_plugin_would_not_be_handed_neither_it_nor_what_it_keeps_holds_back() {
        let patterns = |names: &[&str]| -> Vec<_> { names.iter().map(|name| Pattern::new(*name).unwrap()).collect() };
        let types = |name: &str| Filter { types: patterns(&[name]), ..Filter::default() };
        let on = |names: &[&str]| Filter { streams: patterns(names), ..Filter::default() };
        let many = (0..QUERY_NAMES_MAX).map(|number| Pattern::new(format!("T{number}")).unwrap()).collect();
        for (filter, order, trace) in [
            (Filter::all(), 4, 6),
            (on(&["order-*"]), 4, 10),
            (on(&["trace-1", "orders"]), 5, 6),
            (on(&["trace-2"]), 5, 10),
            (on(&["t*", "ord*"]), 4, 6),
            (types("T"), 4, 6),
            (types("Other"), 5, 10),
            (Filter { types: many, ..Filter::default() }, 4, 6),
        ] {
            let filters = Some(vec![types("Other"), filter.clone()]);
            let removed = removed_of_two(&[reader("slow", 3, filters)], &[]);
            assert_eq!(removed, [(order, false), (trace, false)], "{:?} {:?}", filter.types, filter.streams.first());
            let kept = Kept { owner: plugin("slow").into(), filter: Some(filter) };
            let removed = removed_of_two(&[reader("slow", 10, None)], &[kept]);
            assert_eq!(removed, [(order, order == 4), (trace, trace == 6)]);
        }
        assert_eq!(removed_of_two(&[], &[]), [(4, false), (6, false)], "of what is not known it is any");
    }

    #[test]
    fn where_what_a_plugin_would_be_handed_changes_meanwhile_nothing_goes_until_the_next_look() {
        let store = store(&["order-1"; 5]);
        settle(&store, "slow", 3);
        let other = || Some(vec![Filter { types: vec![Pattern::new("Other").unwrap()], ..Filter::default() }]);
        let act = |told: &dyn Fn(u64) -> Reader| {
            let looks = Cell::new(0_u64);
            let known = || {
                looks.set(looks.get() + 1);
                Ok::<_, StoreError>(Known { readers: vec![told(looks.get())], kept: Vec::new() })
            };
            let status = super::apply(&store, &[policy("order=1events")], &known, None, 10_000_000).unwrap().remove(0);
            (status.removed_before.0, status.blocked_by)
        };
        assert_eq!(act(&|look| Reader { revision: look, ..reader("slow", 3, other()) }), (0, None));
        assert_eq!(act(&|look| reader("slow", 3, other().filter(|_| look == 1))), (0, None));
        assert_eq!(act(&|look| reader("slow", look, other())), (5, None), "it only goes on");
    }

    #[test]
    fn what_is_set_aside_holds_back_its_category_alone_whatever_the_plugin_is_handed_today() {
        let store = store(&["order-1", "trace-1", "trace-1", "order-1", "trace-1", "trace-1"]);
        settle(&store, "parker", 3);
        settle(&store, "parker", 6);
        let policies = [policy("order=1events"), policy("trace=1events")];
        let none = [reader("parker", 6, Some(vec![]))];
        let status = apply(&store, &policies, &none, &[], None, 10_000_000).unwrap();
        assert_eq!(status.iter().map(|status| status.removed_before.0).collect::<Vec<_>>(), [4, 3]);
    }

    #[test]
    fn accepted_commands_that_wait_hold_back_their_category_alone() {
        let store = store(&["order-1", "order-1", "$commands-accepted", "$commands-accepted", "$commands"]);
        let policies = [policy("order=1events"), policy("$commands=1events")];
        let horizons = |undecided| {
            let statuses = apply(&store, &policies, &[], &[], undecided, 10_000_000).unwrap();
            let blocked_by = statuses.last().unwrap().blocked_by.as_ref().map(|needed| needed.plugin.to_string());
            (statuses.iter().map(|status| status.removed_before.0).collect::<Vec<_>>(), blocked_by)
        };
        let queue = Some("$commands-accepted".to_owned());
        assert_eq!(horizons(Some(Position(4))), (vec![2, 4], queue));
        assert_eq!(horizons(None), (vec![2, 5], None));
    }

    proptest! {
        /// The horizon is the lowest before which nothing is that the policy keeps, in its category.
        #[test]
        fn the_horizon_is_the_defined_one(
            orders in proptest::collection::vec(any::<bool>(), 1..40),
            age in proptest::option::of(1..45_u64),
            count in proptest::option::of(1..45_u64),
            now in 0..60_u64,
            gone in 0..20_u64,
        ) {
            let streams: Vec<_> = orders.iter().map(|order| if *order { "order-1" } else { "orders-1" }).collect();
            let store = store(&streams);
            let category = Category::new("order").unwrap();
            let before = store.remove(&category, Position(gone)).unwrap();
            let policy = Retention { category, max_age_us: age.map(|age| age * 1_000_000), max_count: count };
            let of_category: Vec<u64> = (1..).zip(&orders).filter(|(_, order)| **order).map(|(at, _)| at).collect();
            let is_kept = |index: usize| {
                let newer = (of_category.len() - index - 1) as u64;
                let young = age.is_none_or(|age| of_category[index] >= now.saturating_sub(age));
                of_category[index] >= before.0 && young && count.is_none_or(|count| newer < count)
            };
            let expected: Vec<_> = (0..of_category.len()).filter(|index| is_kept(*index)).map(|i| of_category[i]).collect();
            let wanted = policy.wanted(&store, now * 1_000_000).unwrap();
            prop_assert!(wanted >= before);
            let kept: Vec<_> = of_category.iter().copied().filter(|at| *at >= wanted.0).collect();
            prop_assert_eq!(kept, expected, "up to {}", wanted);
            let status = apply(&store, std::slice::from_ref(&policy), &[], &[], None, now * 1_000_000).unwrap().remove(0);
            // Nothing stands before position 1.
            prop_assert!(status.removed_before == wanted || wanted == Position(1), "{:?}", status);
            prop_assert_eq!(status.blocked_by, None);
        }
    }
}
