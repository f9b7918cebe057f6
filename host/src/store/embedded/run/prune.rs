//! Making a run anew without the positions of removed events.

use std::sync::Arc;

use super::page::is_stream;
use super::reader::Run;
use super::scan::Scan;
use super::writer::{RunSummary, RunWriter};
use crate::store::StoreError;

/// Keys between two questions whether to go on.
const KEYS_BETWEEN_QUESTIONS: u32 = 256;

/// Writes a run without the positions that `removed` names for a key (its bytes). Of a stream they come before
/// all others; if none is left, the last one stays, as that is where the stream ends.
///
/// # Errors
/// When the run is damaged, reading or writing fails, or with `ShuttingDown` when `keep_going`, which is
/// asked often, says no. The file is left behind, for the caller to remove.
pub(in crate::store::embedded) fn prune(
    run: &Arc<Run>,
    mut out: RunWriter,
    removed: &dyn Fn(&[u8], u64) -> bool,
    keep_going: &dyn Fn() -> bool,
) -> Result<RunSummary, StoreError> {
    let mut scan = Scan::new(Arc::clone(run), 0);
    let (mut more, mut left) = (scan.advance()?, KEYS_BETWEEN_QUESTIONS);
    while more {
        more = copy_list(&mut scan, &mut out, removed)?;
        left -= 1;
        if left == 0 {
            left = KEYS_BETWEEN_QUESTIONS;
            if !keep_going() {
                return Err(StoreError::ShuttingDown);
            }
        }
    }
    out.finish()
}

/// Writes what is left of the list that the scan is at; answers whether there is another.
fn copy_list(scan: &mut Scan, out: &mut RunWriter, removed: &dyn Fn(&[u8], u64) -> bool) -> Result<bool, StoreError> {
    let key = scan.entry().key.clone();
    let (mut begun, mut kept) = (false, Vec::new());
    loop {
        let entry = scan.entry();
        kept.clear();
        kept.extend(entry.positions.iter().filter(|position| !removed(&key, **position)));
        if let Some(first) = kept.first() {
            if !begun {
                let before = entry.positions.partition_point(|position| position < first) as u64;
                out.begin(&key, entry.first_version.map(|version| version + before));
                begun = true;
            }
            out.extend(&kept)?;
        }
        let (last, stamp) = (entry.positions.last().copied(), entry.stamp);
        let more = scan.advance()?;
        if more && scan.entry().key == key {
            continue;
        }
        if begun {
            out.end(stamp.is_some_and(|stamp| stamp.deleted));
        } else if let Some(last) = last.filter(|_| is_stream(&key)) {
            out.push(&key, &[last], stamp)?;
        }
        return Ok(more);
    }
}
