//! Whether values of JSON are the same: numbers are by what they come to, however they are written. One language writes a
//! whole float as `2`, another one as `2.0`.

use serde_json::{Number, Value};

/// The least float that is a whole number of 64 bits.
const LEAST: f64 = -9_223_372_036_854_775_808.0;
/// The least positive one that is none any more.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

/// Whether two values are the same.
pub(super) fn alike(one: &Value, other: &Value) -> bool {
    one == other || by_value(one) == by_value(other)
}

/// Whether both are there and the same, or neither is there.
pub(super) fn both_alike(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => alike(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// A value with its whole floats as whole numbers. None is rounded: a float that is none of 64 bits stays one.
pub(super) fn by_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::Array(items) => Value::Array(items.iter().map(by_value).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), by_value(value))).collect())
        }
        other => other.clone(),
    }
}

/// A float that is a whole number of 64 bits, as such.
fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    if float.fract() != 0.0 || !(LEAST..BEYOND).contains(&float) {
        return None;
    }
    Some(if float < 0.0 { Number::from(float as i64) } else { Number::from(float as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        alike(&serde_json::from_str(one).unwrap(), &serde_json::from_str(other).unwrap())
    }

    #[test]
    fn numbers_are_the_same_by_their_value() {
        for (one, other) in [
            ("1", "1.0"),
            ("-2.0", "-2"),
            ("0", "-0.0"),
            ("1e3", "1000"),
            (r#"{"a":[1,{"b":2.0}]}"#, r#"{"a":[1.0,{"b":2}]}"#),
            ("9007199254740992", "9007199254740992.0"),
            ("18446744073709549568", "18446744073709549568.0"),
            ("-9223372036854775808", "-9223372036854775808.0"),
        ] {
            assert!(same(one, other), "{one} is {other}");
        }
    }

    #[test]
    fn nothing_is_rounded() {
        for (one, other) in [
            ("9007199254740992", "9007199254740993"),
            ("9007199254740993", "9007199254740992.0"),
            ("18446744073709551615", "18446744073709551616.0"),
            ("1", "1.5"),
            ("1", "true"),
            ("1", r#""1""#),
        ] {
            assert!(!same(one, other), "{one} is not {other}");
        }
    }
}
