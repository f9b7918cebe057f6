//! Lifts events, as of release 0.1.1: `Bought` from 1 to 2, `Pair` to `Left` of 3 and `Right` of 1; `Noise` is dropped.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({ path: "../../../wit/releases/0.1.1", world: "upcaster-plugin" });
}

use contract::exports::tidemill::plugin::upcaster::{Event, Guest, Lift, Payload, Target, Upcasted};

/// The component.
pub struct Upcaster;

impl Guest for Upcaster {
    fn lifts() -> Vec<Lift> {
        let target = |made: &(&str, u32)| Target { event_type: made.0.into(), schema_version: made.1 };
        let lift = |event_type: &str, into: &[(&str, u32)]| Lift {
            event_type: event_type.into(),
            from_version: 1,
            into: into.iter().map(target).collect(),
        };
        vec![lift("Bought", &[("Bought", 2)]), lift("Pair", &[("Left", 3), ("Right", 1)]), lift("Noise", &[])]
    }

    fn upcast(event: Event) -> Result<Vec<Upcasted>, String> {
        let Payload::Json(data) = event.payload else { return Err("no JSON".into()) };
        let made =
            |event_type: &str, payload, content_type| Upcasted { event_type: event_type.into(), payload, content_type };
        Ok(match event.event_type.as_str() {
            "Noise" => Vec::new(),
            "Pair" => {
                let left = made("Left", Payload::Binary(data.clone().into_bytes()), Some("text/plain".into()));
                vec![left, made("Right", Payload::Json(data), None)]
            }
            _ => vec![made("Bought", Payload::Json(format!("{{\"was\":{data}}}")), None)],
        })
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Upcaster with_types_in contract);
