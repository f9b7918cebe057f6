//! Counts what it takes to hold data to schemas, with each pair of a schema and a part of the data looked at once.
//!
//! What is asked for is held to as far as that is cheap: data that surely fit leave no errors, a case whose condition
//! surely holds or does not leads one way, and the first of `anyOf` that surely holds is the last that is looked at. What
//! is not known counts as if it were looked at, and wrong.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::asserts::{Held, VISIT_MATCHED_BYTES, matches};
use super::place::Place;
use super::{Limits, TooMuch};

/// What is wrong at a place takes some hundred bytes, and a part of them for each level.
pub(super) const ERROR_BYTES: u32 = 200;
pub(super) const LEVEL_BYTES: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passes,
    Fails,
    Unsure,
}

impl Outcome {
    fn of(passes: bool, fails: bool) -> Self {
        match (passes, fails) {
            (_, true) => Self::Fails,
            (true, false) => Self::Passes,
            (false, false) => Self::Unsure,
        }
    }
}

/// What it takes to hold a part of the data to a schema.
#[derive(Clone, Copy)]
struct Counted {
    /// How often a schema is held to a part.
    visits: u32,
    /// Bytes of what is wrong, which stay until all is done.
    bytes: u32,
    /// Most bytes of what is wrong that are dropped on the way.
    brief: u32,
    outcome: Outcome,
}

impl Counted {
    const NOTHING: Self = Self { visits: 0, bytes: 0, brief: 0, outcome: Outcome::Passes };

    fn plus(self, other: Self, outcome: Outcome) -> Self {
        Self {
            visits: self.visits.saturating_add(other.visits),
            bytes: self.bytes.saturating_add(other.bytes),
            brief: self.brief.max(other.brief),
            outcome,
        }
    }

    /// Both must hold.
    fn and(self, other: Self) -> Self {
        let [is, also] = [self.outcome, other.outcome];
        let passes = is == Outcome::Passes && also == Outcome::Passes;
        self.plus(other, Outcome::of(passes, is == Outcome::Fails || also == Outcome::Fails))
    }

    /// One of both is looked at, and it is not known which.
    fn or_worse(self, other: Self) -> Self {
        let outcome = if self.outcome == other.outcome { self.outcome } else { Outcome::Unsure };
        Self {
            visits: self.visits.max(other.visits),
            bytes: self.bytes.max(other.bytes),
            brief: self.brief.max(other.brief),
            outcome,
        }
    }

    fn with(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// It may not be looked at.
    fn doubted(self) -> Self {
        if self.outcome == Outcome::Fails { self.with(Outcome::Unsure) } else { self }
    }

    /// What is wrong is dropped once it is known whether something is.
    fn dropped(self) -> Self {
        Self { bytes: 0, brief: self.brief.saturating_add(self.bytes), ..self }
    }

    /// With the error that stands around those within; they are dropped if it surely passes.
    fn told(self, level: u32) -> Self {
        match self.outcome {
            Outcome::Passes => self.dropped(),
            Outcome::Fails | Outcome::Unsure => Self { bytes: self.bytes.saturating_add(error_bytes(level)), ..self },
        }
    }
}

fn error_bytes(level: u32) -> u32 {
    ERROR_BYTES + LEVEL_BYTES * level.min(1 << 20)
}

#[derive(Clone, Copy)]
enum Known {
    /// It is being counted, at that step.
    Open(usize),
    Done(Counted),
}

type Memory = HashMap<(usize, *const Value), Known>;

/// The count of one text.
pub(super) struct Count<'a> {
    places: &'a [Place],
    /// Whether what is looked at may depend on what others have looked at.
    is_of_the_rest: bool,
    most: Limits,
    known: Memory,
    /// Of the part that is looked at, while it has no parts itself.
    of_leaf: Memory,
    /// How deep the count is.
    steps: usize,
    /// The first step that was come to again: what was counted since is not the whole of it.
    again: usize,
    /// How often it was counted.
    once: u32,
    ended: Option<TooMuch>,
}

impl<'a> Count<'a> {
    pub(super) fn new(places: &'a [Place], is_of_the_rest: bool, most: Limits) -> Self {
        let (known, of_leaf) = (Memory::new(), Memory::new());
        Self { places, is_of_the_rest, most, known, of_leaf, steps: 0, again: usize::MAX, once: 0, ended: None }
    }

    /// Counts data from the top of the document: how often a schema is held to a part, or how often that was counted if
    /// that is more.
    pub(super) fn whole(mut self, data: &Value) -> Result<u32, TooMuch> {
        let all = self.held(0, data, 0);
        if let Some(ended) = self.ended {
            return Err(ended);
        }
        if all.visits <= self.most.visits && all.bytes.saturating_add(all.brief) <= self.most.bytes {
            return Ok(all.visits.max(self.once));
        }
        Err(if all.visits / 2 > self.once { TooMuch::Ways } else { TooMuch::Size })
    }

    fn memory(&mut self, data: &Value) -> &mut Memory {
        if is_leaf(data) { &mut self.of_leaf } else { &mut self.known }
    }

    fn held(&mut self, at: usize, data: &Value, level: u32) -> Counted {
        let key = (at, std::ptr::from_ref(data));
        let unsure = Counted { bytes: error_bytes(level), outcome: Outcome::Unsure, ..Counted::NOTHING };
        let (places, step) = (self.places, self.steps);
        let Some(of) = places.get(at).filter(|_| self.ended.is_none()) else { return unsure };
        if of.leads().next().is_none() {
            return self.count(of, data, level);
        }
        match self.memory(data).get(&key).copied() {
            Some(Known::Done(counted)) => return counted,
            Some(Known::Open(before)) => {
                self.again = self.again.min(before);
                return unsure;
            }
            None => {}
        }
        if step >= self.most.steps {
            self.ended = Some(TooMuch::Deep);
            return unsure;
        }
        self.memory(data).insert(key, Known::Open(step));
        self.steps += 1;
        let counted = self.count(of, data, level);
        self.steps -= 1;
        let is_whole = self.again >= step;
        if is_whole {
            self.again = usize::MAX;
        }
        // Those that are open are remembered in any case: there are no more than steps.
        let most = self.most.known;
        let memory = self.memory(data);
        if is_whole && memory.len() <= most {
            memory.insert(key, Known::Done(counted));
        } else {
            memory.remove(&key);
        }
        counted
    }

    fn count(&mut self, of: &'a Place, data: &Value, level: u32) -> Counted {
        let visits = of.asserts.visits();
        self.spend(visits);
        let error = error_bytes(level);
        let own = match of.asserts.held(data) {
            Held::Ends => return Counted { visits, bytes: error, brief: 0, outcome: Outcome::Fails },
            Held::GoesOn { failed, open } => {
                let more = of.asserts.more_visits(data);
                self.spend(more);
                let visits = visits.saturating_add(more);
                let told = failed.saturating_add(open);
                let missing = if failed > 0 { of.asserts.missing_bytes() } else { 0 };
                let bytes = error.saturating_mul(told).saturating_add(missing);
                Counted { visits, bytes, brief: 0, outcome: Outcome::of(told == 0, failed > 0) }
            }
        };
        own.and(self.led(of, data, level)).told(level)
    }

    /// Takes it to the end where it was counted too often; answers whether it goes on.
    fn spend(&mut self, visits: u32) -> bool {
        self.once = self.once.saturating_add(visits);
        let goes_on = self.once <= self.most.visits;
        if !goes_on {
            self.ended = Some(TooMuch::Size);
        }
        goes_on
    }

    fn led(&mut self, of: &'a Place, data: &Value, level: u32) -> Counted {
        let mut sum = match data {
            Value::Object(fields) => {
                let held = of.dependent.iter().filter(|(name, _)| fields.contains_key(name));
                let dependent = self.all(held.map(|(_, place)| place), data, level);
                dependent.and(self.fields(of, fields, level + 1))
            }
            Value::Array(items) => self.items(of, items, level + 1).and(self.contains(of, data, items, level + 1)),
            _ => Counted::NOTHING,
        };
        sum = sum.and(self.all(&of.all, data, level));
        for targets in &of.dynamic {
            let counted = targets.iter().map(|place| self.held(*place, data, level)).reduce(Counted::or_worse);
            sum = sum.and(counted.unwrap_or(Counted::NOTHING).told(level));
        }
        sum = sum.and(self.any(of, data, level)).and(self.one(of, data, level));
        for place in &of.not {
            let counted = self.held(*place, data, level).dropped();
            let outcome = Outcome::of(counted.outcome == Outcome::Fails, counted.outcome == Outcome::Passes);
            sum = sum.and(counted.with(outcome).told(level));
        }
        sum.and(self.case(of, data, level))
    }

    fn all<'b>(&mut self, places: impl IntoIterator<Item = &'b usize>, data: &Value, level: u32) -> Counted {
        let held = |sum: Counted, place: &usize| sum.and(self.held(*place, data, level).told(level));
        places.into_iter().fold(Counted::NOTHING, held)
    }

    fn any(&mut self, of: &Place, data: &Value, level: u32) -> Counted {
        if of.any.is_empty() {
            return Counted::NOTHING;
        }
        let mut sum = Counted::NOTHING.with(Outcome::Fails);
        for place in &of.any {
            let counted = self.held(*place, data, level);
            let fails = sum.outcome == Outcome::Fails && counted.outcome == Outcome::Fails;
            let passes = sum.outcome == Outcome::Passes || counted.outcome == Outcome::Passes;
            sum = sum.plus(counted, Outcome::of(passes, fails));
            if passes && !self.is_of_the_rest {
                break;
            }
        }
        sum.told(level)
    }

    fn one(&mut self, of: &Place, data: &Value, level: u32) -> Counted {
        if of.one.is_empty() {
            return Counted::NOTHING;
        }
        let (mut sum, mut passed, mut unsure) = (Counted::NOTHING, 0, false);
        for place in &of.one {
            let counted = self.held(*place, data, level);
            passed += u32::from(counted.outcome == Outcome::Passes);
            unsure |= counted.outcome == Outcome::Unsure;
            sum = sum.plus(counted, Outcome::Unsure);
            if passed > 1 {
                break;
            }
        }
        sum.with(Outcome::of(passed == 1 && !unsure, passed > 1 || (passed == 0 && !unsure))).told(level)
    }

    /// A condition, which leaves no errors, and the case that it leads to: where it is not known which, the worse one.
    fn case(&mut self, of: &Place, data: &Value, level: u32) -> Counted {
        let Some(condition) = of.condition else { return Counted::NOTHING };
        let condition = self.held(condition, data, level).dropped();
        let mut branch = |to: Option<usize>| to.map_or(Counted::NOTHING, |place| self.held(place, data, level));
        let led = match condition.outcome {
            Outcome::Passes => branch(of.then),
            Outcome::Fails => branch(of.otherwise),
            Outcome::Unsure => branch(of.then).or_worse(branch(of.otherwise)),
        };
        condition.with(Outcome::Passes).and(led)
    }

    fn fields(&mut self, of: &Place, fields: &Map<String, Value>, level: u32) -> Counted {
        let matched = if self.is_of_the_rest { of.matching.len() + 1 } else { of.matching.len() };
        let long = fields.keys().map(String::len).sum::<usize>() / VISIT_MATCHED_BYTES;
        let visits = u32::try_from(matched.saturating_mul(fields.len() + long)).unwrap_or(u32::MAX);
        let mut sum = Counted { visits, ..Counted::NOTHING };
        // Before any pattern is matched.
        if !self.spend(visits) {
            return sum;
        }
        for (name, value) in fields {
            let (mut is_own, mut is_doubted) = (false, false);
            if let Some(place) = of.fields.get(name) {
                is_own = true;
                sum = sum.and(self.part(*place, value, level));
            }
            for (pattern, place) in &of.matching {
                match matches(pattern.as_ref(), name) {
                    Some(false) => {}
                    Some(true) => {
                        is_own = true;
                        sum = sum.and(self.part(*place, value, level));
                    }
                    None => {
                        is_doubted = true;
                        sum = sum.and(self.part(*place, value, level).doubted());
                    }
                }
            }
            if !is_own {
                sum = sum.and(self.rest([&of.other_fields, &of.unevaluated_fields], is_doubted, value, level));
            }
            for place in &of.names {
                sum = sum.and(self.name(*place, name));
            }
        }
        sum
    }

    fn items(&mut self, of: &Place, items: &[Value], level: u32) -> Counted {
        let tracked = if self.is_of_the_rest { u32::try_from(items.len()).unwrap_or(u32::MAX) } else { 0 };
        let mut sum = Counted { visits: tracked, ..Counted::NOTHING };
        for (index, item) in items.iter().enumerate() {
            sum = sum.and(match of.prefix.get(&index) {
                Some(place) => self.part(*place, item, level),
                None => self.rest([&of.other_items, &of.unevaluated_items], false, item, level),
            });
        }
        sum
    }

    /// A part that no schema of its own is for. What others have looked at is not known here: where it is for what is not
    /// evaluated, it counts as if it were not.
    fn rest(&mut self, [other, unevaluated]: [&[usize]; 2], is_doubted: bool, data: &Value, level: u32) -> Counted {
        let (places, is_doubted) = if other.is_empty() { (unevaluated, true) } else { (other, is_doubted) };
        let mut sum = Counted::NOTHING;
        for place in places {
            let counted = self.part(*place, data, level);
            sum = sum.and(if is_doubted { counted.doubted() } else { counted });
        }
        sum
    }

    fn contains(&mut self, of: &Place, data: &Value, items: &[Value], level: u32) -> Counted {
        let mut all = Counted::NOTHING;
        for place in &of.contains {
            let (mut sum, mut passes) = (Counted::NOTHING, false);
            for item in items {
                let counted = self.part(*place, item, level);
                passes |= counted.outcome == Outcome::Passes;
                sum = sum.plus(counted, Outcome::Unsure);
            }
            // How many there must be is not looked at here.
            let outcome = Outcome::of(passes && !of.asserts.is_open(data), false);
            all = all.and(sum.with(outcome).told(level));
        }
        all
    }

    fn part(&mut self, place: usize, data: &Value, level: u32) -> Counted {
        if is_leaf(data) {
            self.of_leaf.clear();
        }
        self.held(place, data, level)
    }

    /// A name is held to a schema by itself, and what is wrong with it is copied, with the name.
    fn name(&mut self, place: usize, name: &str) -> Counted {
        let counted = self.part(place, &Value::String(name.to_owned()), 0);
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let names = (counted.bytes / ERROR_BYTES).saturating_mul(length);
        Counted { bytes: counted.bytes.saturating_mul(2).saturating_add(names), ..counted }.told(0)
    }
}

/// Whether data have no parts.
fn is_leaf(data: &Value) -> bool {
    match data {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// Whether data surely fit, or surely do not.
#[cfg(test)]
pub(super) fn surely(places: &[Place], is_of_the_rest: bool, data: &Value) -> Option<bool> {
    match Count::new(places, is_of_the_rest, Limits::MOST).held(0, data, 0).outcome {
        Outcome::Passes => Some(true),
        Outcome::Fails => Some(false),
        Outcome::Unsure => None,
    }
}
