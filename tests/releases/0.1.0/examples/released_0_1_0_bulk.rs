//! On the bulk lane of release 0.1.0.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({ path: "../../../wit/releases/0.1.0", world: "described-bulk-subscriber-plugin" });
}

guests_of_0_1_0::guest!(contract);

use contract::exports::tidemill::plugin::bulk_subscriber::{self, Head, Span};

impl bulk_subscriber::Guest for Guest {
    fn handle(heads: Vec<Head>, blob: Vec<u8>) -> Result<(), types::Failure> {
        let text = |span: Span| {
            let bytes = blob.get(span.start as usize..).and_then(|rest| rest.get(..span.length as usize));
            String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
        };
        let mut each = heads.iter().enumerate();
        each.try_for_each(|(index, head)| answer(index, head.position, &text(head.event_type)))
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
