//! How much it takes to hold data to a JSON Schema, counted before it is done.
//!
//! The validator looks at a part of the data once for each way that leads there, and writes down what is wrong each time.
//! A schema that refers to itself twice, as that of an expression told apart by its operator does, has twice as many ways
//! at each level: a kilobyte of data then takes more time and memory than there is. It also goes as deep into the stack as
//! schemas lead to one another. All three are bounded here: how often a schema is held to a part, the bytes of what is
//! wrong, and the steps. A part that is large in itself counts as several.
//!
//! What a schema looks at because nothing else has (`unevaluatedProperties`, `unevaluatedItems`) counts as every part that
//! no schema of the same place names, which may be more than it is.

mod asserts;
mod count;
mod place;
#[cfg(test)]
mod tests;
mod unique;

use serde_json::Value;
use thiserror::Error;
use url::Url;

use count::{Count, ERROR_BYTES, LEVEL_BYTES};
use place::{Place, places};

/// What holding data to a document may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How often a schema is held to a part of the data, with what is large counted as several: some million take a second.
    visits: u32,
    /// Bytes of what is wrong.
    bytes: u32,
    /// Schemas that lead to one another, with those of the parts around.
    steps: usize,
    /// Pairs of a schema and a part of the data that the count remembers; what is more is counted each time.
    known: usize,
}

/// Most pairs that are remembered: they take some 80 MiB.
const KNOWN_MAX: usize = 1 << 20;
/// Visits of what is light for itself, for all data of a request together. A batch of ten thousand usual events does not
/// wait for its turn; and as many such batches at once as there are threads that append hold those up for a second or
/// two, which is no longer than what has a turn takes.
const LIGHT_VISITS_OF_ALL: u32 = Limits::MOST.visits / 4;

impl Limits {
    /// Of what a task does by itself.
    pub(super) const INLINE: Self = Self { visits: 8 << 10, bytes: 1 << 20, steps: 48, known: KNOWN_MAX };
    /// Of what is done by as many at once as there are threads, for each of the data.
    pub(super) const LIGHT: Self = Self { visits: 128 << 10, bytes: 4 << 20, steps: 48, known: KNOWN_MAX };
    /// Of what is done at all, by one at a time, on a stack of [`STACK_BYTES`].
    pub(super) const MOST: Self = Self { visits: 4 << 20, bytes: 128 << 20, steps: 2000, known: KNOWN_MAX };
}

/// What holding data to schemas may take, for all data of a request together.
#[derive(Debug)]
pub struct Allowance {
    /// For any of them.
    each: Limits,
    /// Visits that are left, for all of them.
    left: u32,
    /// Whether there is more for one at a time.
    has_more: bool,
}

/// Why data are not held to a schema: it would take too much.
pub(super) enum Exceeds {
    /// That which is left, and not what one may take.
    Left,
    /// What one may take at all.
    All(TooMuch),
}

impl Allowance {
    /// What a task does by itself.
    #[must_use]
    pub fn inline() -> Self {
        Self::of(Limits::INLINE, true)
    }

    /// What is done by as many at once as there are threads: all together may take more than any of them.
    #[must_use]
    pub fn light() -> Self {
        Self { left: LIGHT_VISITS_OF_ALL, ..Self::of(Limits::LIGHT, true) }
    }

    /// What is done at all, by one at a time.
    pub(super) fn most() -> Self {
        Self::of(Limits::MOST, false)
    }

    fn of(each: Limits, has_more: bool) -> Self {
        Self { each, left: each.visits, has_more }
    }
}

/// What the validator and the count take of a stack for a step, at most: some 10 KiB where they are not optimised.
const STEP_STACK_BYTES: usize = 24 << 10;
/// What a thread has that is told nothing else, of which others take a part.
const USUAL_STACK_BYTES: usize = 2 << 20;
/// The stack that the deepest data need.
pub(super) const STACK_BYTES: usize = Limits::MOST.steps * STEP_STACK_BYTES + USUAL_STACK_BYTES;

const _: () = assert!(Limits::INLINE.steps <= Limits::LIGHT.steps);
const _: () = assert!(Limits::LIGHT.visits < LIGHT_VISITS_OF_ALL && LIGHT_VISITS_OF_ALL < Limits::MOST.visits);
const _: () = assert!(Limits::LIGHT.steps * STEP_STACK_BYTES < USUAL_STACK_BYTES * 2 / 3);

/// Why data are not held to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum TooMuch {
    /// The same parts are looked at again and again.
    #[error(
        "it takes too much to hold this to the schema, which leads to parts of it in too many ways: send less, or less \
         deep, or have the schema tell its cases apart with `if` and `then` before it refers to itself"
    )]
    Ways,
    /// There are too many parts, or too many that may be wrong.
    #[error(
        "it takes too much to hold this to the schema: it has too many parts, or too many of them are wrong or may be; \
         send less at once"
    )]
    Size,
    /// Schemas lead to one another for too long.
    #[error(
        "it takes too much to hold this to the schema, which leads on for too many steps: send it less deep, or have the \
         schema come there by fewer references"
    )]
    Deep,
}

/// Where the schemas of a document lead.
pub(super) struct Effort {
    places: Vec<Place>,
    /// Whether what is looked at anywhere depends on what others have looked at.
    is_of_the_rest: bool,
    shape: Option<Shape>,
}

/// What is known of a document whatever the data are; there is none of one that leads to itself, or looks at more than
/// parts that stand by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Ways from the top to any schema, each as often as there may be errors.
    ways: u64,
    /// Schemas that lead to one another.
    steps: usize,
}

impl Effort {
    /// That of a document which knows itself by a URL.
    pub(super) fn of(document: &Value, url: &str) -> Self {
        let places = Url::parse(url).map_or_else(|_| Vec::new(), |url| places(document, url));
        let is_of_the_rest = places.iter().any(Place::is_of_the_rest);
        let is_of_more = |place: &Place| !place.names.is_empty() || place.asserts.is_unique();
        let shape = if is_of_the_rest || places.iter().any(is_of_more) { None } else { Shape::of(&places) };
        Self { places, is_of_the_rest, shape }
    }

    /// Whether it takes no more to hold data of so many bytes to the document, whatever they are.
    pub(super) fn is_always_within(&self, bytes: usize, most: Limits) -> bool {
        let Some(Shape { ways, steps }) = self.shape else { return false };
        let visits = ways.saturating_mul(bytes as u64 / 2 + 1);
        let error = u64::from(ERROR_BYTES) + u64::from(LEVEL_BYTES) * steps.min(128) as u64;
        steps <= most.steps && visits <= u64::from(most.visits) && visits.saturating_mul(error) <= u64::from(most.bytes)
    }

    /// Takes off what it takes to hold data to the document, before that is done.
    ///
    /// # Errors
    /// When that is too much; nothing is taken off then.
    pub(super) fn take(&self, data: &Value, from: &mut Allowance) -> Result<(), Exceeds> {
        let visits = from.left.min(from.each.visits);
        match self.count(data, Limits { visits, ..from.each }) {
            Ok(visits) => {
                from.left = from.left.saturating_sub(visits);
                Ok(())
            }
            Err(_) if from.has_more => Err(Exceeds::Left),
            Err(_) => self.count(data, from.each).map_or_else(|most| Err(Exceeds::All(most)), |_| Err(Exceeds::Left)),
        }
    }

    /// Counts how often a schema of the document is held to a part of the data, as far as to a limit.
    ///
    /// # Errors
    /// What there is too much of.
    pub(super) fn count(&self, data: &Value, most: Limits) -> Result<u32, TooMuch> {
        Count::new(&self.places, self.is_of_the_rest, most).whole(data)
    }
}

impl Shape {
    fn of(places: &[Place]) -> Option<Self> {
        let mut waiting = vec![0_u32; places.len()];
        for to in places.iter().flat_map(Place::leads) {
            *waiting.get_mut(to)? += 1;
        }
        let (mut found, mut ahead, mut passed) = (vec![(0_u64, 0_usize); places.len()], vec![0], 0);
        *found.first_mut()? = (1, 1);
        if waiting.first() != Some(&0) {
            return None;
        }
        let mut whole = Self { ways: 0, steps: 0 };
        while let Some(from) = ahead.pop() {
            passed += 1;
            let (of, (ways, steps)) = (places.get(from)?, *found.get(from)?);
            whole.ways = whole.ways.saturating_add(ways.saturating_mul(of.weight()));
            whole.steps = whole.steps.max(steps);
            for to in of.leads() {
                let ((ways_there, steps_there), left) = (found.get_mut(to)?, waiting.get_mut(to)?);
                *ways_there = ways_there.saturating_add(ways);
                *steps_there = (*steps_there).max(steps + 1);
                *left -= 1;
                if *left == 0 {
                    ahead.push(to);
                }
            }
        }
        (passed == places.len()).then_some(whole)
    }
}
