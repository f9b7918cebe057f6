//! Whether steps make a chain: every event has exactly one way to go, and each way ends.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::lift::{Lift, Step, Target};
use crate::error::ErrorClass;
use crate::event::{EventType, RESERVED_TYPE_PREFIX};

/// Most steps of a chain.
const STEPS_MAX: usize = 4096;
/// Most types that one step may make.
const TARGETS_MAX: usize = 64;

/// Why steps make no chain. Nothing of them is used then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// There are too many.
    #[error("{count} lifts; at most {STEPS_MAX} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A step declares what cannot be.
    #[error("{origin}: the lift {lift} is wrong: {reason}")]
    Wrong {
        /// Where it is written.
        origin: String,
        /// The lift.
        lift: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// Two steps take the same events.
    #[error("overlap: {event_type} {from} is lifted by {first} and by {second}; remove one of them")]
    Overlap {
        /// The type.
        event_type: EventType,
        /// The schema version.
        from: u32,
        /// Where one is written.
        first: String,
        /// Where the other is written.
        second: String,
    },
    /// Events of a version are left behind, though those around it are lifted.
    #[error(
        "gap: nothing lifts {event_type} {missing}, but {origin} has {path}; add a lift from {event_type} {missing}"
    )]
    Gap {
        /// The type.
        event_type: EventType,
        /// The schema version that has no way to go.
        missing: u32,
        /// The lift that leads there, or passes over it.
        path: String,
        /// Where that is written.
        origin: String,
    },
    /// An event would be lifted without end.
    #[error("cycle: {path}; remove one of these lifts ({origins})")]
    Cycle {
        /// The way around, from a type and version to itself.
        path: String,
        /// Where the lifts are written.
        origins: String,
    },
}

impl ChainError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// The steps from each type, by the version that they take.
pub(super) type Steps = BTreeMap<EventType, BTreeMap<u32, Step>>;

/// A type at a version.
type Node = (EventType, u32);

/// Checks steps and puts them in order.
///
/// # Errors
/// Why they are no chain, with the path named.
pub(super) fn check(steps: Vec<Step>) -> Result<Steps, ChainError> {
    if steps.len() > STEPS_MAX {
        return Err(ChainError::TooMany { count: steps.len() });
    }
    let mut ordered = Steps::new();
    for step in steps {
        check_step(&step)?;
        let Lift { event_type, from, .. } = step.lift.clone();
        let second = step.origin.clone();
        if let Some(first) = ordered.entry(event_type.clone()).or_default().insert(from, step) {
            return Err(ChainError::Overlap { event_type, from, first: first.origin, second });
        }
    }
    check_cycles(&ordered)?;
    check_gaps(&ordered)?;
    Ok(ordered)
}

fn check_step(step: &Step) -> Result<(), ChainError> {
    let Lift { event_type, from, into } = &step.lift;
    let reserved = |name: &EventType| name.as_str().starts_with(RESERVED_TYPE_PREFIX);
    let named: BTreeSet<_> = step.lift.types().collect();
    let reason = if *from == 0 || into.iter().any(|made| made.version == 0) {
        "schema versions are from 1".to_owned()
    } else if let Some(name) = [event_type].into_iter().chain(step.lift.types()).find(|name| reserved(name)) {
        format!("{name} is the host's own type, which is never lifted")
    } else if into.len() > TARGETS_MAX {
        format!("it makes {} types; at most {TARGETS_MAX} are allowed", into.len())
    } else if into.iter().any(|made| made.event_type == *event_type && made.version <= *from) {
        format!("an event that stays {event_type} must rise: its `to` must be more than {from}")
    } else if named.len() < into.len() {
        "it names a type twice; what it makes of one type has one version".to_owned()
    } else {
        return Ok(());
    };
    Err(ChainError::Wrong { origin: step.origin.clone(), lift: step.lift.to_string(), reason })
}

/// Takes away what leads to an end, again and again: what is left goes around.
fn check_cycles(steps: &Steps) -> Result<(), ChainError> {
    let mut left: BTreeMap<Node, &Step> = all(steps).map(|step| (source(step), step)).collect();
    loop {
        let ended = |step: &Step| step.lift.into.iter().all(|made| !left.contains_key(&node(made)));
        let gone: Vec<Node> = left.iter().filter(|(_, step)| ended(step)).map(|(node, _)| node.clone()).collect();
        if gone.is_empty() {
            break;
        }
        for node in &gone {
            left.remove(node);
        }
    }
    let Some(first) = left.keys().next() else { return Ok(()) };
    // Each that is left leads to another that is left, so this comes around.
    let mut way = vec![first.clone()];
    while let Some(next) = way
        .last()
        .and_then(|node| left.get(node))
        .and_then(|step| step.lift.into.iter().map(node).find(|node| left.contains_key(node)))
    {
        let seen = way.iter().position(|node| *node == next);
        way.push(next);
        if let Some(seen) = seen {
            way.drain(..seen);
            break;
        }
    }
    let path: Vec<_> = way.iter().map(|(name, at)| format!("{name} {at}")).collect();
    let origins: BTreeSet<_> = way.iter().filter_map(|node| left.get(node)).map(|step| &*step.origin).collect();
    Err(ChainError::Cycle { path: path.join(" → "), origins: origins.into_iter().collect::<Vec<_>>().join(", ") })
}

/// Whatever a lift takes or makes of a type is lifted on, up to the highest version that is known of it.
fn check_gaps(steps: &Steps) -> Result<(), ChainError> {
    let mut made: BTreeMap<&EventType, BTreeMap<u32, &Step>> = BTreeMap::new();
    for step in all(steps) {
        for Target { event_type, version } in &step.lift.into {
            made.entry(event_type).or_default().insert(*version, step);
        }
    }
    for (event_type, own) in steps {
        let made = made.get(event_type);
        let known = own.keys().chain(made.into_iter().flat_map(|made| made.keys()));
        let (Some(lowest), Some(highest)) = (known.clone().min(), known.max()) else { continue };
        let mut wanted = *lowest;
        while wanted < *highest {
            if !own.contains_key(&wanted) {
                let leads = made.and_then(|made| made.get(&wanted));
                let passes = own.range(..wanted).next_back().map(|(_, step)| step);
                let Some(step) = leads.copied().or(passes) else { break };
                return Err(ChainError::Gap {
                    event_type: event_type.clone(),
                    missing: wanted,
                    path: step.lift.to_string(),
                    origin: step.origin.clone(),
                });
            }
            wanted += 1;
        }
    }
    Ok(())
}

fn all(steps: &Steps) -> impl Iterator<Item = &Step> {
    steps.values().flat_map(BTreeMap::values)
}

fn node(made: &Target) -> Node {
    (made.event_type.clone(), made.version)
}

fn source(step: &Step) -> Node {
    (step.lift.event_type.clone(), step.lift.from)
}
