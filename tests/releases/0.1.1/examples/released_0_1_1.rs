//! On the plain lane of release 0.1.1, with queries and commands.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({
        path: "../../../wit/releases/0.1.1",
        world: "described-dispatching-projection-plugin",
    });
}

guests_of_0_1_1::guest!(contract);

impl contract::exports::tidemill::plugin::subscriber::Guest for Guest {
    fn handle(events: Vec<types::Event>) -> Result<(), types::Failure> {
        let mut each = events.iter().enumerate();
        each.try_for_each(|(index, event)| answer(index, (event.position, &event.event_type, event.schema_version)))
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
