//! The contract of `wit/` for components that lift events, as Rust items. Generated.

wit_bindgen::generate!({
    path: "../../wit",
    world: "upcaster-plugin",
    pub_export_macro: true,
    export_macro_name: "export_upcaster_component",
    default_bindings_module: "tidemill_sdk::upcaster_bindings",
    additional_derives: [PartialEq],
    with: { "tidemill:plugin/types@0.1.1": crate::bindings::tidemill::plugin::types },
});
