//! An event to append.

use serde::Serialize;

use crate::{Error, host, json};

/// An event to append with [`Context::append`](crate::Context::append).
#[derive(Clone, Debug)]
#[must_use = "an event is appended by Context::append"]
pub struct NewEvent {
    fields: host::NewEvent,
    /// Why the body could not be written; told when the event is appended.
    encode_error: Option<String>,
}

impl NewEvent {
    /// An event of this type with a body that serde writes as JSON. A body that cannot be written is
    /// reported when the event is appended.
    pub fn json<T: Serialize + ?Sized>(event_type: impl Into<String>, body: &T) -> Self {
        match json::to_string(body) {
            Ok(text) => Self::json_text(event_type, text),
            Err(error) => Self { encode_error: Some(error), ..Self::json_text(event_type, String::new()) },
        }
    }

    /// An event of this type whose body is JSON already.
    pub fn json_text(event_type: impl Into<String>, json: impl Into<String>) -> Self {
        Self::with_payload(event_type.into(), host::Payload::Json(json.into()), None)
    }

    /// An event of this type with any other content.
    pub fn binary(event_type: impl Into<String>, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::with_payload(event_type.into(), host::Payload::Binary(bytes.into()), Some(content_type.into()))
    }

    fn with_payload(event_type: String, payload: host::Payload, content_type: Option<String>) -> Self {
        let fields = host::NewEvent {
            event_type,
            stream: None,
            payload,
            content_type,
            tags: Vec::new(),
            metadata: Vec::new(),
            schema_version: 1,
        };
        Self { fields, encode_error: None }
    }

    /// Appends it to this stream; without one, the event is outside any stream.
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.fields.stream = Some(stream.into());
        self
    }

    /// Adds a label for queries, such as `order:42`; at most 64.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.fields.tags.push(tag.into());
        self
    }

    /// Adds a metadata entry.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.metadata.push((key.into(), value.into()));
        self
    }

    /// Sets the version of the body's schema; 1 if not called.
    pub fn schema_version(mut self, version: u32) -> Self {
        self.fields.schema_version = version;
        self
    }

    pub(crate) fn into_host(self) -> Result<host::NewEvent, Error> {
        match self.encode_error {
            None => Ok(self.fields),
            Some(detail) => Err(Error::Encode { what: format!("body of {}", self.fields.event_type), detail }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn fields_cross_as_given() {
        let event = NewEvent::json("StockReserved", &[1, 2]).stream("order-1").tag("order:1").metadata("actor", "me");
        let fields = event.schema_version(2).into_host().unwrap();
        assert_eq!(fields.payload, host::Payload::Json("[1,2]".into()));
        assert_eq!(fields.stream.as_deref(), Some("order-1"));
        assert_eq!((fields.tags, fields.schema_version), (vec!["order:1".to_owned()], 2));
        assert_eq!(fields.metadata, [("actor".to_owned(), "me".to_owned())]);
    }

    #[test]
    fn a_body_that_cannot_be_written_fails_when_appended() {
        let body = BTreeMap::from([((1, 2), "keys of JSON objects are text")]);
        let error = NewEvent::json("Odd", &body).into_host().unwrap_err();
        assert!(matches!(&error, Error::Encode { what, .. } if what == "body of Odd"), "{error}");
    }
}
