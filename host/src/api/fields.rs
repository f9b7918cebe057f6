//! Reads a JSON object field by field, so that an error can name the field and values keep their bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::nearest::unknown;

/// The fields of one JSON object, in order, each name once. Values are untouched text.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// When the text is not one JSON object, or a name stands in it twice.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| not_an_object(text, &error))
    }

    /// Refuses the first field whose name is not known, naming the nearest known one.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_ref())) {
            None => Ok(()),
            Some((name, _)) => Err(unknown("field", name, known)),
        }
    }

    /// Every field.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The text of a field's value; none when it is absent.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| *value)
    }

    /// A field's value; none when it is absent or `null`. `shape` says what it should be.
    ///
    /// # Errors
    /// When it has another shape.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str, shape: &str) -> Result<Option<T>, String> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map_err(|_| format!("`{name}` is {}; it must be {shape}", brief(value.get())))
    }
}

/// The beginning of a value, short enough for a message.
pub(super) fn brief(text: &str) -> String {
    const SHOWN_CHARS: usize = 48;
    let mut shown: String = text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn not_an_object(text: &str, error: &serde_json::Error) -> String {
    if error.is_data() && !text.trim_start().starts_with('{') {
        return format!("{} is not a JSON object", brief(text.trim_start()));
    }
    format!("not valid JSON: {error}")
}

/// A name that borrows from the text unless it holds escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if fields.iter().any(|(given, _)| *given == name) {
                return Err(A::Error::custom(format_args!("field `{}` stands twice", brief(&name))));
            }
            if fields.len() == FIELDS_MAX {
                return Err(A::Error::custom(format_args!("more than {FIELDS_MAX} fields")));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

/// Most fields in one object: far above what any body has, low enough for a linear search.
const FIELDS_MAX: usize = 64;

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Fields::parse(text).err().unwrap()
    }

    #[test]
    fn values_keep_their_bytes() {
        let fields = Fields::parse(r#"{ "a" : {"x":  1.50 } , "b":null}"#).unwrap();
        assert_eq!(fields.raw("a").unwrap().get(), r#"{"x":  1.50 }"#);
        assert_eq!(fields.get::<u64>("b", "a number"), Ok(None));
        assert_eq!(fields.get::<u64>("a", "a number").unwrap_err(), r#"`a` is {"x":  1.50 }; it must be a number"#);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        assert_eq!(error("[1]"), "[1] is not a JSON object");
        assert!(error(r#"{"a":1,"a":2}"#).contains("`a` stands twice"));
        assert!(error(r#"{"a":1"#).starts_with("not valid JSON: EOF"));
        assert!(error("{} {}").contains("trailing"));
    }
}
