//! Exports `subscriber`, but as another function than the host calls.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({
        inline: r#"
            package tidemill:plugin@0.1.0;
            interface subscriber { handle: func(events: list<string>) -> result<_, string>; }
            world guest { export subscriber; }
        "#,
    });
}

/// The component.
pub struct Guest;

impl contract::exports::tidemill::plugin::subscriber::Guest for Guest {
    fn handle(events: Vec<String>) -> Result<(), String> {
        Err(format!("{} texts", events.len()))
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
