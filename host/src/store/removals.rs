//! Which events retention has removed: of each category those before its horizon.
//!
//! The one place where that is decided, in pure code, for every store. Horizons only rise. An event outside
//! any stream is in no category and is never removed.

use std::collections::BTreeMap;

use crate::event::{Category, Filter, Pattern, Position, Query, category_of};

/// The horizons of all categories that have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// The highest horizon; below no horizon, and so without retention, nothing else is asked.
    max: Position,
    by_category: BTreeMap<Box<str>, Position>,
}

impl Removals {
    /// Whether nothing was ever removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_category.is_empty()
    }

    /// The highest horizon: from this position on nothing is removed.
    #[must_use]
    pub const fn max(&self) -> Position {
        self.max
    }

    /// The categories with their horizons, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Position)> {
        self.by_category.iter().map(|(category, horizon)| (&**category, *horizon))
    }

    /// The position before which every event of a category is removed; the start when none is.
    #[must_use]
    pub fn horizon(&self, category: &str) -> Position {
        self.by_category.get(category).copied().unwrap_or_default()
    }

    /// Whether the event of a stream, or of none, at a position is removed.
    #[must_use]
    pub fn removes(&self, stream: Option<&str>, position: Position) -> bool {
        position < self.max && stream.is_some_and(|stream| position < self.horizon(category_of(stream)))
    }

    /// Raises the horizon of a category; one that is as high already stays, and nothing stands before 1.
    pub(super) fn raise(&mut self, category: &Category, before: Position) {
        if before <= Position(1) {
            return;
        }
        let horizon = self.by_category.entry(category.as_str().into()).or_default();
        *horizon = before.max(*horizon);
        self.max = self.max.max(*horizon);
    }

    /// The category with the highest horizon among those that a query may ask for; none when none of its
    /// events above `after` can be removed.
    pub(crate) fn touched(&self, query: &Query, after: Position) -> Option<(&str, Position)> {
        let above = self.iter().filter(|(_, horizon)| after.0.saturating_add(1) < horizon.0);
        above.filter(|(category, _)| asks_for(query, category)).max_by_key(|(_, horizon)| *horizon)
    }

    /// A position before which every event that a query asks for is removed: the start unless the query
    /// names its categories.
    pub(super) fn floor(&self, query: &Query) -> Position {
        let floor = |filter: &Filter| {
            let horizon = |pattern| only_category(pattern).map_or(Position::START, |category| self.horizon(category));
            filter.streams.iter().map(horizon).min().unwrap_or_default()
        };
        query.items.iter().map(floor).min().unwrap_or_default()
    }
}

/// Whether a query may match events of a category.
fn asks_for(query: &Query, category: &str) -> bool {
    let asks = |filter: &Filter| filter.streams.is_empty() || filter.streams.iter().any(|p| may_be_in(p, category));
    query.items.is_empty() || query.items.iter().any(asks)
}

fn may_be_in(pattern: &Pattern, category: &str) -> bool {
    match only_category(pattern) {
        Some(only) => only == category,
        None => category.starts_with(pattern.as_str().trim_end_matches('*')),
    }
}

/// The one category that all streams of a pattern are in.
fn only_category(pattern: &Pattern) -> Option<&str> {
    match pattern.as_str().split_once('-') {
        // A star before the end is a letter, which no stream has.
        Some((category, _)) => Some(category),
        None => pattern.exact(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removals() -> Removals {
        let mut removals = Removals::default();
        for (category, horizon) in [("order", 5), ("orders", 9), ("order", 3)] {
            removals.raise(&Category::new(category).unwrap(), Position(horizon));
        }
        removals
    }

    fn query(streams: &[&str]) -> Query {
        let streams = streams.iter().map(|text| Pattern::new(*text).unwrap()).collect();
        Filter { streams, ..Filter::default() }.into()
    }

    #[test]
    fn horizons_rise_and_part_each_category() {
        let removals = removals();
        let removes = |stream, position| removals.removes(stream, Position(position));
        assert!(removes(Some("order-1"), 4) && removes(Some("order"), 4) && removes(Some("orders-1-2"), 8));
        assert!(!removes(Some("order-1"), 5) && !removes(Some("orders"), 9) && !removes(Some("other"), 1));
        assert!(!removes(None, 1), "an event outside any stream is in no category");
        assert!(removals.iter().eq([("order", Position(5)), ("orders", Position(9))]));
    }

    #[test]
    fn a_query_is_told_of_the_categories_it_asks_for() {
        let removals = removals();
        let touched =
            |streams: &[&str], after| removals.touched(&query(streams), Position(after)).map(|(_, horizon)| horizon.0);
        assert_eq!(
            (touched(&["order-1"], 0), touched(&["order-*"], 3), touched(&["order-1"], 4)),
            (Some(5), Some(5), None)
        );
        assert_eq!((touched(&["order*"], 0), touched(&["o*"], 7), touched(&["*"], 8)), (Some(9), Some(9), None));
        assert_eq!((touched(&["other-1", "x*"], 0), touched(&["other-1", "order"], 0)), (None, Some(5)));
        assert_eq!(removals.touched(&Query::all(), Position(0)), Some(("orders", Position(9))));
        assert_eq!(Removals::default().touched(&Query::all(), Position(0)), None);
    }

    #[test]
    fn below_the_floor_of_a_query_is_nothing() {
        let removals = removals();
        let floor = |streams: &[&str]| removals.floor(&query(streams)).0;
        assert_eq!(
            [floor(&["order-1"]), floor(&["orders-*", "order-2"]), floor(&["order*"]), floor(&[])],
            [5, 5, 0, 0]
        );
        assert_eq!(floor(&["order-1", "other"]), 0);
        assert_eq!(removals.floor(&Query::all()), Position::START);
    }
}
