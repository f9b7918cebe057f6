//! Wants something that no host offers: `test:guests/teleport`.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({
        inline: r#"
            package test:guests;
            interface teleport { beam: func(to: string); }
            world guest { include tidemill:plugin/subscriber-plugin@0.1.1; import teleport; }
        "#,
        path: "../../wit",
        world: "test:guests/guest",
        generate_all,
    });
}

use contract::exports::tidemill::plugin::subscriber::{Event, Failure};

/// The component.
pub struct Guest;

impl contract::exports::tidemill::plugin::subscriber::Guest for Guest {
    fn handle(events: Vec<Event>) -> Result<(), Failure> {
        contract::test::guests::teleport::beam(&events.len().to_string());
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
