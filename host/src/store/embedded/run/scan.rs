//! Going through a run from some page on, entry by entry, reading ahead.

use std::ops::Range;
use std::sync::Arc;

use super::page::{Entries, Entry, HEAD_BYTES, PAGE_BYTES, Stamp, is_stream};
use super::reader::Run;
use crate::store::StoreError;
use crate::store::embedded::encoding::Malformed;

/// Pages read at once: 128 KiB.
const PAGES_AHEAD: usize = 32;

/// The entries of a run in order. Checks that keys rise, and that lists go on over pages as they should.
#[derive(Debug)]
pub(super) struct Scan {
    run: Arc<Run>,
    /// Pages read ahead, from this one on.
    ahead: Vec<u8>,
    ahead_from: usize,
    /// Number of the page to come.
    next_page: usize,
    /// The entries of the current page that are to come: their bytes in `ahead`, and how many.
    rest: Range<usize>,
    left: u16,
    /// Postings of the first key of the current page on earlier pages.
    earlier: u64,
    /// Whether the entry before the one to come is in `entry`.
    in_sequence: bool,
    entry: ScannedEntry,
}

/// An entry copied out of its page.
#[derive(Debug, Default)]
pub(super) struct ScannedEntry {
    pub(super) key: Vec<u8>,
    /// Of this key on this page; one at least.
    pub(super) positions: Vec<u64>,
    pub(super) stamp: Option<Stamp>,
    /// Version of the first posting, if it is of a stream.
    pub(super) first_version: Option<u64>,
    /// Postings of the key on earlier pages.
    pub(super) earlier: u64,
    /// Its page.
    pub(super) page: usize,
    /// Whether it is the first of its page.
    pub(super) opens_page: bool,
    /// Whether it is the last of its page.
    pub(super) ends_page: bool,
}

impl Scan {
    /// Starts at a page; nothing is read yet.
    pub(super) fn new(run: Arc<Run>, page: usize) -> Self {
        Self {
            run,
            ahead: Vec::new(),
            ahead_from: 0,
            next_page: page,
            rest: 0..0,
            left: 0,
            earlier: 0,
            in_sequence: false,
            entry: ScannedEntry::default(),
        }
    }

    /// The run that is gone through.
    pub(super) const fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The entry that [`Self::advance`] came to.
    pub(super) const fn entry(&self) -> &ScannedEntry {
        &self.entry
    }

    /// Goes on at a later page.
    pub(super) const fn jump(&mut self, page: usize) {
        self.next_page = page;
        self.left = 0;
        self.in_sequence = false;
    }

    /// Comes to the next entry; false at the end of the run.
    pub(super) fn advance(&mut self) -> Result<bool, StoreError> {
        let opens_page = self.left == 0;
        if opens_page && !self.open_page()? {
            return Ok(false);
        }
        let page = self.next_page - 1;
        self.take(opens_page, page).map_err(|malformed| self.run.malformed_page(page, malformed))?;
        self.in_sequence = true;
        Ok(true)
    }

    /// Verifies the next page, reading it if it is not there yet; false when there is none.
    fn open_page(&mut self) -> Result<bool, StoreError> {
        let (page, pages) = (self.next_page, self.run.fences().len());
        if page >= pages {
            return Ok(false);
        }
        if page < self.ahead_from || page - self.ahead_from >= self.ahead.len() / PAGE_BYTES {
            self.ahead.resize(PAGES_AHEAD.min(pages - page) * PAGE_BYTES, 0);
            self.run.read_pages(page, &mut self.ahead)?;
            self.ahead_from = page;
        }
        let start = (page - self.ahead_from) * PAGE_BYTES;
        let bytes = self.ahead.get(start..start + PAGE_BYTES).unwrap_or_default();
        let verified = self.run.verify_page(page, bytes)?;
        if verified.entries.left == 0 {
            return Err(self.run.malformed_page(page, Malformed("it has no entries")));
        }
        let body = start + HEAD_BYTES;
        self.rest = body..body + verified.entries.rest.len();
        (self.left, self.earlier) = (verified.entries.left, verified.earlier);
        self.next_page = page + 1;
        Ok(true)
    }

    fn take(&mut self, opens_page: bool, page: usize) -> Result<(), Malformed> {
        let rest = self.ahead.get(self.rest.clone()).unwrap_or_default();
        let mut entries = Entries { rest, left: self.left };
        let entry = entries.next()?.ok_or(Malformed("an entry is missing"))?;
        (self.left, self.rest.start) = (entries.left, self.rest.end - entries.rest.len());
        if self.left == 0 && !entries.rest.is_empty() {
            return Err(Malformed("bytes belong to no entry"));
        }
        let earlier = if opens_page { self.earlier } else { 0 };
        let goes_on = self.in_sequence && earlier > 0;
        let before = (self.entry.positions.last().copied(), self.entry.stamp);
        if goes_on {
            self.entry.check_goes_on(&entry, earlier)?;
        } else if self.in_sequence {
            self.entry.check_rises(&entry, opens_page)?;
        }
        self.entry.fill(&entry, self.run.bounds())?;
        if goes_on {
            self.entry.check_follows(before)?;
        }
        (self.entry.earlier, self.entry.page) = (earlier, page);
        (self.entry.opens_page, self.entry.ends_page) = (opens_page, self.left == 0);
        Ok(())
    }
}

impl ScannedEntry {
    /// Checks that the next entry goes on with this one's list.
    fn check_goes_on(&self, next: &Entry<'_>, earlier: u64) -> Result<(), Malformed> {
        let so_far = self.earlier.wrapping_add(self.positions.len() as u64);
        if next.shared == 0 && next.suffix == self.key && earlier == so_far {
            return Ok(());
        }
        Err(Malformed("a list does not go on where the page before ends"))
    }

    /// Checks that the list goes on above what was the last of it, with the next version.
    fn check_follows(&self, (last, stamp): (Option<u64>, Option<Stamp>)) -> Result<(), Malformed> {
        if last >= self.positions.first().copied() {
            return Err(Malformed("a list goes on at a lower position"));
        }
        if stamp.map(|stamp| stamp.version.0 + 1) != self.first_version {
            return Err(Malformed("the versions of a stream have a gap"));
        }
        Ok(())
    }

    /// Checks that the key of the next entry is above this one. Within a page that shows at the first byte
    /// that is not shared.
    fn check_rises(&self, next: &Entry<'_>, opens_page: bool) -> Result<(), Malformed> {
        let rises = if opens_page {
            next.shared == 0 && next.suffix > self.key.as_slice()
        } else {
            next.shared <= self.key.len() && next.suffix.first() > self.key.get(next.shared)
        };
        if rises { Ok(()) } else { Err(Malformed("keys are out of order")) }
    }

    fn fill(&mut self, entry: &Entry<'_>, range: (u64, u64)) -> Result<(), Malformed> {
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(entry.suffix);
        let piece = entry.piece(is_stream(&self.key))?;
        self.stamp = piece.stamp;
        self.first_version = if self.stamp.is_some() { Some(piece.first_version()?) } else { None };
        self.positions.clear();
        piece.positions(range, |position| self.positions.push(position))
    }
}
