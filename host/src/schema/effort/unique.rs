//! How long it takes to tell the items of a list apart, as `uniqueItems` asks for.
//!
//! The validator compares the items of a short list one by one. Of a long one it takes hashes, and compares those whose
//! hash is the same: not only the same values, as it leaves out where lists within begin and end, and rounds numbers.

use std::collections::hash_map::{DefaultHasher, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use serde_json::Value;

/// Parts that take as long to hash as a visit.
const VISIT_HASHED: usize = 8;
/// Parts that take as long to compare as a visit.
const VISIT_COMPARED: usize = 32;
/// Most items of a list that are compared one by one.
const COMPARED_MAX: usize = 20;
/// Bytes of a text that count as another part.
const PART_BYTES: usize = 256;
/// Whole numbers up to this are not rounded.
const EXACT_MAX: u64 = 1 << 53;

/// How many visits it takes to tell items apart, with all that is in them.
pub(super) fn visits(items: &[Value]) -> usize {
    let sizes = items.iter().map(size).sum::<usize>();
    if items.len() <= COMPARED_MAX {
        return sizes.saturating_mul(items.len()) / VISIT_COMPARED;
    }
    let compared = if items.iter().all(is_plain) { 0 } else { compared(items) };
    sizes / VISIT_HASHED + compared / VISIT_COMPARED
}

/// How many parts a value has, with itself; a long text counts as several.
fn size(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len() / PART_BYTES,
        Value::Array(items) => items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() / PART_BYTES + size(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    within + 1
}

/// Whether no other such value has the same hash.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            whole.is_none_or(|whole| whole <= EXACT_MAX)
        }
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// How many parts are compared, as the hashes of their items are the same, until two items are.
fn compared(items: &[Value]) -> usize {
    let state = RandomState::new();
    let (mut seen, mut alike, mut compared) = (HashSet::new(), HashMap::<u64, usize>::new(), 0_usize);
    for item in items {
        if !seen.insert(hashed(item, &state, true)) {
            break;
        }
        let before = alike.entry(hashed(item, &state, false)).or_default();
        compared = compared.saturating_add(before.saturating_mul(size(item)));
        *before += 1;
    }
    compared
}

/// The hash of a value: of all that it is, or of what the validator takes of it.
fn hashed(value: &Value, state: &RandomState, is_all: bool) -> u64 {
    let mut hasher = state.build_hasher();
    hash(value, &mut hasher, (state, is_all));
    hasher.finish()
}

fn hash(value: &Value, to: &mut DefaultHasher, how: (&RandomState, bool)) {
    let (state, is_all) = how;
    if is_all {
        std::mem::discriminant(value).hash(to);
    }
    match value {
        Value::Null => to.write_u32(u32::MAX),
        Value::Bool(is) => is.hash(to),
        Value::Number(number) if is_all => number.hash(to),
        Value::Number(number) => to.write_u64(number.as_f64().unwrap_or_default().to_bits()),
        Value::String(text) => text.hash(to),
        Value::Array(items) => {
            if is_all {
                to.write_usize(items.len());
            }
            items.iter().for_each(|item| hash(item, to, how));
        }
        Value::Object(fields) => {
            let of_field = |(name, value): (&String, &Value)| {
                let mut hasher = state.build_hasher();
                name.hash(&mut hasher);
                hash(value, &mut hasher, how);
                hasher.finish()
            };
            to.write_u64(fields.iter().map(of_field).fold(0, |all, field| all ^ field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits_of(items: &str) -> usize {
        let items = serde_json::from_str::<Vec<Value>>(items).unwrap();
        visits(&items)
    }

    fn listed(count: usize, item: impl Fn(usize) -> String) -> String {
        format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn items_whose_hash_is_the_same_are_compared_each_with_all() {
        let usual = visits_of(&listed(100, |n| format!(r#"{{"id":{n},"at":[{n},1]}}"#)));
        assert!(usual < 200, "{usual}");
        // They differ in nothing but where the list within ends.
        let ends = |n: usize| format!("[[{}],{}]", vec!["1"; n + 1].join(","), vec!["1"; 100 - n].join(","));
        let ends = visits_of(&listed(100, ends));
        assert!(ends > 10_000, "{ends}");
        let rounded = visits_of(&listed(1000, |n| (u64::MAX - n as u64).to_string()));
        assert!(rounded > 10_000, "{rounded}");
        assert!(visits_of(&listed(1000, |n| n.to_string())) < 1000);
    }

    #[test]
    fn nothing_is_compared_after_two_that_are_the_same() {
        let same = visits_of(&listed(1000, |_| "[1]".to_owned()));
        assert!(same < 1000, "{same}");
        assert!(visits_of(&listed(20, |_| "[1]".to_owned())) <= 40);
    }
}
