//! Lifts `Bought` from 1 to 2 by wrapping its data, and splits `Pair` into `Left` of 3 and `Right` of 1. What data says, it does:
//! `"poison"` is refused, `"trap"` traps, `"spin"` never ends, `"other"` becomes what is not declared.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({ path: "../../wit", world: "upcaster-plugin" });
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
        vec![lift("Bought", &[("Bought", 2)]), lift("Pair", &[("Left", 3), ("Right", 1)])]
    }

    fn upcast(event: Event) -> Result<Vec<Upcasted>, String> {
        let Payload::Json(data) = event.payload else { return Err("no JSON".into()) };
        let made = |event_type: &str, json: String| Upcasted {
            event_type: event_type.into(),
            payload: Payload::Json(json),
            content_type: None,
        };
        match (event.event_type.as_str(), data.as_str()) {
            (_, "\"poison\"") => Err("it is poisoned".into()),
            (_, "\"trap\"") => panic!("no way to lift this"),
            (_, "\"spin\"") => loop {
                std::hint::black_box(());
            },
            (_, "\"other\"") => Ok(vec![made("Undeclared", data)]),
            ("Pair", _) => Ok(vec![made("Left", data.clone()), made("Right", data)]),
            _ => Ok(vec![made("Bought", format!("{{\"was\":{data}}}"))]),
        }
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Upcaster with_types_in contract);
