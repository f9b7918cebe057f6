//! Interfaces in the words of WIT: those of the contract, and those that a component was built with.
//!
//! For people, after a refusal: loading a component that fits needs none of this. It owns reading the contract's
//! texts, putting a component's types in the same form, printing them on one line, and telling where two differ.
//! What the difference means to an author is said in `mismatch`.

mod built;
mod shape;
mod text;

#[cfg(test)]
mod releases;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub(super) use shape::{Difference, Function, differ};

use shape::Shape;

/// The contract, as this host was built with it; none if it did not read, which a test excludes.
static CONTRACT: LazyLock<Option<Wit>> = LazyLock::new(|| Wit::parse(tidemill_templates::wit()).ok());

/// Interfaces of the contract's package, and the worlds they are used in.
#[derive(Debug, Default)]
pub(super) struct Wit {
    /// By name.
    pub(super) interfaces: BTreeMap<String, Interface>,
    /// By name. Of a component there is none.
    worlds: BTreeMap<String, World>,
    /// The package's version; empty where there is none.
    version: String,
}

/// What an interface has.
#[derive(Debug, Default)]
pub(super) struct Interface {
    /// By name.
    pub(super) functions: BTreeMap<String, Function>,
    /// By name; what it uses of others is among them.
    #[cfg_attr(not(test), expect(dead_code, reason = "releases are compared by it"))]
    types: BTreeMap<String, Shape>,
}

/// The names of what a world uses and offers.
#[derive(Debug, Default)]
struct World {
    #[cfg_attr(not(test), expect(dead_code, reason = "releases are compared by it"))]
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Wit {
    /// What the host has.
    pub(super) fn contract() -> Option<&'static Self> {
        CONTRACT.as_ref()
    }

    /// The names of all that its worlds export.
    pub(super) fn exported(&self) -> BTreeSet<String> {
        self.worlds.values().flat_map(|world| &world.exports).cloned().collect()
    }
}

impl Interface {
    /// A function as WIT; none if there is no such function.
    pub(super) fn text(&self, function: &str) -> Option<String> {
        Some(self.functions.get(function)?.text(function))
    }

    /// The names of its functions.
    pub(super) fn names(&self) -> Vec<&str> {
        self.functions.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_reads_and_prints_as_it_is_written() {
        let contract = Wit::contract().unwrap();
        assert_eq!(
            contract.interfaces["state"].text("scan").unwrap(),
            "scan: func(prefix: string, after: option<string>, limit: u32) -> result<page, host-error>"
        );
        let text = |interface: &str, name: &str| contract.interfaces[interface].types[name].definition();
        assert_eq!(text("types", "event-id"), "record event-id { high: u64, low: u64 }");
        assert_eq!(text("types", "verdict"), "variant verdict { retry(option<u64>), reject, stop, other(string) }");
        assert_eq!(text("log", "level"), "enum level { trace, debug, info, warn, error }");
        assert!(contract.exported().contains("bulk-subscriber"), "{:?}", contract.exported());
    }
}
