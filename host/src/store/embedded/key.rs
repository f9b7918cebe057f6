//! What events are found by: an index maps each key to the positions of the events that have it.

use uuid::Uuid;

pub(super) use crate::store::StreamHead as Head;

/// What a name in the index is the name of. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    /// An event id: 16 bytes.
    Id = 0,
    /// An event type.
    Type = 1,
    /// The part of a stream's name before the first dash, or all of it.
    Category = 2,
    /// A stream.
    Stream = 3,
    /// A tag.
    Tag = 4,
}

/// Largest key in bytes: the kind and a name.
pub(super) const KEY_BYTES_MAX: usize = 1 + crate::event::NAME_BYTES_MAX;

/// A key: the kind, then the bytes of the name. Sorted by bytes: by kind, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(Box<[u8]>);

impl Key {
    /// The key of a name.
    pub(super) fn new(kind: Kind, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + name.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(name);
        Self(bytes.into_boxed_slice())
    }

    /// The key of an event id.
    pub(super) fn id(id: Uuid) -> Self {
        Self::new(Kind::Id, id.as_bytes())
    }

    /// The key as it is stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
