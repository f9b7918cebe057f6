//! How far a journal goes that somebody may be writing to: its first records, and no look at what stands behind.

use std::sync::Arc;

use super::record::{FIRST_RECORD, HEAD_BYTES, aligned};
use super::window::Window;
use crate::store::StoreError;
use crate::store::embedded::disk::DiskFile;

/// Which records of a journal are looked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::embedded) struct Wanted {
    /// The store's seed.
    pub(in crate::store::embedded) seed: u64,
    /// Sequence of the journal.
    pub(in crate::store::embedded) sequence: u64,
    /// No more records than these.
    pub(in crate::store::embedded) records_max: u64,
}

/// Hands over the payloads of the first records in order; answers how many there are, and how many bytes of the file
/// they take with its header.
///
/// # Errors
/// When the file cannot be read, or what `visit` answers.
pub(in crate::store::embedded) fn extent(
    file: &Arc<dyn DiskFile>,
    name: &str,
    wanted: Wanted,
    mut visit: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(u64, u64), StoreError> {
    let mut window = Window::new(Arc::clone(file), name.to_owned(), wanted.seed)?;
    let (mut records, mut end) = (0, FIRST_RECORD);
    while records < wanted.records_max {
        let Some((head, payload)) = window.record(end)? else { break };
        if (head.sequence, head.ordinal) != (wanted.sequence, records) {
            break;
        }
        visit(payload)?;
        records += 1;
        match aligned(end + HEAD_BYTES as u64 + payload.len() as u64) {
            Some(next) => end = next,
            None => break,
        }
    }
    Ok((records, end))
}
