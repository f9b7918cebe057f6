//! How events and `CloudEvents` 1.0 stand for each other, in one place; reading and rendering follow it.
//!
//! | attribute | of the event |
//! |---|---|
//! | `id` | the id, if it is a UUID; else an id that follows from `source` and `id`, and metadata `ce-id` |
//! | `type` | the type |
//! | `datacontenttype` | the content type |
//! | `traceparent` | metadata `traceparent` |
//! | `source`, `subject`, `time`, `dataschema`, extensions that are texts | metadata `ce-NAME`, as they are |
//! | extensions that are numbers or booleans | metadata `ce-json-NAME`, as JSON |
//! | `tmstream`, `tmtags`, `tmschemaversion`, `tmmetadata` | stream; tags and other metadata, as JSON; schema version |
//! | `tmposition`, `tmversion`, `tmrecordedtime` | set by the host; left out when appended |
//!
//! Data keeps its bytes. `ce-data` is `absent` if there were none, and `ce-datacontenttype` is there if JSON
//! was named and not implied, so that every event is read as it came.

use uuid::{Uuid, uuid};

/// The version of the specification.
pub(super) const SPEC_VERSION: &str = "1.0";
/// Media type of one event.
pub(super) const EVENT_CONTENT_TYPE: &str = "application/cloudevents+json";
/// Media type of many events.
pub(super) const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";
/// Header that tells of the binary form, and in which the version of the specification stands.
pub(super) const BINARY_HEADER: &str = "ce-specversion";
/// Source of events that came without one.
pub(super) const OWN_SOURCE: &str = "urn:tidemill";

/// What the metadata keys of attributes begin with.
pub(super) const TEXT_PREFIX: &str = "ce-";
/// What the metadata keys of attributes begin with that are no texts.
pub(super) const JSON_PREFIX: &str = "ce-json-";
/// Metadata: the id, if it is no UUID.
pub(super) const ID_KEY: &str = "ce-id";
/// Metadata: the source.
pub(super) const SOURCE_KEY: &str = "ce-source";
/// Metadata: the time.
pub(super) const TIME_KEY: &str = "ce-time";
/// Metadata: [`ABSENT`] if the event came without data.
pub(super) const DATA_KEY: &str = "ce-data";
/// Value of [`DATA_KEY`].
pub(super) const ABSENT: &str = "absent";
/// Metadata: JSON was named as the content type.
pub(super) const CONTENT_TYPE_KEY: &str = "ce-datacontenttype";

/// Attributes for what `CloudEvents` do not have.
pub(super) const OWN_ATTRIBUTES: &[&str] =
    &["tmstream", "tmtags", "tmschemaversion", "tmmetadata", "tmposition", "tmversion", "tmrecordedtime"];

/// Namespace of ids that follow from source and id: UUID v5 of the URL `urn:tidemill:cloudevent`.
const NAMESPACE: Uuid = uuid!("268e8d56-08f0-559e-bc7f-9427037a1953");

/// The id of the event that stands for a `CloudEvent`, and whether it is told apart by it alone.
pub(super) fn event_id(source: &str, id: &str) -> (Uuid, bool) {
    match Uuid::try_parse(id) {
        Ok(uuid) if uuid.to_string() == id => (uuid, true),
        _ => (Uuid::new_v5(&NAMESPACE, format!("{source}\n{id}").as_bytes()), false),
    }
}

/// Whether a text may name an attribute: small letters and digits.
pub(super) fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether data of this content type stands as a text in JSON.
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence == "application/xml" || essence.ends_with("+xml")
}
