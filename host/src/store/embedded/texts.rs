//! Names that events of one page have in common, allocated once for all of them.
//!
//! A page is decoded on one thread and dropped on another, where each allocation costs twice. Most of its events
//! share their types and streams.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// Names kept, a power of two. Two that fall on one place take turns.
const KEPT: usize = 64;

/// The names seen last. Made for a page, so that its events, and nobody else's, share them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Empty until the first name.
    kept: Vec<Option<Arc<str>>>,
}

impl Texts {
    /// The text, shared with whoever asked for it before.
    pub(super) fn shared(&mut self, text: &str) -> Arc<str> {
        if self.kept.is_empty() {
            self.kept.resize(KEPT, None);
        }
        let place = usize::try_from(xxh3_64(text.as_bytes()) % KEPT as u64).unwrap_or_default();
        match self.kept.get_mut(place) {
            Some(Some(kept)) if **kept == *text => Arc::clone(kept),
            Some(slot) => Arc::clone(slot.insert(text.into())),
            None => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_allocated_once() {
        let mut texts = Texts::default();
        let (first, again) = (texts.shared("order-1"), texts.shared("order-1"));
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn every_text_is_itself_however_many_there_are() {
        let mut texts = Texts::default();
        for number in 0..10 * KEPT {
            let name = format!("order-{}", number % (3 * KEPT));
            assert_eq!(&*texts.shared(&name), name);
        }
    }
}
