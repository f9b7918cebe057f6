//! What is on the screen: the last answer, rates since the one before, and what keys have asked for.

use std::cmp::Ordering;

use super::Sort;
use super::sample::{Plugin, Sample};
use crate::clock::Stopwatch;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Another order.
    Sort,
    /// The other way round.
    Reverse,
    /// Hold still, or go on.
    Hold,
    /// Rows further up or down.
    Scroll(i16),
}

/// What is on the screen.
#[derive(Clone, Debug)]
pub(super) struct Model {
    url: String,
    begun: Stopwatch,
    sort: Sort,
    reversed: bool,
    held: bool,
    /// Rows that are scrolled out above.
    skipped: usize,
    last: Sample,
    /// Whether there is a last one.
    is_begun: bool,
    /// Events appended a second; none before the second answer.
    append_rate: Option<f64>,
    /// Plugins of the last answer, each with the events it handles a second, in order.
    rows: Vec<(Plugin, Option<f64>)>,
}

impl Model {
    /// Nothing yet.
    pub(super) fn new(url: String, sort: Sort) -> Self {
        let begun = Stopwatch::start();
        let (last, rows) = (Sample::default(), Vec::new());
        Self {
            url,
            begun,
            sort,
            reversed: false,
            held: false,
            skipped: 0,
            last,
            is_begun: false,
            append_rate: None,
            rows,
        }
    }

    /// When it began.
    pub(super) const fn begun(&self) -> Stopwatch {
        self.begun
    }

    /// Takes the next answer, unless the screen is held still.
    pub(super) fn take(&mut self, sample: Sample) {
        if self.held {
            return;
        }
        let seconds = sample.at_seconds - self.last.at_seconds;
        let has_before = std::mem::replace(&mut self.is_begun, true);
        // A number that fell is another server's: it was started again.
        let rate = |now: u64, before: u64| {
            let grown = now.checked_sub(before).filter(|_| has_before && seconds > 0.0)?;
            Some(grown as f64 / seconds)
        };
        self.append_rate = rate(sample.head, self.last.head);
        let before = |name: &str| self.last.plugins.iter().find(|plugin| plugin.name == name);
        let rows = sample.plugins.iter().map(|plugin| {
            (plugin.clone(), before(&plugin.name).and_then(|before| rate(plugin.handled, before.handled)))
        });
        self.rows = rows.collect();
        self.last = sample;
        self.order();
    }

    /// Does what a key asks for.
    pub(super) fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Sort => {
                self.sort = match self.sort {
                    Sort::Lag => Sort::Rate,
                    Sort::Rate => Sort::Parked,
                    Sort::Parked => Sort::Memory,
                    Sort::Memory => Sort::Name,
                    Sort::Name => Sort::Lag,
                };
                self.order();
            }
            Wish::Reverse => {
                self.reversed = !self.reversed;
                self.order();
            }
            Wish::Hold => self.held = !self.held,
            Wish::Scroll(rows) => {
                let last = self.rows.len().saturating_sub(1);
                self.skipped = self.skipped.saturating_add_signed(rows.into()).min(last);
            }
        }
    }

    fn order(&mut self) {
        let (sort, reversed) = (self.sort, self.reversed);
        self.rows.sort_by(|(one, rate), (other, other_rate)| {
            let order = match sort {
                Sort::Lag => other.lag_events.cmp(&one.lag_events),
                Sort::Rate => other_rate.partial_cmp(rate).unwrap_or(Ordering::Equal),
                Sort::Parked => (other.parked + other.waiting).cmp(&(one.parked + one.waiting)),
                Sort::Memory => other.memory_bytes.cmp(&one.memory_bytes),
                Sort::Name => Ordering::Equal,
            };
            let order = order.then_with(|| one.name.cmp(&other.name));
            if reversed { order.reverse() } else { order }
        });
        self.skipped = self.skipped.min(self.rows.len().saturating_sub(1));
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) const fn sample(&self) -> &Sample {
        &self.last
    }

    pub(super) const fn append_rate(&self) -> Option<f64> {
        self.append_rate
    }

    /// The rows that are not scrolled out above.
    pub(super) fn rows(&self) -> &[(Plugin, Option<f64>)] {
        self.rows.get(self.skipped..).unwrap_or_default()
    }

    pub(super) const fn sort(&self) -> Sort {
        self.sort
    }

    pub(super) const fn is_reversed(&self) -> bool {
        self.reversed
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, lag_events: u64, handled: u64) -> Plugin {
        Plugin { name: name.into(), lag_events, handled, ..Plugin::default() }
    }

    fn sample(at_seconds: f64, head: u64, plugins: Vec<Plugin>) -> Sample {
        Sample { at_seconds, head, plugins, problems: Vec::new() }
    }

    fn names(model: &Model) -> Vec<&str> {
        model.rows().iter().map(|(plugin, _)| plugin.name.as_str()).collect()
    }

    #[test]
    fn rates_are_what_came_between_two_answers() {
        let mut model = Model::new("u".into(), Sort::Lag);
        model.take(sample(0.5, 10, vec![plugin("a", 0, 4), plugin("b", 0, 9)]));
        assert_eq!((model.append_rate(), model.rows()[0].1), (None, None));
        model.take(sample(2.5, 30, vec![plugin("a", 0, 5), plugin("b", 0, 3), plugin("c", 0, 1)]));
        let rates: Vec<_> = model.rows().iter().map(|(_, rate)| *rate).collect();
        assert_eq!((model.append_rate(), rates), (Some(10.0), vec![Some(0.5), None, None]));
        model.take(sample(3.5, 2, Vec::new()));
        assert_eq!(model.append_rate(), None, "another server's log");
    }

    #[test]
    fn keys_order_hold_and_scroll() {
        let mut model = Model::new("u".into(), Sort::Lag);
        model.take(sample(1.0, 1, vec![plugin("a", 1, 0), plugin("b", 5, 0), plugin("c", 5, 0)]));
        assert_eq!(names(&model), ["b", "c", "a"]);
        model.take(sample(2.0, 1, vec![plugin("a", 1, 7), plugin("b", 5, 0), plugin("c", 5, 9)]));
        model.wish(Wish::Sort);
        assert_eq!((model.sort(), names(&model)), (Sort::Rate, vec!["c", "a", "b"]));
        model.wish(Wish::Reverse);
        assert_eq!(names(&model), ["b", "a", "c"]);
        model.wish(Wish::Scroll(2));
        assert_eq!(names(&model), ["c"]);
        model.wish(Wish::Scroll(9));
        model.wish(Wish::Scroll(-1));
        assert_eq!(names(&model), ["a", "c"]);
        model.wish(Wish::Hold);
        model.take(sample(3.0, 1, vec![plugin("x", 0, 0)]));
        assert_eq!(names(&model), ["a", "c"], "it holds still");
        model.wish(Wish::Hold);
        model.take(sample(4.0, 1, vec![plugin("x", 0, 0)]));
        assert_eq!(names(&model), ["x"]);
    }
}
