//! Going through every byte of a run to find what is wrong with it.

use std::sync::Arc;

use super::failure;
use super::reader::Run;
use super::scan::{Scan, ScannedEntry};
use crate::event::{Position, Version};
use crate::store::StoreError;
use crate::store::embedded::encoding::Malformed;
use crate::store::embedded::key::Head;

/// What is handed out for each posting: the key's bytes, the position and, for streams, what the run knows
/// of the event there. Only the last event of a list in the run is said to be deleted.
type Each<'a> = dyn FnMut(&[u8], Position, Option<Head>) -> Result<(), StoreError> + 'a;

impl Run {
    /// Reads the whole file anew and checks it: checksums, order, fences, filter, counts. Hands out every
    /// posting in key order, so that the caller can compare it with the log; the first error ends it.
    ///
    /// # Errors
    /// The first thing that is wrong, or what `each` says.
    pub(in crate::store::embedded) fn verify(&self, each: &mut Each<'_>) -> Result<(), StoreError> {
        let run = Arc::new(self.reload()?);
        let mut scan = Scan::new(Arc::clone(&run), 0);
        let mut key_before = Vec::new();
        let (mut keys, mut postings) = (0, 0);
        while scan.advance()? {
            let entry = scan.entry();
            run.check(entry, &key_before).map_err(|malformed| run.malformed_page(entry.page, malformed))?;
            keys += u64::from(entry.earlier == 0);
            postings += entry.positions.len() as u64;
            hand_out(entry, each)?;
            key_before.clear();
            key_before.extend_from_slice(&entry.key);
        }
        if (keys, postings) == (run.key_count(), run.posting_count()) {
            return Ok(());
        }
        let reason = format!("it counts {} keys and {} postings", run.key_count(), run.posting_count());
        Err(failure::corrupted(run.name(), "the trailer", &format!("{reason}, the pages hold {keys} and {postings}")))
    }

    /// Checks an entry against the filter and the fence of its page.
    fn check(&self, entry: &ScannedEntry, key_before: &[u8]) -> Result<(), Malformed> {
        if !self.filter_has(&entry.key) {
            return Err(Malformed("a key is missing in the filter"));
        }
        if !entry.opens_page {
            return Ok(());
        }
        let (fence, place) = self.fences().get(entry.page).ok_or(Malformed("its fence is missing"))?;
        let right = if entry.earlier > 0 {
            let first = entry.positions.first().map(|position| position.saturating_sub(self.bounds().0) + 1);
            fence == entry.key && Some(place) == first
        } else {
            place == 0 && key_before < fence && entry.key.starts_with(fence)
        };
        if right { Ok(()) } else { Err(Malformed("its fence does not separate it from the page before")) }
    }
}

fn hand_out(entry: &ScannedEntry, each: &mut Each<'_>) -> Result<(), StoreError> {
    let last = entry.positions.last().copied();
    for (at, position) in (0..).zip(&entry.positions) {
        let head = entry.first_version.map(|first| Head {
            version: Version(first + at),
            position: Position(*position),
            deleted: Some(*position) == last && entry.stamp.is_some_and(|stamp| stamp.deleted),
        });
        each(&entry.key, Position(*position), head)?;
    }
    Ok(())
}
