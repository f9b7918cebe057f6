//! The contract of `wit/` for components that introduce themselves, as Rust items: by itself, as it goes with each role.
//! Generated.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "package tidemill:sdk; world describing { export tidemill:plugin/description@0.1.1; }",
    world: "tidemill:sdk/describing",
    pub_export_macro: true,
    export_macro_name: "export_description",
    default_bindings_module: "tidemill_sdk::description_bindings",
    additional_derives: [PartialEq],
});
