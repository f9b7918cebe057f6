//! The contract of `wit/`, as Rust items. Generated; the rest of the crate is the API.

wit_bindgen::generate!({
    path: "../../wit",
    world: "bulk-subscriber-plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "tidemill_sdk::bindings",
    additional_derives: [PartialEq],
});

/// Sending commands.
pub mod dispatching {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "dispatch-import",
        additional_derives: [PartialEq],
        with: { "tidemill:plugin/types@0.1.1": crate::bindings::tidemill::plugin::types },
    });
}

/// What a projection exports beside.
pub mod projection {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "projection-export",
        pub_export_macro: true,
        export_macro_name: "export_projection",
        default_bindings_module: "tidemill_sdk::bindings::projection",
        additional_derives: [PartialEq],
    });
}
