//! The steps as a whole: what becomes of an event, and which stored events become what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use super::check::{ChainError, Steps, check};
use super::lift::{Lift, Step};
use crate::event::{EventType, Filter, Pattern, Query, RecordedEvent};

/// Every step there is, checked. An empty one leaves every event as it is.
#[derive(Clone, Default)]
pub struct Chain {
    steps: Steps,
    /// What events of each type may become; the type itself is not in it.
    becomes: BTreeMap<EventType, BTreeSet<EventType>>,
    digest: String,
}

impl Chain {
    /// Checks steps as a whole.
    ///
    /// # Errors
    /// Gaps, cycles, overlaps, and steps that declare what cannot be.
    pub fn new(steps: Vec<Step>) -> Result<Self, ChainError> {
        let steps = check(steps)?;
        let becomes = steps.keys().map(|name| (name.clone(), reached(&steps, name))).collect();
        let digest = digest(steps.values().flat_map(BTreeMap::values));
        Ok(Self { steps, becomes, digest })
    }

    /// Whether there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What tells it from other chains; empty for the empty one.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same, of those steps only that an event may go through which a filter of today's types asks for.
    #[must_use]
    pub fn digest_for(&self, filter: &Filter) -> String {
        self.digest_through(self.steps.keys().filter(|name| self.may_match(filter, name)))
    }

    /// The same, of those steps only that stored events of these types may go through.
    #[must_use]
    pub fn digest_of(&self, types: &[EventType]) -> String {
        self.digest_through(types.iter())
    }

    fn digest_through<'a>(&'a self, types: impl Iterator<Item = &'a EventType>) -> String {
        let mut through: BTreeSet<&EventType> = BTreeSet::new();
        for name in types {
            through.insert(name);
            through.extend(self.becomes.get(name).into_iter().flatten());
        }
        digest(through.into_iter().filter_map(|name| self.steps.get(name)).flat_map(BTreeMap::values))
    }

    /// Every lift with where it is written, in the order of types and versions.
    pub fn lifts(&self) -> impl Iterator<Item = (&Lift, &str)> {
        self.steps.values().flat_map(BTreeMap::values).map(|step| (&step.lift, &*step.origin))
    }

    /// The most memory that one of its steps has after its last call, in bytes; 0 where all are rules.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let steps = self.steps.values().flat_map(BTreeMap::values);
        steps.map(|step| step.upcast.memory_bytes()).max().unwrap_or_default()
    }

    /// The schema version that the chain lifts a type to; none where it says nothing of it, or makes another type
    /// of it.
    #[must_use]
    pub fn current(&self, event_type: &str) -> Option<u32> {
        let made = self.lifts().flat_map(|(lift, _)| &lift.into).filter(|made| made.event_type.as_str() == event_type);
        let highest = made.map(|made| made.version).max()?;
        let leaves = self.lifts().any(|(lift, _)| lift.event_type.as_str() == event_type && lift.from >= highest);
        (!leaves).then_some(highest)
    }

    /// Whether events of a type may be lifted.
    #[must_use]
    pub fn lifts_type(&self, event_type: &str) -> bool {
        self.becomes.keys().any(|name| name.as_str() == event_type)
    }

    /// What matches every stored event that may become one that a filter of today's types matches. Whether it does
    /// is known when it is lifted: [`Filter::matches_type`] of the filter itself decides.
    #[must_use]
    pub fn stored(&self, filter: &Filter) -> Filter {
        if filter.types.is_empty() {
            return filter.clone();
        }
        let older = self.becomes.keys().filter(|name| !filter.matches_type(name.as_str()));
        let older = older.filter(|name| self.may_match(filter, name));
        // A name of an event type is a pattern, too.
        let older = older.filter_map(|name| Pattern::literal(name.as_str()).ok());
        let types = filter.types.iter().cloned().chain(older).collect();
        Filter { types, ..filter.clone() }
    }

    /// The same of a query, item by item.
    #[must_use]
    pub fn stored_query(&self, query: &Query) -> Query {
        query.items.iter().map(|item| self.stored(item)).collect::<Vec<_>>().into()
    }

    /// The step that takes an event; none where it is today's. The inner none: it should be lifted, and nothing does.
    pub(super) fn step(&self, event: &RecordedEvent) -> Option<Option<&Step>> {
        let steps = self.steps.get(&event.event_type)?;
        let (first, _) = steps.first_key_value()?;
        match steps.get(&event.schema_version) {
            Some(step) => Some(Some(step)),
            None if event.schema_version < *first => Some(None),
            None => None,
        }
    }

    fn may_match(&self, filter: &Filter, name: &EventType) -> bool {
        let becomes = self.becomes.get(name).into_iter().flatten();
        [name].into_iter().chain(becomes).any(|name| filter.matches_type(name.as_str()))
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Chain {}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lifts().map(|(lift, _)| lift.to_string())).finish()
    }
}

/// Every other type that events of a type may become, over all steps.
fn reached(steps: &Steps, name: &EventType) -> BTreeSet<EventType> {
    let mut reached = BTreeSet::new();
    let mut open = vec![name];
    while let Some(at) = open.pop() {
        for into in steps.get(at).into_iter().flat_map(BTreeMap::values).flat_map(|step| step.lift.types()) {
            if into != name && reached.insert(into.clone()) {
                open.push(into);
            }
        }
    }
    reached
}

fn digest<'a>(steps: impl Iterator<Item = &'a Step>) -> String {
    let texts: Vec<_> = steps.map(|step| format!("{}\0{}\0", step.lift, step.identity)).collect();
    if texts.is_empty() { String::new() } else { format!("{:032x}", xxh3_128(texts.concat().as_bytes())) }
}
