//! The types of the stored events that an aggregate was made of. Only what lifts those matters to it: a chain that lifts
//! them as before makes the same aggregate of the same history.

use crate::event::EventType;
use crate::schema::Chain;

/// Most types that are told apart; of a history with more, all that a chain lifts is taken to matter.
const TYPES_MAX: usize = 64;

/// Types of stored events, in the order in which they came first; none for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Option<Vec<EventType>>);

impl Default for Seen {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Seen {
    /// Any types there may be: those of a history that is not known.
    pub(super) const ANY: Self = Self(None);

    /// Takes note of an event's type.
    pub(super) fn note(&mut self, event_type: &EventType) {
        match &mut self.0 {
            Some(types) if types.contains(event_type) => {}
            Some(types) if types.len() < TYPES_MAX => types.push(event_type.clone()),
            Some(_) => self.0 = None,
            None => {}
        }
    }

    /// What tells a chain from others that make other events of such a history.
    pub(super) fn digest(&self, chain: &Chain) -> String {
        match &self.0 {
            Some(types) => chain.digest_of(types),
            None => chain.digest().to_owned(),
        }
    }

    /// Appends it to a row: how many there are (2 bytes, 65535 for any), and of each the length (2 bytes) and the name.
    pub(super) fn encode(&self, row: &mut Vec<u8>) {
        let types = self.0.as_deref();
        let count = types.and_then(|types| u16::try_from(types.len()).ok()).unwrap_or(u16::MAX);
        row.extend(count.to_be_bytes());
        for name in types.unwrap_or_default() {
            // Names are far shorter.
            row.extend(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX).to_be_bytes());
            row.extend(name.as_str().as_bytes());
        }
    }

    /// Reads it from the beginning of a row; answers the rest, too.
    pub(super) fn decode(row: &[u8]) -> Option<(Self, &[u8])> {
        let (count, mut rest) = number(row)?;
        if count == usize::from(u16::MAX) {
            return Some((Self::ANY, rest));
        }
        let mut types = Vec::new();
        for _ in 0..count {
            let (length, name) = number(rest)?;
            let (name, behind) = name.split_at_checked(length)?;
            types.push(EventType::from_stored(std::str::from_utf8(name).ok()?));
            rest = behind;
        }
        Some((Self(Some(types)), rest))
    }
}

fn number(row: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = row.split_first_chunk()?;
    Some((u16::from_be_bytes(*number).into(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::NAME_BYTES_MAX;

    fn seen(names: &[String]) -> Seen {
        let mut seen = Seen::default();
        names.iter().for_each(|name| seen.note(&EventType::new(name.as_str()).unwrap()));
        seen
    }

    proptest! {
        #[test]
        fn types_survive_in_a_row(names in prop::collection::vec("[A-Za-zé]{1,9}", 0..80), rest: Vec<u8>) {
            let seen = seen(&names);
            let mut row = Vec::new();
            seen.encode(&mut row);
            let whole = row.len();
            row.extend(&rest);
            prop_assert_eq!(Seen::decode(&row), Some((seen, &rest[..])));
            prop_assert_eq!(Seen::decode(&row[..whole - 1]), None);
        }
    }

    #[test]
    fn each_type_counts_once_and_too_many_are_any() {
        let names = |count: usize| (0..count).map(|number| format!("T{number}")).collect::<Vec<_>>();
        assert_eq!(seen(&[names(3), names(3)].concat()), seen(&names(3)));
        assert_ne!(seen(&names(TYPES_MAX)), Seen::ANY);
        assert_eq!(seen(&names(TYPES_MAX + 1)), Seen::ANY);
        let longest = "x".repeat(NAME_BYTES_MAX);
        let mut row = Vec::new();
        seen(std::slice::from_ref(&longest)).encode(&mut row);
        assert_eq!(Seen::decode(&row), Some((seen(&[longest]), &[][..])));
    }
}
