//! A run opened for reading, and what is looked up in it.

use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::failure;
use super::fences::Fences;
use super::filter::{BLOCK_BYTES, Filter, KeyHash, PART_BYTES, Probe};
use super::frame::{FORMAT, HEADER_BYTES, Header, Seeds, TRAILER_BYTES, Trailer};
use super::page::{PAGE_BYTES, Page, Piece};
use crate::event::{Position, Version};
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile, Open};
use crate::store::embedded::encoding::Malformed;
use crate::store::embedded::key::Head;

/// An open run. Its pages stay on the disk, one is read for each lookup; fences and filter are in memory.
#[derive(Debug)]
pub(in crate::store::embedded) struct Run {
    file: Arc<dyn DiskFile>,
    name: String,
    path: PathBuf,
    header: Header,
    seeds: Seeds,
    trailer: Trailer,
    fences: Fences,
    filter: Filter,
    bytes: u64,
}

impl Run {
    /// Opens a run of the store of this id and verifies all but its pages.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, of a newer format, or of another store.
    pub(in crate::store::embedded) fn open(disk: &dyn Disk, name: &str, store_id: u128) -> Result<Self, StoreError> {
        let file = disk.open(name, Open::Existing).map_err(|error| failure::read_failed(name, 0, &error))?;
        Self::load(file, name, disk.path(name).into(), store_id)
    }

    /// Reads everything but the pages anew, from the same file.
    pub(super) fn reload(&self) -> Result<Self, StoreError> {
        Self::load(Arc::clone(&self.file), &self.name, self.path.clone(), self.header.store_id)
    }

    fn load(file: Arc<dyn DiskFile>, name: &str, path: PathBuf, store_id: u128) -> Result<Self, StoreError> {
        let source = Source { file: &*file, name };
        let bytes = file.len().map_err(|error| failure::read_failed(name, 0, &error))?;
        let mut head = [0; HEADER_BYTES];
        source.read(0, &mut head)?;
        let (found, known) = Header::decode(&head).map_err(source.malformed("the header"))?;
        let Some((header, seeds)) = known else {
            return Err(StoreError::NewerFormat { path, found, known: FORMAT });
        };
        if header.store_id != store_id {
            return Err(failure::corrupted(name, "the header", "it belongs to another store"));
        }
        let mut tail = [0; TRAILER_BYTES];
        source.read(bytes.saturating_sub(TRAILER_BYTES as u64), &mut tail)?;
        let trailer = Trailer::decode(&tail, seeds, bytes).map_err(source.malformed("the trailer"))?;
        let (fences, filter) = (source.fences(&trailer, seeds)?, source.filter(&trailer, seeds)?);
        Ok(Self { name: name.to_owned(), file, path, header, seeds, trailer, fences, filter, bytes })
    }

    /// First and last position of its range.
    pub(in crate::store::embedded) const fn range(&self) -> (Position, Position) {
        (Position(self.header.first), Position(self.header.last))
    }

    /// How many times its content was merged.
    pub(in crate::store::embedded) const fn level(&self) -> u32 {
        self.header.level
    }

    /// Id of the store it belongs to.
    pub(super) const fn store_id(&self) -> u128 {
        self.header.store_id
    }

    /// Size of the file.
    pub(in crate::store::embedded) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many distinct keys it has.
    pub(in crate::store::embedded) const fn key_count(&self) -> u64 {
        self.trailer.keys
    }

    /// How many postings it has.
    pub(in crate::store::embedded) const fn posting_count(&self) -> u64 {
        self.trailer.postings
    }

    /// Name of its file.
    pub(in crate::store::embedded) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may have a key; false is certain, and costs a cache line.
    #[inline]
    pub(in crate::store::embedded) fn may_contain(&self, key: Probe<'_>) -> bool {
        self.filter.may_contain(key.hash)
    }

    /// Where the event of an id stands: the last, if older ones were removed.
    ///
    /// # Errors
    /// When a page cannot be read or is damaged.
    pub(in crate::store::embedded) fn position_of(&self, id: Probe<'_>) -> Result<Option<Position>, StoreError> {
        let Some(page) = self.page_of(id, u64::MAX) else { return Ok(None) };
        self.piece(page, id.key, |piece| {
            let mut found = None;
            piece.positions(self.bounds(), |position| found = Some(Position(position)))?;
            found.ok_or(Malformed("an entry has no posting"))
        })
    }

    /// The last event of a stream in this run, from the entry alone.
    ///
    /// # Errors
    /// When a page cannot be read or is damaged.
    pub(in crate::store::embedded) fn stream_head(&self, stream: Probe<'_>) -> Result<Option<Head>, StoreError> {
        let Some(page) = self.page_of(stream, u64::MAX) else { return Ok(None) };
        self.piece(page, stream.key, |piece| head_of(&piece, self.bounds()))
    }

    /// The first position of a stream in this run whose version is above one.
    ///
    /// # Errors
    /// When a page cannot be read or is damaged.
    pub(in crate::store::embedded) fn first_position_after_version(
        &self,
        stream: Probe<'_>,
        version: Version,
    ) -> Result<Option<Position>, StoreError> {
        let Some(first) = self.page_of(stream, 0) else { return Ok(None) };
        let (mut low, mut high) = (first, self.fences.page_of(stream.key, u64::MAX).map_or(first, |page| page + 1));
        let mut answer = None;
        while low < high {
            let page = low.midpoint(high);
            let found = self.piece(page, stream.key, |piece| position_above(&piece, version, self.bounds()))?;
            let Some(found) = found else { return Ok(None) };
            match found {
                Some(position) => (answer, high) = (Some(position), page),
                None => low = page + 1,
            }
        }
        Ok(answer)
    }

    /// How many positions of a key are not above one.
    ///
    /// # Errors
    /// When a page cannot be read or is damaged.
    pub(in crate::store::embedded) fn count_through(&self, key: Probe<'_>, last: Position) -> Result<u64, StoreError> {
        let place = last.0.checked_sub(self.header.first).map(|offset| offset.saturating_add(1));
        let Some(page) = place.and_then(|place| self.page_of(key, place)) else { return Ok(0) };
        let counted = self.piece_from(page, key.key, |earlier, piece| {
            let mut count = earlier;
            piece.positions(self.bounds(), |position| count += u64::from(position <= last.0))?;
            Ok(count)
        })?;
        Ok(counted.unwrap_or_default())
    }

    /// The position of a key that so many lower ones come before.
    ///
    /// # Errors
    /// When a page cannot be read or is damaged.
    pub(in crate::store::embedded) fn nth(&self, key: Probe<'_>, nth: u64) -> Result<Option<Position>, StoreError> {
        let Some(first) = self.page_of(key, 0) else { return Ok(None) };
        let (mut low, mut high) = (first, self.fences.page_of(key.key, u64::MAX).map_or(first, |page| page + 1));
        while low < high {
            let page = low.midpoint(high);
            let mut found = None;
            let counted = self.piece_from(page, key.key, |earlier, piece| {
                let mut at = earlier;
                piece.positions(self.bounds(), |position| {
                    found = found.or((at == nth).then_some(Position(position)));
                    at += 1;
                })?;
                Ok((earlier, at))
            })?;
            match counted {
                _ if found.is_some() => return Ok(found),
                Some((earlier, _)) if nth < earlier => high = page,
                // The first page may be the end of the one before the key's.
                _ => low = page + 1,
            }
        }
        Ok(None)
    }

    /// First and last position, as numbers.
    pub(super) const fn bounds(&self) -> (u64, u64) {
        (self.header.first, self.header.last)
    }

    pub(super) const fn fences(&self) -> &Fences {
        &self.fences
    }

    pub(super) fn filter_has(&self, key: &[u8]) -> bool {
        self.filter.may_contain(KeyHash::new(self.header.store_id, key))
    }

    /// The page where a key has its highest position up to a place (see [`Fences`]), if it is in the run.
    fn page_of(&self, probe: Probe<'_>, place: u64) -> Option<usize> {
        if self.may_contain(probe) { self.fences.page_of(probe.key, place) } else { None }
    }

    /// [`Self::piece`], with how many positions of the key stand on earlier pages.
    fn piece_from<T>(
        &self,
        page: usize,
        key: &[u8],
        look: impl FnOnce(u64, Piece<'_>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, StoreError> {
        let mut bytes = [0; PAGE_BYTES];
        self.read_pages(page, &mut bytes)?;
        let verified = self.verify_page(page, &bytes)?;
        // Earlier positions are counted of the key that a page opens with.
        let goes_on = self.fences.get(page).is_some_and(|(fence, place)| place > 0 && fence == key);
        let earlier = if goes_on { verified.earlier } else { 0 };
        let found = verified.find(key).and_then(|piece| piece.map(|piece| look(earlier, piece)).transpose());
        found.map_err(|malformed| self.malformed_page(page, malformed))
    }

    /// Reads a page and hands out the positions of a key on it; none when it has none.
    pub(super) fn piece<T>(
        &self,
        page: usize,
        key: &[u8],
        look: impl FnOnce(Piece<'_>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, StoreError> {
        self.piece_from(page, key, |_, piece| look(piece))
    }

    /// Reads consecutive pages, not verified.
    pub(super) fn read_pages(&self, page: usize, out: &mut [u8]) -> Result<(), StoreError> {
        Source { file: &*self.file, name: &self.name }.read(page_at(page), out)
    }

    /// Verifies a page that was read.
    pub(super) fn verify_page<'a>(&self, page: usize, bytes: &'a [u8]) -> Result<Page<'a>, StoreError> {
        let verified = Page::verify(bytes, self.seeds.page(page as u64));
        verified.map_err(|malformed| self.malformed_page(page, malformed))
    }

    /// What is wrong with a page.
    pub(super) fn malformed_page(&self, page: usize, Malformed(reason): Malformed) -> StoreError {
        failure::corrupted(&self.name, format_args!("page {page} at byte {}", page_at(page)), reason)
    }
}

/// Where a page starts.
const fn page_at(page: usize) -> u64 {
    (HEADER_BYTES as u64).saturating_add((page as u64).saturating_mul(PAGE_BYTES as u64))
}

/// The last event of a stream, from the last of its entries.
pub(super) fn head_of(piece: &Piece<'_>, range: (u64, u64)) -> Result<Head, Malformed> {
    let stamp = piece.stamp.ok_or(Malformed("an entry of a stream has no version"))?;
    let mut last = 0;
    piece.positions(range, |position| last = position)?;
    Ok(Head { version: stamp.version, position: Position(last), deleted: stamp.deleted })
}

/// The first position of the piece of a stream whose version is above one.
fn position_above(piece: &Piece<'_>, version: Version, range: (u64, u64)) -> Result<Option<Position>, Malformed> {
    let mut next = piece.first_version()?;
    let mut found = None;
    piece.positions(range, |position| {
        if found.is_none() && next > version.0 {
            found = Some(Position(position));
        }
        next += 1;
    })?;
    Ok(found)
}

const CHECKSUM: Malformed = Malformed("the checksum does not match");

/// The file and its name, for reading parts of it.
struct Source<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
}

impl<'a> Source<'a> {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.file.read(offset, out).map_err(|error| failure::read_failed(self.name, offset, &error))
    }

    /// The fences, verified. Their size was checked against that of the file.
    fn fences(&self, trailer: &Trailer, seeds: Seeds) -> Result<Fences, StoreError> {
        let mut bytes = vec![0; trailer.fence_bytes as usize];
        self.read(trailer.fences_at(), &mut bytes)?;
        if xxh3_64_with_seed(&bytes, seeds.fences()) != trailer.fence_checksum {
            return Err(self.malformed("the fences")(CHECKSUM));
        }
        Fences::from_bytes(trailer.pages, &bytes).map_err(self.malformed("the fences"))
    }

    /// The filter, verified. Its size was checked against that of the file.
    fn filter(&self, trailer: &Trailer, seeds: Seeds) -> Result<Filter, StoreError> {
        let mut filter = Filter::with_room(trailer.filter_blocks);
        let mut checksum = Xxh3::with_seed(seeds.filter());
        let mut part = vec![0; PART_BYTES];
        let (mut at, end) = (trailer.filter_at(), trailer.filter_at() + trailer.filter_blocks * BLOCK_BYTES as u64);
        while at < end {
            part.truncate((end - at).min(PART_BYTES as u64) as usize);
            self.read(at, &mut part)?;
            checksum.update(&part);
            filter.add_blocks(&part);
            at += part.len() as u64;
        }
        if checksum.digest() == trailer.filter_checksum {
            Ok(filter)
        } else {
            Err(self.malformed("the filter")(CHECKSUM))
        }
    }

    fn malformed(&self, part: &'static str) -> impl Fn(Malformed) -> StoreError + use<'a> {
        let name = self.name;
        move |Malformed(reason)| failure::corrupted(name, part, reason)
    }
}
