//! The contract of `wit/` for components that hold commands against rules, as Rust items. Generated.

wit_bindgen::generate!({
    path: "../../wit",
    world: "validator-plugin",
    pub_export_macro: true,
    export_macro_name: "export_validator_component",
    default_bindings_module: "tidemill_sdk::validator_bindings",
    additional_derives: [PartialEq],
    with: {
        "tidemill:plugin/types@0.1.1": crate::bindings::tidemill::plugin::types,
        "tidemill:plugin/config@0.1.1": crate::bindings::tidemill::plugin::config,
    },
});
