//! Wants the host's `config`, but as another function than the host offers.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({
        inline: r#"
            package tidemill:plugin@0.1.0;
            interface config { get: func(key: u32) -> u32; }
            interface subscriber { handle: func(events: list<string>) -> result<_, string>; }
            world guest { import config; export subscriber; }
        "#,
    });
}

/// The component.
pub struct Guest;

impl contract::exports::tidemill::plugin::subscriber::Guest for Guest {
    fn handle(_: Vec<String>) -> Result<(), String> {
        Err(contract::tidemill::plugin::config::get(1).to_string())
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
