//! Writing a run: keys in order, one pass, memory for the filter, the fences and a few pages.

use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::failure;
use super::fences::Fences;
use super::filter::{Filter, KeyHash};
use super::frame::{HEADER_BYTES, Header, Seeds, TRAILER_BYTES, Trailer};
use super::page::{NewEntry, PAGE_BYTES, PageBuilder, Stamp, shared_bytes};
use super::varint;
use crate::event::{Position, Version};
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile, Open};
use crate::store::embedded::key::KEY_BYTES_MAX;

/// Bytes gathered for one write.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes written between syncs, so that no sync of another file waits for a whole run.
const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// Which run is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::embedded) struct RunOptions {
    /// Id of the store it belongs to.
    pub(in crate::store::embedded) store_id: u128,
    /// First position of its range, from 1.
    pub(in crate::store::embedded) first: Position,
    /// Last position of its range.
    pub(in crate::store::embedded) last: Position,
    /// How many times its content was merged.
    pub(in crate::store::embedded) level: u32,
    /// Distinct keys expected at most; more make the filter worse, not wrong.
    pub(in crate::store::embedded) keys_max: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct RunSummary {
    /// Distinct keys.
    pub(in crate::store::embedded) keys: u64,
    /// Positions of all keys together.
    pub(in crate::store::embedded) postings: u64,
    /// Bytes of the file.
    pub(in crate::store::embedded) bytes: u64,
}

/// Writes one run. Dropped before [`Self::finish`], it leaves a file that does not open.
#[derive(Debug)]
pub(in crate::store::embedded) struct RunWriter {
    out: Output,
    seeds: Seeds,
    options: RunOptions,
    page: PageBuilder,
    pages: u64,
    fences: Fences,
    filter: Filter,
    /// The key before, empty at first.
    key_before: Vec<u8>,
    list: List,
    keys: u64,
    postings: u64,
}

/// The list of the key that is being written, and of it what is not on a page yet.
#[derive(Debug, Default)]
struct List {
    key: Vec<u8>,
    /// Version of the posting to come, if it is of a stream.
    version: Option<u64>,
    /// Postings on earlier pages.
    earlier: u64,
    /// Postings for this page.
    count: u64,
    /// The first of them, from the first of the run.
    first: u64,
    /// The last of them.
    last: u64,
    deltas: Vec<u8>,
    /// Bytes of deltas that fit on this page.
    room: usize,
    /// Bytes shared with the key before on this page.
    shared: usize,
}

impl RunWriter {
    /// Makes the file, which must not be there.
    ///
    /// # Errors
    /// When it cannot be made.
    ///
    /// # Panics
    /// When the range is empty or starts before position 1.
    pub(in crate::store::embedded) fn create(
        disk: &dyn Disk,
        name: &str,
        options: RunOptions,
    ) -> Result<Self, StoreError> {
        let RunOptions { store_id, first: Position(first), last: Position(last), level, keys_max } = options;
        assert!(0 < first && first <= last, "a run of positions {first} to {last}");
        let file = disk.open(name, Open::New).map_err(|error| failure::write_failed(name, &error))?;
        let (header, seeds) = Header { store_id, first, last, level }.encode();
        Ok(Self {
            out: Output { file, name: name.to_owned(), buffer: header, offset: 0, unsynced: 0 },
            seeds,
            options,
            page: PageBuilder::new(),
            pages: 0,
            fences: Fences::default(),
            filter: Filter::for_keys(keys_max),
            key_before: Vec::new(),
            list: List::default(),
            keys: 0,
            postings: 0,
        })
    }

    /// Adds a key above all before it, with its positions, which rise strictly; `stamp` is of the last one,
    /// for streams only.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When keys or positions are out of order or out of range, or the stamp is of a key that is no stream.
    pub(in crate::store::embedded) fn push(
        &mut self,
        key: &[u8],
        positions: &[u64],
        stamp: Option<Stamp>,
    ) -> Result<(), StoreError> {
        let first_version = stamp.map(|stamp| stamp.version.0 + 1 - positions.len() as u64);
        self.begin(key, first_version);
        self.extend(positions)?;
        self.end(stamp.is_some_and(|stamp| stamp.deleted));
        Ok(())
    }

    /// Begins a key above all before it; for a stream with the version of its first posting.
    pub(super) fn begin(&mut self, key: &[u8], first_version: Option<u64>) {
        assert!(self.list.key.as_slice() < key && key.len() <= KEY_BYTES_MAX, "keys rise and are bounded");
        assert_eq!(super::page::is_stream(key), first_version.is_some(), "streams have versions, others have none");
        std::mem::swap(&mut self.key_before, &mut self.list.key);
        self.list.key.clear();
        self.list.key.extend_from_slice(key);
        self.list.version = first_version;
        self.list.earlier = 0;
        self.filter.insert(KeyHash::new(self.options.store_id, key));
        self.keys += 1;
    }

    /// Adds positions to the key begun.
    pub(super) fn extend(&mut self, positions: &[u64]) -> Result<(), StoreError> {
        for position in positions {
            self.add(*position)?;
        }
        self.postings += positions.len() as u64;
        Ok(())
    }

    /// Ends the key begun, which has a posting at least.
    pub(super) fn end(&mut self, deleted: bool) {
        assert!(self.list.count > 0, "a key has postings");
        self.put(deleted);
    }

    /// Writes what is left and syncs the file. Its name lasts when the directory is synced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::store::embedded) fn finish(mut self) -> Result<RunSummary, StoreError> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let fences = self.fences.to_bytes();
        self.out.append(&fences)?;
        let mut filter_checksum = Xxh3::with_seed(self.seeds.filter());
        for part in self.filter.parts() {
            filter_checksum.update(&part);
            self.out.append(&part)?;
        }
        let trailer = Trailer {
            pages: self.pages,
            fence_bytes: fences.len() as u64,
            filter_blocks: self.filter.blocks(),
            keys: self.keys,
            postings: self.postings,
            fence_checksum: xxh3_64_with_seed(&fences, self.seeds.fences()),
            filter_checksum: filter_checksum.digest(),
        };
        self.out.append(&trailer.encode(self.seeds))?;
        self.out.write()?;
        self.out.sync()?;
        Ok(RunSummary { keys: self.keys, postings: self.postings, bytes: self.out.offset })
    }

    #[inline]
    fn add(&mut self, position: u64) -> Result<(), StoreError> {
        let (first, last) = (self.options.first.0, self.options.last.0);
        assert!(first <= position && position <= last, "position {position} in a run of {first} to {last}");
        if self.list.count == 0 {
            // The last of the pages before, if there is one.
            assert!(self.list.earlier == 0 || self.list.last < position, "positions rise");
            return self.start(position);
        }
        assert!(self.list.last < position, "positions rise");
        let delta = position - self.list.last;
        if self.list.deltas.len() + varint::bytes(delta) > self.list.room {
            self.put(false);
            self.end_page()?;
            return self.start(position);
        }
        varint::put(delta, &mut self.list.deltas);
        self.list.last = position;
        self.list.count += 1;
        self.list.version = self.list.version.map(|version| version + 1);
        Ok(())
    }

    /// Starts an entry for the list, on the next page if this one is full.
    fn start(&mut self, position: u64) -> Result<(), StoreError> {
        let first = position - self.options.first.0;
        let shared = if self.page.is_empty() { 0 } else { shared_bytes(&self.key_before, &self.list.key) };
        let (shared, room) = match self.page.room(&self.list.key, shared, first) {
            Some(room) => (shared, room),
            None => {
                self.end_page()?;
                (0, self.page.room(&self.list.key, 0, first).expect("an entry fits on an empty page"))
            }
        };
        if self.page.is_empty() {
            self.begin_page(first + 1);
        }
        let list = &mut self.list;
        (list.count, list.first, list.last, list.shared, list.room) = (1, first, position, shared, room);
        list.version = list.version.map(|version| version + 1);
        Ok(())
    }

    /// Puts the postings gathered on the page.
    fn put(&mut self, deleted: bool) {
        let list = &mut self.list;
        self.page.push(NewEntry {
            key: &list.key,
            shared: list.shared,
            // The version is that of the posting to come.
            stamp: list.version.map(|version| Stamp { version: Version(version - 1), deleted }),
            first: list.first,
            deltas: &list.deltas,
        });
        list.earlier += list.count;
        list.count = 0;
        list.deltas.clear();
    }

    /// Notes the fence of an empty page whose first position has this place.
    fn begin_page(&mut self, place: u64) {
        let List { key, earlier, .. } = &self.list;
        self.page.set_earlier(*earlier);
        if *earlier > 0 {
            self.fences.push(key, place);
        } else {
            let separator = key.get(..=shared_bytes(&self.key_before, key)).unwrap_or(key);
            self.fences.push(separator, 0);
        }
    }

    fn end_page(&mut self) -> Result<(), StoreError> {
        self.page.finish(self.seeds.page(self.pages), &mut self.out.buffer);
        self.pages += 1;
        if self.out.buffer.len() >= WRITE_BYTES {
            self.out.write()?;
        }
        Ok(())
    }
}

/// The end of a file that grows.
#[derive(Debug)]
struct Output {
    file: Arc<dyn DiskFile>,
    name: String,
    /// Bytes that are still to be written, at `offset`.
    buffer: Vec<u8>,
    offset: u64,
    /// Bytes written since the last sync.
    unsynced: u64,
}

impl Output {
    /// Adds many bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        for chunk in bytes.chunks(WRITE_BYTES) {
            self.buffer.extend_from_slice(chunk);
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.file.write(self.offset, &self.buffer).map_err(|error| failure::write_failed(&self.name, &error))?;
        self.offset += self.buffer.len() as u64;
        self.unsynced += self.buffer.len() as u64;
        self.buffer.clear();
        if self.unsynced >= UNSYNCED_BYTES_MAX { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced = 0;
        self.file.sync().map_err(|error| failure::write_failed(&self.name, &error))
    }
}

const _: () = assert!(WRITE_BYTES > HEADER_BYTES + PAGE_BYTES + TRAILER_BYTES, "one write takes a small run");
