//! The bytes of a simulated file, in pages that copies share until one of them is written.

use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

/// A page that was never written, or only by zeros, is none.
type Page = Option<Arc<[u8; PAGE_BYTES]>>;

/// Bytes of a file. Cloning costs one count per written page.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    bytes: u64,
    /// May end before the file does: what is missing is zero. Nothing but zeros stands behind `bytes`.
    pages: Vec<Page>,
}

impl Pages {
    pub(super) const fn len(&self) -> u64 {
        self.bytes
    }

    /// Fills `out` from `offset` on.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if end(offset, out.len())? > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut page, mut within) = place(offset)?;
        let mut rest = out;
        while !rest.is_empty() {
            let (part, after) = rest.split_at_mut(rest.len().min(PAGE_BYTES - within));
            match self.pages.get(page).and_then(Option::as_ref).and_then(|page| page.get(within..within + part.len())) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
            (rest, page, within) = (after, page + 1, 0);
        }
        Ok(())
    }

    /// Writes all of `bytes`, making the file longer if need be.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.bytes = self.bytes.max(end(offset, bytes.len())?);
        let (mut page, mut within) = place(offset)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            self.write_page(page, within, part);
            (rest, page, within) = (after, page + 1, 0);
        }
        Ok(())
    }

    fn write_page(&mut self, page: usize, within: usize, part: &[u8]) {
        let absent = self.pages.get(page).is_none_or(Option::is_none);
        if absent && part.iter().all(|byte| *byte == 0) {
            return;
        }
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        if let Some(slot) = self.pages.get_mut(page) {
            let page = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
            if let Some(bytes) = page.get_mut(within..within + part.len()) {
                bytes.copy_from_slice(part);
            }
        }
    }

    /// Cuts the file off, or makes it longer by zeros.
    pub(super) fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        if bytes < self.bytes {
            let (page, within) = place(bytes)?;
            self.pages.truncate(page + usize::from(within > 0));
            if let Some(tail) = self.pages.get_mut(page).and_then(Option::as_mut) {
                Arc::make_mut(tail).iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// Where a write or read of `bytes` ends.
pub(super) fn end(offset: u64, bytes: usize) -> io::Result<u64> {
    offset.checked_add(bytes as u64).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// The page that holds a byte, and where in it.
fn place(offset: u64) -> io::Result<(usize, usize)> {
    let offset = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    Ok((offset / PAGE_BYTES, offset % PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_like_one_vector(steps in vec((0..20_000_usize, 0..9_000_usize, any::<u8>()), 1..12)) {
            let (mut pages, mut model) = (Pages::default(), Vec::new());
            for (offset, bytes, fill) in steps {
                let before = (pages.clone(), model.clone());
                if fill % 4 == 0 {
                    pages.set_len(offset as u64).unwrap();
                    model.resize(offset, 0);
                } else {
                    let written = vec![fill % 5; bytes];
                    pages.write(offset as u64, &written).unwrap();
                    model.resize(model.len().max(offset + bytes), 0);
                    model[offset..offset + bytes].copy_from_slice(&written);
                }
                for (pages, model) in [before, (pages.clone(), model.clone())] {
                    let mut out = vec![9; model.len()];
                    pages.read(0, &mut out).unwrap();
                    prop_assert_eq!(&out, &model);
                    prop_assert!(pages.read(1, &mut out).is_err() || out.is_empty());
                }
            }
        }
    }
}
