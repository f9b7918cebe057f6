//! Making one run of several that follow each other, in one pass and bounded memory.

use std::sync::Arc;

use super::failure;
use super::page::Stamp;
use super::reader::Run;
use super::scan::Scan;
use super::writer::{RunSummary, RunWriter};
use crate::store::StoreError;

/// Entries between two questions whether to go on.
const ENTRIES_BETWEEN_QUESTIONS: u32 = 256;

/// Writes what the runs hold into one that covers their ranges. They are given in position order, each
/// beginning where the one before ends. A key in several runs gets one list; the later stream head wins.
///
/// # Errors
/// When a run is damaged, reading or writing fails, or with `ShuttingDown` when `keep_going`, which is
/// asked often, says no. The file is left behind, for the caller to remove.
pub(in crate::store::embedded) fn merge(
    runs: &[Arc<Run>],
    mut out: RunWriter,
    keep_going: &dyn Fn() -> bool,
) -> Result<RunSummary, StoreError> {
    debug_assert!(runs.is_sorted_by(|a, b| a.range().1.next() == b.range().0), "runs follow each other");
    let mut inputs = Vec::with_capacity(runs.len());
    for run in runs {
        let scan = Scan::new(Arc::clone(run), 0);
        let mut input = Input { scan, left: ENTRIES_BETWEEN_QUESTIONS, keep_going, at_end: false };
        if input.advance()? {
            inputs.push(input);
        }
    }
    let mut key = Vec::new();
    while let Some(lowest) = inputs.iter().map(Input::key).min() {
        key.clear();
        key.extend_from_slice(lowest);
        copy_list(&key, &mut inputs, &mut out)?;
        inputs.retain(|input| !input.at_end);
    }
    out.finish()
}

/// Writes the lists of a key, which one input is at, as one.
fn copy_list(key: &[u8], inputs: &mut [Input<'_>], out: &mut RunWriter) -> Result<(), StoreError> {
    let mut stamp = None;
    let mut begun = false;
    for input in inputs.iter_mut().filter(|input| input.key() == key) {
        let first_version = input.scan.entry().first_version;
        if !begun {
            out.begin(key, first_version);
        } else if first_version != next_version(stamp) {
            let stream = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let place = format!("stream {stream:?}");
            return Err(failure::corrupted(input.scan.run().name(), place, "its versions have a gap before this run"));
        }
        begun = true;
        loop {
            out.extend(&input.scan.entry().positions)?;
            stamp = input.scan.entry().stamp;
            if !input.advance()? || input.key() != key {
                break;
            }
        }
    }
    out.end(stamp.is_some_and(|stamp| stamp.deleted));
    Ok(())
}

const fn next_version(stamp: Option<Stamp>) -> Option<u64> {
    match stamp {
        Some(stamp) => Some(stamp.version.0 + 1),
        None => None,
    }
}

/// A run that is being merged.
struct Input<'a> {
    scan: Scan,
    /// Entries until the next question.
    left: u32,
    keep_going: &'a dyn Fn() -> bool,
    at_end: bool,
}

impl Input<'_> {
    /// The current key; empty, as none is, at the end.
    fn key(&self) -> &[u8] {
        if self.at_end { &[] } else { &self.scan.entry().key }
    }

    /// Comes to the next entry; false at the end.
    fn advance(&mut self) -> Result<bool, StoreError> {
        self.left -= 1;
        if self.left == 0 {
            self.left = ENTRIES_BETWEEN_QUESTIONS;
            if !(self.keep_going)() {
                return Err(StoreError::ShuttingDown);
            }
        }
        self.at_end = !self.scan.advance()?;
        Ok(!self.at_end)
    }
}
