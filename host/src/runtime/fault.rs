//! Naming what went wrong in a guest, in words for its author and its operator.
//!
//! The engine knows only the trap; the cause is what the guest said before it (a panic message), or what
//! the limiter refused it. Both are joined here. The host's own stack never becomes evidence.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::guest::Guest;
use super::limits::Limits;
use super::text::{REASON_BYTES_MAX, cut, one_line};
use crate::delivery::{Evidence, Fault};

/// Frames of a backtrace that are kept.
pub(super) const FRAMES_MAX: usize = 32;
/// Bytes of a backtrace that are kept.
const BACKTRACE_BYTES_MAX: usize = 16 << 10;

/// Digits of a crate hash in a demangled Rust name.
const HASH_DIGITS: usize = 16;

/// A call that did not return.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) reason: String,
    pub(super) evidence: Evidence,
}

/// What is to be done about a call that takes too much, beside that it could do less.
#[derive(Clone, Copy)]
enum Remedy {
    /// It is of a batch: that may be smaller, or have more.
    Batch,
    /// It may have more.
    More,
    /// Nothing: what it may have is fixed.
    Less,
}

impl Failed {
    /// Names an error of the engine in a call with a batch of events, with what the guest left behind.
    pub(super) fn of(error: &wasmtime::Error, guest: &mut Guest) -> Self {
        Self::with(error, guest, Remedy::Batch)
    }

    /// The same of a call that is of no batch.
    pub(super) fn of_one(error: &wasmtime::Error, guest: &mut Guest) -> Self {
        Self::with(error, guest, Remedy::More)
    }

    /// The same of a call whose limits nobody sets.
    pub(super) fn of_fixed(error: &wasmtime::Error, guest: &mut Guest) -> Self {
        Self::with(error, guest, Remedy::Less)
    }

    fn with(error: &wasmtime::Error, guest: &mut Guest, remedy: Remedy) -> Self {
        let evidence = Evidence { stderr_tail: guest.output.tail(), backtrace: backtrace(error) };
        let refused = guest.limiter.take_refused();
        let (fault, reason) = classify(error, refused, &evidence.stderr_tail, &guest.options.limits, remedy);
        Self { fault, reason: one_line(&reason), evidence }
    }

    /// Why, and the last that the guest said of it: an interpreter says there what the trap does not.
    pub(super) fn told(&self) -> String {
        let Self { fault, reason, evidence: Evidence { stderr_tail, .. } } = self;
        let is_told = *fault == Fault::Trap && last_words(stderr_tail).is_some();
        match stderr_tail.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(said) if !is_told && !reason.contains(said) => {
                cut(format!("{reason}; it said: {said}"), REASON_BYTES_MAX)
            }
            _ => reason.clone(),
        }
    }
}

fn classify(
    error: &wasmtime::Error,
    refused: Option<String>,
    said: &str,
    limits: &Limits,
    remedy: Remedy,
) -> (Fault, String) {
    let trap = error.downcast_ref::<Trap>();
    let remedy = |limit: &str| match remedy {
        Remedy::Batch => format!("raise `[limits] {limit}`, lower `[delivery] batch_events_max`, or do less"),
        Remedy::More => format!("raise `[limits] {limit}`, or do less"),
        Remedy::Less => "no more is given: do less".to_owned(),
    };
    match (trap, refused) {
        (Some(Trap::Interrupt), _) => {
            let ms = limits.batch_time_ms;
            (Fault::Deadline, format!("it ran longer than {ms} ms; {}", remedy("batch_time")))
        }
        (Some(Trap::OutOfFuel), _) => {
            let fuel = limits.fuel();
            (Fault::OutOfFuel, format!("it used more than {fuel} units of fuel; {}", remedy("fuel")))
        }
        (_, Some(refused)) => (Fault::OutOfMemory, format!("out of memory: {refused} ({})", cause(error))),
        (_, None) => (Fault::Trap, trapped(error, said)),
    }
}

/// What the guest said last, and what the engine says.
fn trapped(error: &wasmtime::Error, said: &str) -> String {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it exited with code {} instead of returning", exit.0);
    }
    match last_words(said) {
        Some(words) => format!("{words} ({})", cause(error)),
        None => cause(error),
    }
}

/// The innermost cause, without the backtrace that wraps it.
pub(super) fn cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

/// Every cause but backtraces, outermost first, on one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| one_line(&cause.to_string())).collect();
    cut(causes.join(": "), REASON_BYTES_MAX)
}

/// The panic message in what a guest said: Rust's, or a line that another language begins with `panic:` or
/// `fatal error:`.
fn last_words(said: &str) -> Option<&str> {
    let start = ["panicked at ", "panic: ", "fatal error: "].iter().filter_map(|mark| said.rfind(mark)).max()?;
    let words = said.get(start..)?;
    let ends = ["note: run with `RUST_BACKTRACE", "\n\n", "\ngoroutine "];
    let end = ends.iter().filter_map(|mark| words.find(mark)).min().unwrap_or(words.len());
    words.get(..end)
}

/// The guest's frames, innermost first.
fn backtrace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    // The first line is a heading.
    let frames: Vec<_> = backtrace.to_string().lines().skip(1).take(FRAMES_MAX).map(without_hashes).collect();
    cut(frames.join("\n"), BACKTRACE_BYTES_MAX)
}

/// A frame without the crate hashes of Rust's names: `core[6d9e98711c484d2e]::panicking` says no more than
/// `core::panicking`.
fn without_hashes(frame: &str) -> String {
    let mut rest = frame;
    let mut plain = String::with_capacity(frame.len());
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        rest = match after.split_once(']') {
            Some((hash, after)) if hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit()) => after,
            _ => {
                plain.push('[');
                after
            }
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_message_is_found_in_what_was_said() {
        let said = "hello\n\nthread '<unnamed>' panicked at src/lib.rs:10:17:\nindex out of bounds\nnote: run with \
                    `RUST_BACKTRACE=1` environment variable";
        assert_eq!(one_line(last_words(said).unwrap()), "panicked at src/lib.rs:10:17: index out of bounds");
        let said = "panic: runtime error: nil\n\ngoroutine 1 [running]:\nmain.main()";
        assert_eq!(last_words(said), Some("panic: runtime error: nil"));
        assert_eq!(last_words("all is well"), None);
    }

    #[test]
    fn a_refusal_of_memory_outranks_the_trap_that_followed() {
        let limits = Limits::default();
        let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let (fault, reason) = classify(&error, Some("it asked for too much".into()), "", &limits, Remedy::Batch);
        assert_eq!(fault, Fault::OutOfMemory);
        assert!(reason.contains("asked for too much") && reason.contains("unreachable"), "{reason}");
        let (fault, reason) = classify(&error, None, "panicked at a.rs:1:1:\nno", &limits, Remedy::Batch);
        assert_eq!(fault, Fault::Trap);
        assert!(reason.starts_with("panicked at a.rs:1:1:") && reason.contains("unreachable"), "{reason}");
    }

    #[test]
    fn who_takes_too_long_is_told_what_there_is_to_do_about_it() {
        let error = wasmtime::Error::from(Trap::Interrupt);
        let told = |remedy| classify(&error, None, "", &Limits::default(), remedy).1;
        let batch = "raise `[limits] batch_time`, lower `[delivery] batch_events_max`, or do less";
        for (remedy, what) in [
            (Remedy::Batch, batch),
            (Remedy::More, "raise `[limits] batch_time`, or do less"),
            (Remedy::Less, "no more is given: do less"),
        ] {
            assert_eq!(told(remedy), format!("it ran longer than 1000 ms; {what}"));
        }
    }

    #[test]
    fn names_lose_their_hashes_and_nothing_else() {
        let frame = "  1: 0x2 - m!<core[6d9e98711c484d2e]::A as b[0123456789abcdef]::B<[u8; 4]>>::f";
        assert_eq!(without_hashes(frame), "  1: 0x2 - m!<core::A as b::B<[u8; 4]>>::f");
    }

    #[test]
    fn an_exit_is_named() {
        let error = wasmtime::Error::from(I32Exit(3));
        assert_eq!(trapped(&error, ""), "it exited with code 3 instead of returning");
    }
}
