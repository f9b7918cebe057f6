//! On the bulk lane of release 0.1.1, with queries and commands.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({
        path: "../../../wit/releases/0.1.1",
        inline: "
            package guest:released;
            world released {
                include tidemill:plugin/described-bulk-projection-plugin@0.1.1;
                include tidemill:plugin/dispatch-import@0.1.1;
            }
        ",
        world: "guest:released/released",
        generate_all,
    });
}

guests_of_0_1_1::guest!(contract);

use contract::exports::tidemill::plugin::bulk_subscriber::{self, Head, Span};

impl bulk_subscriber::Guest for Guest {
    fn handle(heads: Vec<Head>, blob: Vec<u8>) -> Result<(), types::Failure> {
        let text = |span: Span| {
            let bytes = blob.get(span.start as usize..).and_then(|rest| rest.get(..span.length as usize));
            String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
        };
        let mut each = heads.iter().enumerate();
        each.try_for_each(|(index, head)| answer(index, (head.position, &text(head.event_type), head.schema_version)))
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Guest with_types_in contract);
