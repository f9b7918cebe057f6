//! Making one run of several that follow each other, in one pass and bounded memory.

use std::sync::Arc;

use super::failure;
use super::filter::Probe;
use super::page::{Stamp, is_stream};
use super::reader::Run;
use super::scan::Scan;
use super::writer::{RunSummary, RunWriter};
use crate::event::Position;
use crate::store::embedded::key::Head;
use crate::store::{Removals, StoreError};

/// Entries between two questions whether to go on.
const ENTRIES_BETWEEN_QUESTIONS: u32 = 256;

/// Writes what the runs hold into one that covers their ranges. They are given in position order, each
/// beginning where the one before ends. A key in several runs gets one list; the later stream head wins. Where
/// versions of a stream are gone between two runs, all before are removed, and left out.
///
/// # Errors
/// When a run is damaged, reading or writing fails, or with `ShuttingDown` when `keep_going`, which is
/// asked often, says no. The file is left behind, for the caller to remove.
pub(in crate::store::embedded) fn merge(
    runs: &[Arc<Run>],
    mut out: RunWriter,
    removals: &Removals,
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
        let from = first_kept(&key, &inputs, removals)?;
        for input in inputs.iter_mut().take(from).filter(|input| input.key() == key) {
            while input.advance()? && input.key() == key {}
        }
        copy_list(&key, &mut inputs, &mut out)?;
        inputs.retain(|input| !input.at_end);
    }
    out.finish()
}

/// The first input whose list of a key is kept: of a stream, that after the last gap between the lists, if what
/// is before it is removed.
fn first_kept(key: &[u8], inputs: &[Input<'_>], removals: &Removals) -> Result<usize, StoreError> {
    let mut first = 0;
    let Some((_, stream)) = key.split_first().filter(|_| is_stream(key) && !removals.is_empty()) else {
        return Ok(first);
    };
    let stream = String::from_utf8_lossy(stream);
    let mut before: Option<&Input<'_>> = None;
    for (at, input) in inputs.iter().enumerate().filter(|(_, input)| input.key() == key) {
        if let Some(before) = before {
            let head = before.head()?;
            let goes_on = input.scan.entry().first_version == Some(head.version.0 + 1);
            if !goes_on && removals.removes(Some(&stream), head.position) {
                first = at;
            }
        }
        before = Some(input);
    }
    Ok(first)
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

    /// The last event of the stream whose list it is at the beginning of.
    fn head(&self) -> Result<Head, StoreError> {
        let (entry, run) = (self.scan.entry(), self.scan.run());
        let damaged = || failure::corrupted(run.name(), "a stream", "an entry of it has no version");
        if entry.ends_page {
            let probe = Probe::of_bytes(run.store_id(), &entry.key);
            return run.stream_head(probe)?.ok_or_else(damaged);
        }
        let (stamp, last) = entry.stamp.zip(entry.positions.last()).ok_or_else(damaged)?;
        Ok(Head { version: stamp.version, position: Position(*last), deleted: stamp.deleted })
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
