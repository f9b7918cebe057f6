//! The ids that the host gives to events by itself: those of commands, and those that plugins append.
//!
//! Such an id follows from what the event is for, so that no attempt can store it twice, and from a secret of the store,
//! so that nobody who may append can be there first with an event of his own.

use std::fmt;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// The ids that the host of one store gives. Whoever has this can tell them in advance.
#[derive(Clone, Copy)]
pub struct OwnIds([u8; 16]);

impl fmt::Debug for OwnIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnIds").finish_non_exhaustive()
    }
}

impl OwnIds {
    /// Ids that everybody can tell in advance: of a store that only tests and the kit fill, and of who appends nothing.
    pub const FORESEEABLE: Self = Self([0; 16]);

    /// Those of a store with a secret.
    #[must_use]
    pub const fn of(secret: u128) -> Self {
        Self(secret.to_be_bytes())
    }

    /// The id of what has a name, among the names of its kind: always the same.
    ///
    /// It is the UUID of version 8 (RFC 9562 §5.8, by names as in its appendix B.2) of the first half of `SHA-256(secret |
    /// namespace | name)`. The secret and the namespace have fixed lengths, so no two names have one input. An HMAC
    /// would add nothing: its purpose is that a digest cannot be extended, and nobody has a whole one.
    #[must_use]
    pub fn id(self, namespace: &Uuid, name: &str) -> Uuid {
        let hash = Sha256::new().chain_update(self.0).chain_update(namespace.as_bytes()).chain_update(name);
        let mut bytes = [0; 16];
        for (byte, of_digest) in bytes.iter_mut().zip(hash.finalize()) {
            *byte = of_digest;
        }
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Variant;

    use super::*;

    #[test]
    fn an_id_follows_from_secret_namespace_and_name_and_from_nothing_else() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let id = OwnIds::of(7).id(&here, "a");
        assert_eq!((id.get_version_num(), id.get_variant()), (8, Variant::RFC4122));
        assert_eq!(OwnIds::of(7).id(&here, "a"), id, "always the same");
        let others = [
            OwnIds::of(8).id(&here, "a"),
            OwnIds::of(7).id(&there, "a"),
            OwnIds::of(7).id(&here, "b"),
            OwnIds::of(7).id(&here, ""),
            OwnIds::FORESEEABLE.id(&here, "a"),
        ];
        assert!(!others.contains(&id), "{others:?} have {id}");
    }

    #[test]
    fn it_is_what_the_documents_say() {
        let mut input = [0_u8; 33];
        (input[15], input[31], input[32]) = (7, 1, b'a');
        let digest: [u8; 32] = Sha256::digest(input).into();
        let id = OwnIds::of(7).id(&Uuid::from_u128(1), "a");
        for (index, byte) in id.as_bytes().iter().enumerate() {
            let own = match index {
                6 => 0x0f,
                8 => 0x3f,
                _ => 0xff,
            };
            assert_eq!(byte & own, digest[index] & own, "byte {index}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", OwnIds::of(7)), "OwnIds { .. }");
    }
}
