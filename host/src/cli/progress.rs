//! A progress bar on stderr, when a person looks at it.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

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
