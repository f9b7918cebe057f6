//! What a guest says: log lines, stdout and stderr, within a budget, with the last of it kept as evidence.
//!
//! Lines go to `tracing` under [`TARGET`] as they come, also those of attempts that fail. The tail is that
//! of the call in progress; it is kept past the budget, since the last words are the ones that explain.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Transcript;
use super::bindings::log::Level;
use super::text::clean;
use crate::event::PluginName;

/// Target of everything that guests say.
const TARGET: &str = "tidemill::plugin";
/// Bytes of a call's output kept as evidence.
const TAIL_BYTES_MAX: usize = 4096;
/// Longest line of stdout or stderr; what is longer is broken.
const LINE_BYTES_MAX: usize = 4096;
/// What a line counts beside its text, in bytes: about what the host's log puts before it. Without it, lines of nothing
/// would be free, and flood that log.
const LINE_COST_BYTES: usize = 64;

/// The two standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// The output of one instance. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    plugin: PluginName,
    transcript: Transcript,
    bytes_per_batch: usize,
    /// Bytes that may still be logged in this call.
    budget: usize,
    /// Bytes logged in this call as they count, dropped ones included.
    logged: u64,
    dropped_lines: u64,
    dropped_bytes: usize,
    tail: VecDeque<u8>,
    /// What of a line has been written so far.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    pub(super) fn new(plugin: PluginName, bytes_per_batch: usize, transcript: Transcript) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            plugin,
            transcript,
            bytes_per_batch,
            budget: bytes_per_batch,
            logged: 0,
            dropped_lines: 0,
            dropped_bytes: 0,
            tail: VecDeque::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        })))
    }

    /// Begins a call: a full budget and an empty tail.
    pub(super) fn begin_call(&self) {
        let mut inner = self.lock();
        inner.budget = inner.bytes_per_batch;
        inner.logged = 0;
        inner.tail.clear();
    }

    /// Begins a call that may log so much of what its batch may: an empty tail.
    pub(super) fn go_on(&self, budget: usize) {
        let mut inner = self.lock();
        inner.budget = budget;
        inner.logged = 0;
        inner.tail.clear();
    }

    /// Ends a call: unfinished lines are written. Answers how many bytes were logged as they count, dropped ones
    /// included.
    pub(super) fn end_part(&self) -> u64 {
        let mut inner = self.lock();
        inner.flush(Stream::Stdout);
        inner.flush(Stream::Stderr);
        inner.logged
    }

    /// Ends the last call of a batch, and warns once of what was dropped.
    pub(super) fn end_call(&self) -> u64 {
        let logged = self.end_part();
        let mut inner = self.lock();
        if inner.dropped_lines > 0 {
            let (plugin, max) = (&inner.plugin, inner.bytes_per_batch);
            let (lines, bytes) = (inner.dropped_lines, inner.dropped_bytes);
            tracing::warn!(
                target: TARGET, %plugin, lines, bytes,
                "log lines dropped: more than {max} bytes in one batch; raise `[limits] log_bytes_per_batch`"
            );
            inner.dropped_lines = 0;
            inner.dropped_bytes = 0;
        }
        logged
    }

    /// Writes one log line.
    pub(super) fn log(&self, level: Level, message: &str) {
        let mut inner = self.lock();
        inner.keep(message.as_bytes());
        inner.keep(b"\n");
        inner.emit(level, message);
    }

    /// Takes bytes of a standard stream; complete lines are written.
    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        if stream == Stream::Stderr {
            inner.keep(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for chunk in piece.chunks(LINE_BYTES_MAX) {
                inner.line(stream).extend_from_slice(chunk);
                if chunk.ends_with(b"\n") || inner.line(stream).len() >= LINE_BYTES_MAX {
                    inner.flush(stream);
                }
            }
        }
    }

    /// The last of what was said in this call, control characters replaced.
    pub(super) fn tail(&self) -> String {
        let mut inner = self.lock();
        let text = String::from_utf8_lossy(inner.tail.make_contiguous());
        let lines: Vec<_> = text.lines().map(clean).collect();
        lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn flush(&mut self, stream: Stream) {
        let line = std::mem::take(self.line(stream));
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            self.emit(Level::Info, text);
        }
        // The buffer's memory is used again for the next line.
        *self.line(stream) = line;
        self.line(stream).clear();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let last = bytes.get(bytes.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or_default();
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
        self.tail.extend(last);
    }

    fn emit(&mut self, level: Level, text: &str) {
        let bytes = text.len() + LINE_COST_BYTES;
        self.logged += bytes as u64;
        let Some(left) = self.budget.checked_sub(bytes) else {
            self.budget = 0;
            self.dropped_lines += 1;
            self.dropped_bytes = self.dropped_bytes.saturating_add(bytes);
            return;
        };
        self.budget = left;
        let (plugin, text) = (&self.plugin, clean(text));
        self.transcript.add(name(level), &text);
        match level {
            Level::Trace => tracing::trace!(target: TARGET, %plugin, "{text}"),
            Level::Debug => tracing::debug!(target: TARGET, %plugin, "{text}"),
            Level::Info => tracing::info!(target: TARGET, %plugin, "{text}"),
            Level::Warn => tracing::warn!(target: TARGET, %plugin, "{text}"),
            Level::Error => tracing::error!(target: TARGET, %plugin, "{text}"),
        }
    }
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(bytes_per_batch: usize) -> Output {
        Output::new(PluginName::new("p").unwrap(), bytes_per_batch, Transcript::default())
    }

    #[test]
    fn the_tail_is_the_last_of_this_call() {
        let output = output(1 << 10);
        output.write(Stream::Stderr, b"of another call\n");
        output.begin_call();
        output.write(Stream::Stdout, b"not evidence\n");
        output.log(Level::Info, "first");
        output.write(Stream::Stderr, b"\x1b[31mboom");
        assert_eq!(output.tail(), "first\n\u{fffd}[31mboom");
        output.write(Stream::Stderr, "x".repeat(3 * TAIL_BYTES_MAX).as_bytes());
        assert_eq!(output.tail().len(), TAIL_BYTES_MAX);
    }

    #[test]
    fn what_goes_past_the_budget_is_counted_until_the_call_ends() {
        let budget = LINE_COST_BYTES + 10;
        let output = output(budget);
        output.log(Level::Info, "12345678");
        output.log(Level::Info, "123");
        output.log(Level::Info, "1");
        let dropped = |output: &Output| {
            let inner = output.lock();
            (inner.dropped_lines, inner.dropped_bytes, inner.budget)
        };
        assert_eq!(dropped(&output), (2, 2 * LINE_COST_BYTES + 4, 0));
        assert!(output.tail().ends_with("123\n1"), "the tail is kept past the budget");
        assert_eq!(output.end_call(), 3 * LINE_COST_BYTES as u64 + 12);
        output.begin_call();
        assert_eq!(dropped(&output), (0, 0, budget));
    }

    #[test]
    fn lines_of_nothing_are_not_free() {
        let output = output(10 * LINE_COST_BYTES);
        for _ in 0..30 {
            output.log(Level::Info, "");
        }
        let logged = 30 * LINE_COST_BYTES;
        assert_eq!((output.end_part(), output.lock().dropped_lines), (logged as u64, 20));
    }

    #[test]
    fn calls_of_one_batch_share_its_budget_and_one_warning() {
        let line = LINE_COST_BYTES;
        let output = output(line + 10);
        output.go_on(line + 10);
        output.log(Level::Info, "12345678");
        assert_eq!(output.end_part(), line as u64 + 8);
        output.go_on(2);
        output.log(Level::Info, "123");
        assert_eq!((output.end_part(), output.lock().dropped_lines), (line as u64 + 3, 1));
        output.end_call();
        assert_eq!(output.lock().dropped_lines, 0);
    }

    #[test]
    fn a_line_without_an_end_is_broken_not_hoarded() {
        let output = output(1 << 20);
        for _ in 0..100 {
            output.write(Stream::Stdout, &[b'x'; 1000]);
            assert!(output.lock().stdout.len() < LINE_BYTES_MAX);
        }
    }
}
