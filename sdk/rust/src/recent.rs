//! What a batch has read and written, so that it is read again without asking the host.
//!
//! It holds for one call of the host: after that, writes may have been rolled back. Writes go to the host at
//! once, so whatever is forgotten here is only asked for again. A key has one slot, which it shares with
//! others; slots keep their buffers, so nothing is allocated for an event.

use std::cell::RefCell;

use crate::host::{self, HostError};

/// How many keys are remembered at most.
const SLOTS: usize = 64;
/// Longest value that is remembered, in bytes.
const VALUE_BYTES_MAX: usize = 256;

thread_local! {
    static SLOTS_OF_CALL: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// A key with the value that the host has for it.
#[derive(Clone, Debug, Default)]
struct Slot {
    key: String,
    value: Vec<u8>,
    held: Held,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    /// Nothing is known.
    #[default]
    Nothing,
    /// The key is not there.
    Absent,
    /// The key has the value.
    Value,
}

impl Slot {
    /// What is known of a key.
    fn of(&self, key: &str) -> Option<Option<&[u8]>> {
        match self.held {
            Held::Absent if self.key == key => Some(None),
            Held::Value if self.key == key => Some(Some(&self.value)),
            _ => None,
        }
    }

    fn hold(&mut self, key: &str, value: Option<&[u8]>) {
        self.held = match value {
            None => Held::Absent,
            Some(value) if value.len() <= VALUE_BYTES_MAX => Held::Value,
            Some(_) => Held::Nothing,
        };
        if self.held != Held::Nothing && self.key != key {
            self.key.clear();
            self.key.push_str(key);
        }
        if let (Held::Value, Some(value)) = (self.held, value) {
            self.value.clear();
            self.value.extend_from_slice(value);
        }
    }
}

/// Forgets everything: a call begins.
pub(crate) fn forget() {
    SLOTS_OF_CALL.with_borrow_mut(|slots| {
        slots.resize(SLOTS, Slot::default());
        slots.iter_mut().for_each(|slot| slot.held = Held::Nothing);
    });
}

/// Reads a key. `read` must not come back here.
pub(crate) fn get<R>(key: &str, read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, HostError> {
    with_slot(key, |slot| {
        let Some(slot) = slot else { return Ok(read(host::state::get(key)?.as_deref())) };
        if let Some(known) = slot.of(key) {
            return Ok(read(known));
        }
        let value = host::state::get(key)?;
        slot.hold(key, value.as_deref());
        Ok(read(value.as_deref()))
    })
}

/// Sets a key.
pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), HostError> {
    with_slot(key, |slot| {
        host::state::set(key, value)?;
        slot.into_iter().for_each(|slot| slot.hold(key, Some(value)));
        Ok(())
    })
}

/// Removes a key.
pub(crate) fn delete(key: &str) -> Result<(), HostError> {
    with_slot(key, |slot| {
        host::state::delete(key)?;
        slot.into_iter().for_each(|slot| slot.hold(key, None));
        Ok(())
    })
}

/// The slot of a key; none outside of a call.
fn with_slot<R>(key: &str, work: impl FnOnce(Option<&mut Slot>) -> R) -> R {
    SLOTS_OF_CALL.with_borrow_mut(|slots| work(slots.get_mut(slot_of(key))))
}

/// FNV-1a.
fn slot_of(key: &str) -> usize {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = key.bytes().fold(0x811c_9dc5, mix);
    usize::try_from(hash).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake::state as host_state;

    fn value(key: &str) -> Option<Vec<u8>> {
        get(key, |value| value.map(<[u8]>::to_vec)).unwrap()
    }

    #[test]
    fn what_the_call_wrote_or_read_is_known_until_its_end() {
        forget();
        set("a", b"1").unwrap();
        host_state::delete("a").unwrap();
        assert_eq!(value("a").as_deref(), Some(&b"1"[..]));
        assert_eq!(value("b"), None);
        host_state::set("b", b"2").unwrap();
        assert_eq!(value("b"), None);
        forget();
        assert_eq!((value("a"), value("b").as_deref()), (None, Some(&b"2"[..])));
        delete("b").unwrap();
        assert_eq!(value("b"), None);
    }

    #[test]
    fn what_has_no_room_is_asked_for_again() {
        forget();
        let large = vec![7; VALUE_BYTES_MAX + 1];
        set("k", b"small").unwrap();
        set("k", &large).unwrap();
        assert_eq!(value("k"), Some(large));
        let keys: Vec<_> = (0..10 * SLOTS).map(|n| format!("key/{n}")).collect();
        keys.iter().for_each(|key| set(key, key.as_bytes()).unwrap());
        assert!(keys.iter().all(|key| value(key).as_deref() == Some(key.as_bytes())));
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        forget();
        assert!(set("", b"1").is_err());
        set("a", b"1").unwrap();
        let too_long = "a".repeat(2000);
        assert!(set(&too_long, b"2").is_err());
        assert_eq!((value("a").as_deref(), value(&too_long)), (Some(&b"1"[..]), None));
    }
}
