//! The WIT contract in Rust.
//!
//! The host side of the imports is generated from `wit/`. What the host hands to an export is written
//! here by hand, because it borrows: lowering copies straight out of the batch that was read.

use wasmtime::component::{ComponentType, Lift, Lower};

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "dispatching-imports",
        require_store_data_send: true,
    });
}

pub(super) use generated::tidemill::plugin::{append, config, dispatch, log, state, types};

/// `types.event-id`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct EventId {
    pub(super) high: u64,
    pub(super) low: u64,
}

/// `types.payload`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(variant)]
pub(super) enum Payload<'a> {
    #[component(name = "json")]
    Json(&'a str),
    #[component(name = "binary")]
    Binary(&'a [u8]),
}

/// `types.event`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Event<'a> {
    pub(super) position: u64,
    pub(super) id: EventId,
    #[component(name = "event-type")]
    pub(super) event_type: &'a str,
    pub(super) stream: Option<&'a str>,
    pub(super) version: u64,
    #[component(name = "timestamp-us")]
    pub(super) timestamp_us: u64,
    #[component(name = "schema-version")]
    pub(super) schema_version: u32,
    pub(super) payload: Payload<'a>,
    pub(super) context: Option<&'a str>,
}

/// `bulk-subscriber.span`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// `bulk-subscriber.head`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Head {
    pub(super) position: u64,
    pub(super) id: EventId,
    pub(super) version: u64,
    #[component(name = "timestamp-us")]
    pub(super) timestamp_us: u64,
    #[component(name = "schema-version")]
    pub(super) schema_version: u32,
    pub(super) traits: u32,
    #[component(name = "event-type")]
    pub(super) event_type: Span,
    pub(super) stream: Span,
    pub(super) payload: Span,
    pub(super) context: Span,
}

/// `description.description`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) summary: String,
    pub(super) types: Vec<String>,
    pub(super) streams: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) append: Vec<String>,
    pub(super) extra: Vec<(String, String)>,
}

/// `projection.request`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    pub(super) query: &'a str,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) checkpoint: u64,
    pub(super) context: Option<&'a str>,
}

/// `projection.answer`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Answer {
    pub(super) payload: types::Payload,
    #[component(name = "content-type")]
    pub(super) content_type: Option<String>,
}

/// `upcaster.lift`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct LiftRecord {
    #[component(name = "event-type")]
    pub(super) event_type: String,
    #[component(name = "from-version")]
    pub(super) from_version: u32,
    pub(super) into: Vec<TargetRecord>,
}

/// `upcaster.target`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct TargetRecord {
    #[component(name = "event-type")]
    pub(super) event_type: String,
    #[component(name = "schema-version")]
    pub(super) schema_version: u32,
}

/// `upcaster.upcasted`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct UpcastedRecord {
    #[component(name = "event-type")]
    pub(super) event_type: String,
    pub(super) payload: types::Payload,
    #[component(name = "content-type")]
    pub(super) content_type: Option<String>,
}

/// `projection.query-error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum QueryError {
    #[component(name = "unknown-query")]
    UnknownQuery,
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "failed")]
    Failed(String),
    #[component(name = "other")]
    Other(String),
}

/// `validator.checked-command`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct CheckedCommand<'a> {
    pub(super) id: &'a str,
    pub(super) aggregate: &'a str,
    pub(super) key: &'a str,
    #[component(name = "command-type")]
    pub(super) command_type: &'a str,
    pub(super) data: Payload<'a>,
    pub(super) metadata: &'a [(&'a str, &'a str)],
    #[component(name = "timestamp-us")]
    pub(super) timestamp_us: u64,
}

/// `validator.field-error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct FieldError {
    pub(super) path: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// Parameters of `validator.validate`.
pub(super) type ValidateParams<'a> = (CheckedCommand<'a>,);
/// Its results.
pub(super) type ValidateResults = (Result<(), Vec<FieldError>>,);

/// Parameters of `projection.query`.
pub(super) type QueryParams<'a> = (Request<'a>,);
/// Its results.
pub(super) type QueryResults = (Result<Answer, QueryError>,);

/// Parameters of `upcaster.upcast`.
pub(super) type UpcastParams<'a> = (Event<'a>,);
/// Its results.
pub(super) type UpcastResults = (Result<Vec<UpcastedRecord>, String>,);

/// Parameters of `subscriber.handle`.
pub(super) type PlainParams<'a> = (&'a [Event<'a>],);
/// Parameters of `bulk-subscriber.handle`.
pub(super) type BulkParams<'a> = (&'a [Head], &'a [u8]);
/// Results of either.
pub(super) type HandleResults = (Result<(), types::Failure>,);
