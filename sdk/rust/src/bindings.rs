//! The contract of `wit/`, as Rust items. Generated; the rest of the crate is the API.

wit_bindgen::generate!({
    path: "../../wit",
    world: "bulk-subscriber-plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "tidemill_sdk::bindings",
    additional_derives: [PartialEq],
});

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
