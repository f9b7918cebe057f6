//! What the guests for tests share. Each file in `examples/` is one guest with one behaviour.
//!
//! They stand on the plain lane of `wit/`, without the SDK, so that it is proven on its own; those whose name
//! begins with `bulk_` on the bulk lane, and with `sdk_` on the SDK.
//!
//! Unless a guest says otherwise, it misbehaves on events of type `Poison` and counts all others in its
//! state, under `count`, as decimal text.

#[expect(missing_docs, reason = "generated; the items are documented in wit/")]
pub mod contract {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "subscriber-plugin",
        pub_export_macro: true,
        export_macro_name: "export_subscriber",
        default_bindings_module: "test_guests::contract",
    });
}

/// The bulk lane, over the same types.
#[expect(missing_docs, reason = "generated; the items are documented in wit/")]
pub mod bulk {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "bulk-subscriber-plugin",
        pub_export_macro: true,
        export_macro_name: "export_bulk_subscriber",
        default_bindings_module: "test_guests::bulk",
        with: {
            "tidemill:plugin/types@0.1.1": crate::contract::tidemill::plugin::types,
            "tidemill:plugin/state@0.1.1": crate::contract::tidemill::plugin::state,
            "tidemill:plugin/append@0.1.1": crate::contract::tidemill::plugin::append,
            "tidemill:plugin/log@0.1.1": crate::contract::tidemill::plugin::log,
            "tidemill:plugin/config@0.1.1": crate::contract::tidemill::plugin::config,
        },
    });
}

/// The queries of a projection.
#[expect(missing_docs, reason = "generated; the items are documented in wit/")]
pub mod queries {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "projection-export",
        pub_export_macro: true,
        export_macro_name: "export_projection",
        default_bindings_module: "test_guests::queries",
    });
}

/// The role that decides commands, over the same types.
#[expect(missing_docs, reason = "generated; the items are documented in wit/")]
pub mod aggregate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "aggregate-plugin",
        pub_export_macro: true,
        export_macro_name: "export_aggregate",
        default_bindings_module: "test_guests::aggregate",
        with: { "tidemill:plugin/types@0.1.1": crate::contract::tidemill::plugin::types },
    });
}

pub mod behaviour;

pub use bulk::exports::tidemill::plugin::bulk_subscriber::{Head, Span};
pub use contract::tidemill::plugin::append::{self, NewEvent};
pub use contract::tidemill::plugin::types::{Event, Failure, HostError, Payload, Verdict};
pub use contract::tidemill::plugin::{config, log, state};

pub use queries::exports::tidemill::plugin::projection::{Answer as QueryAnswer, QueryError, Request};
pub use queries::tidemill::plugin::types::Payload as AnswerPayload;

/// What a handler says about one event: nothing, or a verdict with its reason.
pub type Answer = Result<(), (Verdict, String)>;

/// Handles events one by one until one is refused.
///
/// # Errors
/// The refusal, with the event's index.
pub fn each(events: &[Event], mut handle: impl FnMut(&Event) -> Answer) -> Result<(), Failure> {
    for (index, event) in (0..).zip(events) {
        handle(event).map_err(|(verdict, reason)| Failure { index, verdict, reason })?;
    }
    Ok(())
}

/// Whether this is an event to misbehave on.
#[must_use]
pub fn is_poison(event: &Event) -> bool {
    event.event_type == "Poison"
}

/// Adds one to the number under `count`.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn count() -> Answer {
    add("count", 1)
}

/// Adds to the number under a key.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn add(key: &str, by: u64) -> Answer {
    let sum = number(key)? + by;
    put(key, &sum.to_string())
}

/// The number under a key, 0 if there is none.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn number(key: &str) -> Result<u64, (Verdict, String)> {
    let bytes = state::get(key).map_err(retry)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).parse().unwrap_or(0))
}

/// Sets the text under a key.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn put(key: &str, text: &str) -> Answer {
    state::set(key, text.as_bytes()).map_err(retry)
}

/// An answer to a refusal of the host: try again.
#[must_use]
pub fn retry(error: HostError) -> (Verdict, String) {
    (Verdict::Retry(None), text_of(error))
}

/// The host's text.
#[must_use]
pub fn text_of(error: HostError) -> String {
    match error {
        HostError::Invalid(text) => format!("invalid: {text}"),
        HostError::Denied(text) => format!("denied: {text}"),
        HostError::LimitExceeded(text) => format!("limit-exceeded: {text}"),
        HostError::Unavailable(text) => format!("unavailable: {text}"),
        HostError::Other(text) => format!("other: {text}"),
    }
}

/// The number under a key of the manifest's `[config]`, or the default.
#[must_use]
pub fn config_number(key: &str, default: u64) -> u64 {
    config::get(key).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether the manifest says `healthy = true` under `[config]`: the operator's cure for some guests.
#[must_use]
pub fn is_healthy() -> bool {
    config::get("healthy").as_deref() == Some("true")
}

/// An event of this type with an empty JSON object.
#[must_use]
pub fn new_event(event_type: &str) -> NewEvent {
    NewEvent {
        event_type: event_type.into(),
        stream: None,
        payload: Payload::Json("{}".into()),
        content_type: None,
        tags: Vec::new(),
        metadata: Vec::new(),
        schema_version: 1,
    }
}

/// Exports a `fn(&[Event]) -> Result<(), Failure>` as the subscriber.
#[macro_export]
macro_rules! subscriber {
    ($handle:path) => {
        const _: () = {
            struct Guest;

            impl $crate::contract::exports::tidemill::plugin::subscriber::Guest for Guest {
                fn handle(events: Vec<$crate::Event>) -> Result<(), $crate::Failure> {
                    $handle(&events)
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::contract::export_subscriber!(Guest with_types_in $crate::contract);
            #[cfg(not(target_arch = "wasm32"))]
            let _ = $handle;
        };
    };
}

/// Exports a `fn(&Request) -> Result<QueryAnswer, QueryError>` as what answers queries.
#[macro_export]
macro_rules! projection {
    ($query:path) => {
        const _: () = {
            struct Guest;

            impl $crate::queries::exports::tidemill::plugin::projection::Guest for Guest {
                fn query(request: $crate::Request) -> Result<$crate::QueryAnswer, $crate::QueryError> {
                    $query(&request)
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::queries::export_projection!(Guest with_types_in $crate::queries);
            #[cfg(not(target_arch = "wasm32"))]
            let _ = $query;
        };
    };
}

/// The events of a batch that came in bulk.
#[must_use]
pub fn unpack(heads: &[Head], blob: &[u8]) -> Vec<Event> {
    heads.iter().map(|head| event(head, blob)).collect()
}

#[expect(clippy::expect_used, reason = "a test fails by panicking")]
fn event(head: &Head, blob: &[u8]) -> Event {
    let part = |span: Span| {
        let rest = blob.get(span.start as usize..).expect("it starts within the blob");
        rest.get(..span.length as usize).expect("it ends within the blob").to_vec()
    };
    let text = |span| String::from_utf8(part(span)).expect("it is UTF-8");
    let absent = |span: Span| span.length == 0;
    Event {
        position: head.position,
        id: head.id,
        event_type: text(head.event_type),
        stream: (!absent(head.stream)).then(|| text(head.stream)),
        version: head.version,
        timestamp_us: head.timestamp_us,
        schema_version: head.schema_version,
        payload: match head.traits & 1 {
            0 => Payload::Binary(part(head.payload)),
            _ => Payload::Json(text(head.payload)),
        },
        context: (!absent(head.context)).then(|| text(head.context)),
    }
}

/// Exports a `fn(&[Event]) -> Result<(), Failure>` as the bulk subscriber.
#[macro_export]
macro_rules! bulk_subscriber {
    ($handle:path) => {
        const _: () = {
            struct Guest;

            impl $crate::bulk::exports::tidemill::plugin::bulk_subscriber::Guest for Guest {
                fn handle(heads: Vec<$crate::Head>, blob: Vec<u8>) -> Result<(), $crate::Failure> {
                    $handle(&$crate::unpack(&heads, &blob))
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::bulk::export_bulk_subscriber!(Guest with_types_in $crate::bulk);
            #[cfg(not(target_arch = "wasm32"))]
            let _ = $handle;
        };
    };
}
