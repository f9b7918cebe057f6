//! The fences of a run: where each page begins, in memory, to find the page of a key.

use std::cmp::Ordering;

use super::frame::FENCE_BYTES;
use crate::store::embedded::encoding::{Malformed, Reader};

/// Smallest (key, place) of each page, rising. A place is 0 where a key starts, else how far into the
/// run's range the page's first position stands, from 1.
#[derive(Debug, Default)]
pub(super) struct Fences {
    places: Vec<u64>,
    /// Where each key ends in `keys`.
    ends: Vec<u32>,
    keys: Vec<u8>,
}

impl Fences {
    /// Adds the fence of the next page.
    pub(super) fn push(&mut self, key: &[u8], place: u64) {
        self.keys.extend_from_slice(key);
        self.places.push(place);
        self.ends.push(u32::try_from(self.keys.len()).expect("4 GiB of fences stand for 64 GiB of pages at the least"));
    }

    /// Its bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.places.len() * FENCE_BYTES as usize + self.keys.len());
        for (place, end) in self.places.iter().zip(&self.ends) {
            out.extend_from_slice(&place.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(&self.keys);
        out
    }

    /// Reads the fences of so many pages back.
    pub(super) fn from_bytes(pages: u64, bytes: &[u8]) -> Result<Self, Malformed> {
        let table = usize::try_from(pages.saturating_mul(FENCE_BYTES)).map_err(|_| Malformed("there are too many"))?;
        let mut reader = Reader(bytes);
        let mut table = Reader(reader.take(table)?);
        let mut fences = Self { keys: reader.0.to_vec(), ..Self::default() };
        for _ in 0..pages {
            fences.places.push(u64::from_le_bytes(table.array()?));
            fences.ends.push(u32::from_le_bytes(table.array()?));
        }
        let rising = fences.ends.is_sorted();
        if !rising || fences.ends.last().map_or(0, |end| *end as usize) != fences.keys.len() {
            return Err(Malformed("their keys do not fill the space of keys"));
        }
        if !(1..fences.len()).all(|page| fences.get(page - 1) < fences.get(page)) {
            return Err(Malformed("they are out of order"));
        }
        Ok(fences)
    }

    /// How many pages.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The fence of a page: nothing past the last.
    pub(super) fn get(&self, page: usize) -> Option<(&[u8], u64)> {
        Some((self.key(page)?, *self.places.get(page)?))
    }

    /// The last page whose fence is not above (key, place); none when all are.
    pub(super) fn page_of(&self, key: &[u8], place: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            // Places are looked at only where keys are equal, which saves memory that is not in a cache.
            let above = match self.key(middle).cmp(&Some(key)) {
                Ordering::Equal => self.places.get(middle) > Some(&place),
                order => order == Ordering::Greater,
            };
            if above { high = middle } else { low = middle + 1 }
        }
        low.checked_sub(1)
    }

    fn key(&self, page: usize) -> Option<&[u8]> {
        let start = match page.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.keys.get(start as usize..*self.ends.get(page)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fences(of: &[(&str, u64)]) -> Fences {
        let mut fences = Fences::default();
        of.iter().for_each(|(key, place)| fences.push(key.as_bytes(), *place));
        fences
    }

    #[test]
    fn the_page_is_the_last_that_is_not_above() {
        let bytes = fences(&[("b", 0), ("d", 0), ("d", 5), ("d", 9), ("f", 0)]).to_bytes();
        let fences = Fences::from_bytes(5, &bytes).unwrap();
        assert_eq!(fences.page_of(b"a", 9), None);
        assert_eq!(fences.page_of(b"b", 0), Some(0));
        assert_eq!(fences.page_of(b"cc", u64::MAX), Some(0));
        assert_eq!([0, 4, 5, 8, 9, u64::MAX].map(|place| fences.page_of(b"d", place).unwrap()), [1, 1, 2, 2, 3, 3]);
        assert_eq!(fences.page_of(b"e", 0), Some(3));
        assert_eq!(fences.page_of(b"g", 0), Some(4));
    }

    #[test]
    fn no_pages_have_no_fences() {
        assert_eq!(Fences::from_bytes(0, &[]).unwrap().page_of(b"a", 0), None);
    }

    #[test]
    fn malformed_fences_are_refused() {
        let bytes = fences(&[("b", 0), ("d", 0)]).to_bytes();
        assert!(Fences::from_bytes(3, &bytes).is_err() && Fences::from_bytes(u64::MAX, &bytes).is_err());
        assert!(Fences::from_bytes(2, &bytes[..bytes.len() - 1]).is_err());
        let bytes = fences(&[("d", 0), ("d", 0)]).to_bytes();
        assert_eq!(Fences::from_bytes(2, &bytes).unwrap_err(), Malformed("they are out of order"));
    }
}
