//! A progress bar on stderr, when a person looks at it.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::output::talk;
use crate::clock::{Clock as _, SystemClock};

/// Counts what is done.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar that counts events; nothing when stderr is not a terminal.
    pub(super) fn events() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} events stored, {rate}/s, {elapsed}") {
            bar.set_style(style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
                // The bar shows what it can.
                let _ = write!(text, "{:.0}", state.per_sec());
            }));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// A bar that shows how many bytes of how many were looked at; nothing when stderr is not a terminal.
    pub(super) fn bytes() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{wide_bar} {bytes} of {total_bytes} verified, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A bar that shows which position of the log was reached; nothing when stderr is not a terminal.
    pub(super) fn positions() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{wide_bar} position {human_pos} of {human_len}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A bar that shows how many set-aside events of how many went through; nothing when stderr is not a terminal.
    pub(super) fn set_aside() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{wide_bar} {human_pos} of {human_len} handled, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A bar that shows how many bytes of how many went through; lines when stderr is not a terminal.
    pub(super) fn copied() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let template = "{wide_bar} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many are done, of so many.
    pub(super) fn at(&self, done: u64, of: u64) {
        // Setting it draws the bar, which takes longer than verifying a block.
        if self.0.length() != Some(of) {
            self.0.set_length(of);
        }
        self.0.set_position(done);
    }

    /// So many more are done.
    pub(super) fn add(&self, count: u64) {
        self.0.inc(count);
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Time between two lines that tell how far it is, in microseconds.
const LINE_EVERY_US: u64 = 2_000_000;
/// Bytes after which it is looked whether it is time to tell: looking takes longer than moving a block.
const LOOK_EVERY_BYTES: u64 = 1 << 20;

/// Tells how far it is, by a bar where stderr is a terminal, else by a line every two seconds.
pub(super) struct Tell<'a> {
    bar: &'a Progress,
    total: u64,
    /// What is counted, and what is done with it.
    words: (&'static str, &'static str),
    look_every: u64,
    looked_at: u64,
    told_us: u64,
}

impl<'a> Tell<'a> {
    /// Tells of so many bytes; 0 if it is not known how many.
    pub(super) fn bytes(bar: &'a Progress, total: u64, done: &'static str) -> Self {
        let told_us = SystemClock.now_us();
        Self { bar, total, words: ("bytes", done), look_every: LOOK_EVERY_BYTES, looked_at: 0, told_us }
    }

    /// Tells of events on the way to a position; 0 if it is not known to which.
    pub(super) fn events(bar: &'a Progress, total: u64, done: &'static str) -> Self {
        Self { words: ("events", done), look_every: 0, ..Self::bytes(bar, total, done) }
    }

    /// So many are done, and it has come to `at` on its way.
    pub(super) fn at(&mut self, done: u64, at: u64) {
        if done < self.looked_at.saturating_add(self.look_every) {
            return;
        }
        self.looked_at = done;
        if stderr().is_terminal() {
            if self.total > 0 {
                self.bar.at(at, self.total.max(at));
            }
            return;
        }
        let now_us = SystemClock.now_us();
        if now_us < self.told_us.saturating_add(LINE_EVERY_US) {
            return;
        }
        self.told_us = now_us;
        let way = if self.total == 0 { String::new() } else { format!(", at {at} of {}", self.total) };
        talk(&format!("{done} {} {}{way}", self.words.0, self.words.1));
    }

    /// So many are done, of so many.
    pub(super) fn of(&mut self, done: u64, total: u64) {
        self.total = total;
        self.at(done, done);
    }
}
