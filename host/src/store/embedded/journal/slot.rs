//! The files journals live in: their names, and the header that says what they are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile, Open};

const MAGIC: [u8; 8] = *b"TMjournl";
const FORMAT: u32 = 1;
/// Bytes before the first record; a page, so that records never share one with the header.
pub(super) const HEADER_BYTES: usize = 4096;

/// Name of a slot's file.
pub(in crate::store::embedded) fn name(slot: u32) -> String {
    format!("journal-{slot}")
}

/// Slots that there are, in order.
///
/// # Errors
/// What the system says.
pub(in crate::store::embedded) fn slots(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    let number = |file: String| file.strip_prefix("journal-")?.parse().ok().filter(|slot| name(*slot) == file);
    let mut slots: Vec<u32> = disk.list()?.into_iter().filter_map(number).collect();
    slots.sort_unstable();
    Ok(slots)
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is a slot.
    Whole,
    /// No record can be in it: the process died when it was made, or before the first record.
    Unfinished,
    /// Written by a later release.
    Newer(u32),
    /// Written by us, but its bytes have changed.
    Damaged,
    /// Not ours.
    Foreign,
}

impl Header {
    /// Reads the header of a file.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Self> {
        let file_bytes = file.len()?;
        let mut found = [0; HEADER_BYTES];
        let found_bytes = HEADER_BYTES.min(usize::try_from(file_bytes).unwrap_or(HEADER_BYTES));
        file.read(0, found.get_mut(..found_bytes).unwrap_or_default())?;
        // The header is synced before anything is written behind it. One that looks whole is unfinished too:
        // its sync may have failed.
        if file_bytes <= HEADER_BYTES as u64 && is_torn(&found) {
            return Ok(Self::Unfinished);
        }
        Ok(if found == expected() { Self::Whole } else { Self::of_other(&found) })
    }

    fn of_other(found: &[u8; HEADER_BYTES]) -> Self {
        let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, c0, c1, c2, c3, ..] = *found;
        let format = u32::from_le_bytes([v0, v1, v2, v3]);
        if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
            Self::Foreign
        } else if u32::from_le_bytes([c0, c1, c2, c3]) == check(format) && format != FORMAT {
            Self::Newer(format)
        } else {
            Self::Damaged
        }
    }

    /// The error that a header is which is none of a slot.
    pub(super) fn refusal(self, disk: &dyn Disk, slot: u32) -> Option<StoreError> {
        let file = name(slot);
        let path = PathBuf::from(disk.path(&file));
        match self {
            Self::Whole | Self::Unfinished => None,
            Self::Newer(found) => {
                let directory = path.parent().unwrap_or_else(|| Path::new("."));
                Some(StoreError::NewerFormat { path: directory.to_owned(), found, known: FORMAT })
            }
            Self::Damaged => {
                let reason = "its header, the first 4096 bytes, is not what was written".to_owned();
                Some(StoreError::CorruptedFile { file, reason })
            }
            Self::Foreign => {
                let reason = "it has the name of a journal but does not begin as one".to_owned();
                Some(StoreError::NotAStore { path, reason })
            }
        }
    }
}

/// Makes a file a slot, from its first byte on. It lasts when the file is synced.
pub(super) fn write_header(file: &dyn DiskFile) -> io::Result<()> {
    file.write(0, &expected())
}

/// Opens the file of a slot, making it if there is none.
pub(super) fn open_or_make(disk: &dyn Disk, slot: u32) -> io::Result<Arc<dyn DiskFile>> {
    let name = name(slot);
    match disk.open(&name, Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open(&name, Open::New),
        opened => opened,
    }
}

fn expected() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let said = MAGIC.into_iter().chain(FORMAT.to_le_bytes()).chain(check(FORMAT).to_le_bytes());
    header.iter_mut().zip(said).for_each(|(byte, said)| *byte = said);
    header
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn check(format: u32) -> u32 {
    let said: Vec<u8> = MAGIC.into_iter().chain(format.to_le_bytes()).collect();
    xxh3_64(&said) as u32
}

/// Whether it is a beginning of the header and then zeros.
fn is_torn(found: &[u8; HEADER_BYTES]) -> bool {
    let written = found.iter().zip(expected()).take_while(|(found, expected)| **found == *expected).count();
    found.iter().skip(written).all(|byte| *byte == 0)
}
