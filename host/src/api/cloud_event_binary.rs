//! A stored event as a `CloudEvent` 1.0 in the binary form of HTTP: attributes in the header, data as the body.
//! What stands for what is said in `cloud_event`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::value::RawValue;

use super::cloud_event_view::{Attributes, has_data};
use super::percent::encode_header;
use super::problem::Problem;
use crate::error::ErrorClass;
use crate::event::RecordedEvent;

/// The header and the body. What JSON implies of the content type is named.
pub(super) fn render(event: &RecordedEvent) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let unrenderable = |error: &dyn std::fmt::Display| {
        let detail = format!("event {} has no binary form: {error}; read it as JSON", event.position);
        Problem::of_class(ErrorClass::Bug, detail)
    };
    let (content_type, attributes) = attributes(event).map_err(|error| unrenderable(&error))?;
    let implied = has_data(event).then(|| event.content_type().to_owned());
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type.or(implied) {
        let value = HeaderValue::try_from(content_type).map_err(|error| unrenderable(&error))?;
        headers.insert(header::CONTENT_TYPE, value);
    }
    for (name, value) in attributes {
        let name = HeaderName::try_from(format!("ce-{name}")).map_err(|error| unrenderable(&error))?;
        let value = HeaderValue::try_from(encode_header(&value)).map_err(|error| unrenderable(&error))?;
        headers.insert(name, value);
    }
    let body = if has_data(event) { event.data.to_vec() } else { Vec::new() };
    Ok((headers, body))
}

/// The content type, and the other attributes as texts; numbers and booleans as JSON writes them.
fn attributes(event: &RecordedEvent) -> Result<(Option<String>, BTreeMap<String, String>), serde_json::Error> {
    let json = serde_json::to_string(&Attributes(event))?;
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(&json)?;
    let text = |value: &RawValue| match value.get() {
        text if text.starts_with('"') => serde_json::from_str(text),
        other => Ok(other.into()),
    };
    let texts = raw.into_iter().map(|(name, value)| Ok((name, text(value)?)));
    let mut attributes = texts.collect::<Result<BTreeMap<_, _>, serde_json::Error>>()?;
    Ok((attributes.remove("datacontenttype"), attributes))
}
