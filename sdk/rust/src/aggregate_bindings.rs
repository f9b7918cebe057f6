//! The contract of `wit/` for components that decide commands, as Rust items. Generated.

wit_bindgen::generate!({
    path: "../../wit",
    world: "aggregate-plugin",
    pub_export_macro: true,
    export_macro_name: "export_aggregate_component",
    default_bindings_module: "tidemill_sdk::aggregate_bindings",
    additional_derives: [PartialEq],
    with: { "tidemill:plugin/types@0.1.1": crate::bindings::tidemill::plugin::types },
});
