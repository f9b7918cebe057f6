//! The example plugins: compiled components with their manifests, embedded.
//!
//! Each folder beside this one is one plugin: manifest, source, and a README that says what it proves.
//! This crate only carries them, for `tidemill demo` and for tests; it knows nothing of the host.

/// A plugin to install: everything that its folder needs.
#[derive(Clone, Copy)]
pub struct Example {
    /// The name to install it under.
    pub name: &'static str,
    /// The component's bytes, for `plugin.wasm`.
    pub component: &'static [u8],
    /// The manifest's text, for `plugin.toml`.
    pub manifest: &'static str,
}

pub mod components {
    //! The components alone, as built.
    include!(concat!(env!("OUT_DIR"), "/components.rs"));
}

macro_rules! examples {
    ($(#[$all:meta])* $list:ident: $($(#[$doc:meta])* $constant:ident = $folder:literal;)*) => {
        $($(#[$doc])*
        pub const $constant: Example = Example {
            name: $folder,
            component: components::$constant,
            manifest: include_str!(concat!("../", $folder, "/plugin.toml")),
        };)*

        $(#[$all])*
        pub const $list: &[Example] = &[$($constant),*];
    };
}

examples! {
    /// Every plugin that handles events, each under a name of its own.
    ALL:
    /// Counts events by type: the smallest plugin.
    COUNTER = "counter";
    /// The shop's numbers: a projection.
    DASHBOARD = "dashboard";
    /// The history of a git repository, in counts.
    GIT_HISTORY = "git-history";
    /// Composes messages to customers; version 1, with the bug that the demo shows.
    NOTIFICATION = "notification";
    /// Totals per customer, and who becomes a VIP.
    ORDER_TOTALS = "order-totals";
}

examples! {
    /// Every plugin that decides commands.
    DECIDERS:
    /// Accounts: the smallest one.
    ACCOUNT = "account";
    /// Orders.
    ORDERS = "orders";
    /// Payments of orders.
    PAYMENT = "payment";
    /// The stock of products.
    STOCK = "stock";
}

/// Version 2 of [`NOTIFICATION`], without the bug.
pub const NOTIFICATION_V2: Example = Example { component: components::NOTIFICATION_V2, ..NOTIFICATION };

/// The plugins that make up the shop.
pub const SHOP: &[Example] = &[ORDERS, STOCK, PAYMENT, NOTIFICATION, DASHBOARD];

impl std::fmt::Debug for Example {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Example").field("name", &self.name).field("bytes", &self.component.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_is_used() {
        let used: Vec<_> =
            ALL.iter().chain(DECIDERS).chain([&NOTIFICATION_V2]).map(|example| example.component.as_ptr()).collect();
        for (name, component) in components::ALL {
            assert!(used.contains(&component.as_ptr()), "{name} is built but not offered");
        }
        assert_eq!(used.len(), components::ALL.len());
    }

    #[test]
    fn what_decides_imports_nothing_by_which_it_could_act() {
        for example in DECIDERS {
            let has = |text: &str| example.component.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(has("tidemill:plugin/aggregate@0.1.1") && has("tidemill:plugin/description@0.1.1"));
            for name in ["tidemill:plugin/state", "tidemill:plugin/append", "tidemill:plugin/log", "wasi:http"] {
                assert!(!has(name), "{example:?} imports {name}");
            }
        }
    }

    #[test]
    fn every_component_plays_the_subscriber_and_describes_itself() {
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for example in ALL.iter().chain([&NOTIFICATION_V2]) {
            // A component's preamble: magic, then version 13 at layer 1. A core module has version 1 at layer 0.
            assert!(example.component.starts_with(b"\0asm\x0d\0\x01\0"), "{example:?} is no component");
            for name in ["tidemill:plugin/bulk-subscriber@0.1.1", "tidemill:plugin/description@0.1.1"] {
                assert!(has(example.component, name), "{example:?} does not export {name}");
            }
            assert!(!has(example.component, "wasi:sockets"), "{example:?} asks for sockets");
        }
    }
}
