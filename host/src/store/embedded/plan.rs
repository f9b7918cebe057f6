//! How a query is answered from the index: which lists of positions are joined and intersected.
//!
//! A plan may answer positions of events that do not match (it says so), never miss one that does. Patterns
//! of more names than [`NAMES_MAX`], and those the index cannot help with, are looked for in every event.

use std::sync::Arc;

use super::cursor::EventCursor;
use super::key::Kind;
use super::lookup;
use super::postings::{Intersection, Postings, Union};
use super::view::View;
use crate::event::{Filter, Pattern, Position, Query, RecordedEvent, category_of};
use crate::store::{Direction, StoreError};

/// Most names that the patterns of one filter are looked up under.
const NAMES_MAX: usize = 256;

/// Which positions to look at, and in which direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Only above this one.
    pub(super) after: Position,
    /// Only below this one.
    pub(super) below: Position,
    /// From which end.
    pub(super) direction: Direction,
}

impl Range {
    /// Whether nothing lies in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.below.0.saturating_sub(self.after.0) <= 1
    }

    /// The first position to look at.
    pub(super) const fn start(&self) -> u64 {
        match self.direction {
            Direction::Forwards => self.after.0 + 1,
            Direction::Backwards => self.below.0.saturating_sub(1),
        }
    }

    /// Whether a position lies in it.
    pub(super) const fn holds(&self, position: u64) -> bool {
        self.after.0 < position && position < self.below.0
    }

    /// What is left of it beyond a position that was looked at.
    pub(super) const fn beyond(self, position: Position) -> Self {
        match self.direction {
            Direction::Forwards => Self { after: position, ..self },
            Direction::Backwards => Self { below: position, ..self },
        }
    }
}

/// Where a query's events can stand.
pub(super) enum Plan {
    /// Anywhere.
    Everywhere,
    /// At these positions.
    At {
        /// Every match is among them.
        postings: Box<dyn Postings>,
        /// Whether all of them match.
        exact: bool,
    },
}

impl Plan {
    /// The plan of a query over the committed log and what is being committed.
    pub(super) fn of(view: &Arc<View>, query: &Query, range: Range) -> Result<Self, StoreError> {
        let mut lists = Vec::with_capacity(query.items.len());
        let mut all_exact = true;
        for filter in &query.items {
            match Self::of_filter(view, filter, range)? {
                Self::Everywhere => return Ok(Self::Everywhere),
                Self::At { postings, exact } => {
                    all_exact &= exact;
                    lists.push(postings);
                }
            }
        }
        if query.items.is_empty() {
            return Ok(Self::Everywhere);
        }
        Ok(Self::At { postings: union(lists, range.direction), exact: all_exact })
    }

    fn of_filter(view: &Arc<View>, filter: &Filter, range: Range) -> Result<Self, StoreError> {
        let lookup = Lookup { view, range };
        let mut lists: Vec<_> = filter.tags.iter().map(|tag| lookup.postings(Kind::Tag, tag.as_str())).collect();
        let mut exact = true;
        for names in [lookup.types(filter)?, lookup.streams(filter)?] {
            match names {
                Names::Any => {}
                Names::Unknown => exact = false,
                Names::These { kind, names, exact: these } => {
                    exact &= these;
                    let found = names.iter().map(|name| lookup.postings(kind, name)).collect();
                    lists.push(union(found, range.direction));
                }
            }
        }
        if lists.len() > 1 {
            let intersection = Intersection::new(lists);
            return Ok(Self::At { postings: Box::new(intersection), exact });
        }
        Ok(lists.pop().map_or(Self::Everywhere, |postings| Self::At { postings, exact }))
    }
}

/// The names that patterns stand for.
enum Names {
    /// Every event: nothing is asked.
    Any,
    /// Too many, or not to be told from the index.
    Unknown,
    /// Events of these names; if not exact, other events may have them too.
    These { kind: Kind, names: Vec<Box<str>>, exact: bool },
}

struct Lookup<'a> {
    view: &'a Arc<View>,
    range: Range,
}

impl Lookup<'_> {
    fn postings(&self, kind: Kind, name: &str) -> Box<dyn Postings> {
        lookup::postings(self.view, kind, name, (self.range.after, self.range.below), self.range.direction)
    }

    fn types(&self, filter: &Filter) -> Result<Names, StoreError> {
        if filter.types.is_empty() || filter.types.iter().any(matches_all) {
            return Ok(Names::Any);
        }
        self.matching(Kind::Type, &filter.types, true)
    }

    fn streams(&self, filter: &Filter) -> Result<Names, StoreError> {
        if filter.streams.is_empty() {
            return Ok(Names::Any);
        }
        if filter.streams.iter().all(|pattern| pattern.exact().is_some()) {
            return self.matching(Kind::Stream, &filter.streams, true);
        }
        if filter.streams.iter().any(matches_all) {
            return Ok(Names::Unknown);
        }
        match filter.streams.iter().map(category_pattern).collect::<Option<Vec<_>>>() {
            Some(categories) => self.matching(Kind::Category, &categories, false),
            None => Ok(Names::Unknown),
        }
    }

    /// The names of a kind that any of the patterns matches, each once.
    fn matching(&self, kind: Kind, patterns: &[Pattern], exact: bool) -> Result<Names, StoreError> {
        let mut names: Vec<Box<str>> = Vec::new();
        for pattern in patterns {
            match pattern.exact() {
                Some(name) => names.push(name.into()),
                None => {
                    let beginning = pattern.as_str().trim_end_matches('*');
                    let head = Position(u64::MAX);
                    let Some(found) = lookup::counts(self.view, kind, beginning, head, NAMES_MAX)? else {
                        return Ok(Names::Unknown);
                    };
                    names.extend(found.into_keys().filter(|name| pattern.matches(name)));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(if names.len() > NAMES_MAX { Names::Unknown } else { Names::These { kind, names, exact } })
    }
}

fn matches_all(pattern: &Pattern) -> bool {
    pattern.exact().is_none() && pattern.as_str() == "*"
}

/// The categories that streams of a pattern are in.
fn category_pattern(pattern: &Pattern) -> Option<Pattern> {
    match pattern.as_str().split_once('-') {
        Some((category, _)) => Pattern::new(category).ok().filter(|pattern| pattern.exact().is_some()),
        None if pattern.exact().is_some() => Pattern::new(category_of(pattern.as_str())).ok(),
        None => Some(pattern.clone()),
    }
}

fn union(mut lists: Vec<Box<dyn Postings>>, direction: Direction) -> Box<dyn Postings> {
    match lists.pop() {
        Some(only) if lists.is_empty() => only,
        last => Box::new(Union::new(lists.into_iter().chain(last).collect(), direction)),
    }
}

/// Position of the last event above `after`, and not above `last`, that matches. `own` gives events that are
/// being committed, which cannot be read yet.
pub(super) fn last_match(
    view: &Arc<View>,
    query: &Query,
    (after, last): (Position, Position),
    own: impl Fn(Position) -> Option<RecordedEvent>,
) -> Result<Option<Position>, StoreError> {
    let range = Range { after, below: last.next(), direction: Direction::Backwards };
    if range.is_empty() {
        return Ok(None);
    }
    let mut candidates = Candidates::new(Plan::of(view, query, range)?, range);
    let mut cursor = None;
    while let Some(position) = candidates.next()? {
        let matches = match own(position) {
            // Of what is removed the index may still know.
            _ if candidates.exact() && position >= view.removals.max() => true,
            Some(event) => query.matches(&event),
            None => {
                let cursor = cursor.get_or_insert_with(|| EventCursor::new(Arc::clone(view), range.direction));
                let event = cursor.event(position)?;
                event.map_or(Ok(false), |event| event.matches_query(query, position))?
            }
        };
        if matches {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// The positions of a plan in a range, one after the other.
pub(super) struct Candidates {
    plan: Plan,
    range: Range,
}

impl Candidates {
    pub(super) const fn new(plan: Plan, range: Range) -> Self {
        Self { plan, range }
    }

    /// Whether each of them matches.
    pub(super) const fn exact(&self) -> bool {
        matches!(self.plan, Plan::At { exact: true, .. })
    }

    /// The next one in the direction; none when all were.
    pub(super) fn next(&mut self) -> Result<Option<Position>, StoreError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let start = self.range.start();
        let found = match &mut self.plan {
            Plan::Everywhere => Some(start),
            Plan::At { postings, .. } => postings.seek(start)?,
        };
        let position = found.filter(|found| self.range.holds(*found)).map(Position);
        match position {
            Some(position) => self.range = self.range.beyond(position),
            None => self.range.below = Position::START,
        }
        Ok(position)
    }
}
