//! What each plugin does, as a small table that is redrawn on a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A row: one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) plugin: String,
    pub(super) generation: u64,
    pub(super) state: String,
    pub(super) handled: u64,
    pub(super) emitted: u64,
    pub(super) failures: u64,
    pub(super) parked: u64,
    pub(super) lag: u64,
}

/// Where the demo talks: on a terminal a table below a progress bar, elsewhere lines. All of it on stderr.
#[derive(Debug)]
pub(super) struct Board {
    bars: MultiProgress,
    orders: ProgressBar,
    table: ProgressBar,
    live: bool,
    last: Vec<Row>,
}

impl Board {
    pub(super) fn new(orders: u32) -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("orders {bar:40} {pos}/{len}");
        let bar = ProgressBar::new(orders.into()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let text = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let orders = bars.add(bar);
        let table = bars.add(ProgressBar::new_spinner().with_style(text));
        Self { bars, orders, table, live: std::io::stderr().is_terminal(), last: Vec::new() }
    }

    /// Says something that stays.
    #[expect(clippy::print_stderr, reason = "the demo talks to the person who started it")]
    pub(super) fn say(&self, text: &str) {
        if self.live {
            // A terminal that is gone does not stop the demo.
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Shows how many orders are placed and what the plugins have done.
    pub(super) fn show(&mut self, placed: u64, rows: Vec<Row>) {
        self.orders.set_position(placed);
        if self.live && !rows.is_empty() {
            self.table.set_message(table(&rows));
        }
        self.last = rows;
    }

    /// Leaves the table standing as it is.
    pub(super) fn keep(&self) {
        self.say(&table(&self.last));
    }

    /// Leaves the last table standing, and ends the live one.
    pub(super) fn finish(&self) {
        self.orders.finish_and_clear();
        self.table.finish_and_clear();
        self.keep();
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<14} {:>4} {:>9} {:>9} {:>8} {:>7} {:>7}  {}",
        "plugin", "gen", "handled", "emitted", "failures", "parked", "lag", "state"
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n{:<14} {:>4} {:>9} {:>9} {:>8} {:>7} {:>7}  {}",
            row.plugin, row.generation, row.handled, row.emitted, row.failures, row.parked, row.lag, row.state
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_plugin() {
        let row =
            Row { plugin: "orders".into(), generation: 1, state: "running".into(), handled: 12, ..Row::default() };
        let expected = "\
plugin          gen   handled   emitted failures  parked     lag  state
orders            1        12         0        0       0       0  running";
        assert_eq!(table(&[row]), expected);
    }
}
