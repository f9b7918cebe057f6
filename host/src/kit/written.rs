//! An event or a command as it is written, with the text of its payload.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The field of a payload.
const DATA: &str = "data";

/// An event or a command as it is written: its fields, and the text of its payload where that is known. As a value the
/// payload would lose the order of its keys, digits of its numbers, and what no value can hold.
#[derive(Clone, Debug)]
pub struct Written {
    fields: Value,
    data: Option<Box<RawValue>>,
    stored: bool,
}

impl Written {
    /// Reads one of JSON. Its payload stays as it is, whatever stands in it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err("it is no JSON object".into());
        }
        let texts: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (mut fields, mut data) = (Map::new(), None);
        for (name, text) in texts {
            let value = serde_json::from_str::<Value>(text.get());
            if name == DATA {
                data = Some(text);
                // Its text counts.
                fields.insert(name, value.unwrap_or_default());
            } else {
                let value = value.map_err(|error| format!("`{name}`: {error}"))?;
                fields.insert(name, value);
            }
        }
        Ok(Self { fields: Value::Object(fields), data, stored: false })
    }

    /// The text of its payload; none where only its value is known.
    pub(super) fn data(&self) -> Option<&str> {
        self.data.as_deref().map(RawValue::get)
    }

    /// Whether a log has it: what only a host writes may stand in it.
    pub(super) const fn is_stored(&self) -> bool {
        self.stored
    }

    /// Takes the position of an event of a log out of it, and its version.
    pub(crate) fn take_position(&mut self) -> Option<u64> {
        self.take("version");
        let position = self.take("position")?.as_u64()?;
        self.stored = true;
        Some(position)
    }

    /// Takes a field out of it.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.as_object_mut()?.remove(name)
    }
}

impl From<Value> for Written {
    fn from(fields: Value) -> Self {
        Self { fields, data: None, stored: false }
    }
}

/// Its fields.
impl Deref for Written {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.fields
    }
}

/// The same where their fields are.
impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

/// Its payload's text as it is, where it is known: it is, of what was written in JSON only.
impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (Value::Object(fields), Some(data)) = (&self.fields, &self.data) else {
            return self.fields.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            if name == DATA {
                map.serialize_entry(name, data)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::world::event;
    use super::*;

    #[test]
    fn a_payload_keeps_its_text() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for data in [
            r#"{"n":18446744073709551616,"f":0.10000000000000000001,"e":1e3,"b":1,"a":2,"a": 3}"#,
            r#"{"n":1e400}"#,
            r#"{"s":"\ud800"}"#,
            deep.as_str(),
        ] {
            let text = format!(r#"{{"type":"A","data":{data},"timestamp":"2026-01-01T00:00:00Z"}}"#);
            let written = Written::parse(&text).unwrap();
            let (event, time_us) = event(&written, Uuid::nil()).unwrap();
            assert_eq!((String::from_utf8(event.data).unwrap().as_str(), time_us.is_some()), (data, true));
            assert!(serde_json::to_string(&written).unwrap().contains(data), "{written:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_told() {
        assert_eq!(Written::parse("[]").unwrap_err(), "it is no JSON object");
        let said = Written::parse(r#"{"type":"A","metadata":{"a":1e400},"data":1e400}"#).unwrap_err();
        assert!(said.starts_with("`metadata`: number out of range"), "{said}");
    }
}
