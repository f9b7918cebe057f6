//! What does not fit between a component and this host, in the words of the WIT, and what to do about it.
//!
//! The same text stands in `plugins check`, in the registry's problems and in the log. Names are judged by the tables
//! of `contract`; shapes by the component's own WIT, which is read only when something was refused.

use std::collections::BTreeSet;

use wasmtime::component::Component;

use super::LoadError;
use super::contract::{
    DESCRIPTION, InterfaceName, OFFERED, PACKAGE, PACKAGE_VERSION, PROJECTION, UPCASTER, VALIDATOR, WASI_OFFERED,
    WASI_VERSION, compatible,
};
use super::wit::{Difference, Interface, Wit, differ};
use crate::nearest::nearest;

/// What to do about an import that the host does not offer.
pub(super) fn missing_import(name: &str) -> String {
    let Some(wanted) = InterfaceName::parse(name) else {
        return format!("it was built for another host: {}", there_is());
    };
    let contract: Vec<_> = OFFERED.iter().map(|offered| offered.interface).collect();
    if wanted.package == PACKAGE {
        if !compatible(wanted.version, PACKAGE_VERSION) {
            return other_version(wanted.version);
        }
        if later(wanted.version) {
            return newer(wanted.version);
        }
        return match nearest(wanted.interface, &contract) {
            Some(meant) => format!("did you mean {PACKAGE}/{meant}? {}", there_is()),
            None => there_is(),
        };
    }
    if wanted.package.starts_with("wasi:") {
        return wasi(wanted);
    }
    if contract.contains(&wanted.interface) {
        return format!("the contract's package is {PACKAGE}, so build it against {PACKAGE}/{}", wanted.interface);
    }
    format!("build it without, or put what it needs into it (`wac plug`); {}", there_is())
}

fn wasi(wanted: InterfaceName<'_>) -> String {
    if !compatible(wanted.version, WASI_VERSION) {
        return format!("the host has WASI {WASI_VERSION}: build it for wasm32-wasip2, or with tools of that version");
    }
    match nearest(&wanted.path(), WASI_OFFERED) {
        Some(meant) => format!("did you mean {meant}? {}", there_is()),
        None => there_is(),
    }
}

/// What there is to import, for people.
fn there_is() -> String {
    let with_functions = OFFERED.iter().filter(|offered| !offered.functions.is_empty());
    let interfaces: Vec<_> = with_functions
        .map(|offered| format!("{PACKAGE}/{}@{PACKAGE_VERSION} ({})", offered.interface, offered.functions.join(", ")))
        .collect();
    let interfaces = interfaces.join(", ");
    format!(
        "there is {interfaces}, and of WASI {WASI_VERSION} io, cli, clocks, random, an empty filesystem and, by grant, \
         http"
    )
}

fn other_version(version: &str) -> String {
    let version = if version.is_empty() { "no version" } else { version };
    format!(
        "it was built for {PACKAGE} of {version}, and the host has {PACKAGE}@{PACKAGE_VERSION}, another contract: {}, \
         or run a host of that contract",
        rebuild()
    )
}

fn newer(version: &str) -> String {
    format!(
        "it was built for {PACKAGE}@{version}, which is later than the host's {PACKAGE_VERSION}: use a later host, or \
         {}",
        rebuild()
    )
}

fn rebuild() -> String {
    format!("build it against {PACKAGE}@{PACKAGE_VERSION}, whose wit/ and SDK `tidemill new` writes")
}

/// Whether a version of this line is later than the host's.
fn later(version: &str) -> bool {
    let patch = |version: &str| version.rsplit('.').next().and_then(|patch| patch.parse::<u64>().ok());
    compatible(version, PACKAGE_VERSION) && patch(version) > patch(PACKAGE_VERSION)
}

/// What a component without a role may be instead, and what makes one. What lifts events, or holds commands against rules,
/// lies elsewhere, and what answers queries does so beside another role.
pub(super) fn no_role(exports: &[String]) -> String {
    let roles = roles();
    let makes_a_plugin = |role: &&String| ![PROJECTION, UPCASTER, VALIDATOR].contains(&role.as_str());
    let names: Vec<_> = roles.iter().filter(makes_a_plugin).map(|role| full(role)).collect();
    let elsewhere = [UPCASTER, VALIDATOR]
        .map(|role| format!("one for the folder `{role}s` of the plugins directory exports {}", full(role)));
    let makes = format!("a plugin exports {}; {}", names.join(" or "), elsewhere.join("; "));
    followed(&instead(exports, &roles), &makes)
}

/// The same of one that lies among those of one role, and has it not.
pub(super) fn not_among(role: &str, exports: &[String]) -> String {
    followed(&instead(exports, &roles()), &format!("what is among the {role}s exports {}", full(role)))
}

/// One text and the next, as a question or a statement ends.
fn followed(text: &str, next: &str) -> String {
    let mark = if text.ends_with('?') { "" } else { ";" };
    format!("{text}{mark} {next}")
}

/// The name of a role's interface, as this host has it.
fn full(role: &str) -> String {
    format!("{PACKAGE}/{role}@{PACKAGE_VERSION}")
}

/// What a component is, by what it exports.
fn instead(exports: &[String], roles: &BTreeSet<String>) -> String {
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    exports.iter().find_map(|export| told_by(export, &roles)).unwrap_or_else(|| match exports {
        [] => "was its export left out? In Rust that is `export!` in a crate of type `cdylib`; in C, Go, Python and \
               JavaScript it is what the template's plugin file does"
            .into(),
        _ => "it was built for another world".into(),
    })
}

/// What an export tells of its component, if it tells anything.
fn told_by(export: &str, roles: &[&str]) -> Option<String> {
    let name = InterfaceName::parse(export)?;
    match (name.package, name.interface) {
        (PACKAGE, _) if !compatible(name.version, PACKAGE_VERSION) => Some(other_version(name.version)),
        (PACKAGE, DESCRIPTION) => None,
        (PACKAGE, role) if roles.contains(&role) => Some(of_this_host(role)),
        // A typo is of a version that the host has.
        (PACKAGE, _) if later(name.version) => Some(newer(name.version)),
        (PACKAGE, other) => nearest(other, roles).map(|meant| format!("did you mean {meant}?")),
        ("wasi:cli", "run") => Some(
            "it is a command, a program with a `main`: a plugin is a library, in Rust a crate of type `cdylib` without \
             `main`"
                .into(),
        ),
        ("wasi:http", "incoming-handler" | "handler") => {
            Some("it answers HTTP requests (the world wasi:http/proxy), for a server of that world".into())
        }
        (package, role) if roles.contains(&role) => {
            Some(format!("its {role} is that of the package {package}, and the contract's package is {PACKAGE}"))
        }
        _ => None,
    }
}

/// Where a component belongs that has a role of this host, and not the one that is asked for.
fn of_this_host(role: &str) -> String {
    match role {
        PROJECTION => {
            "it answers queries, and handles no events whose state it could tell of: export a subscriber, too".into()
        }
        UPCASTER | VALIDATOR => format!("it is for the folder `{role}s` of the plugins directory"),
        _ => format!("it is a plugin, by its {role}: give it a folder of its own in the plugins directory"),
    }
}

/// The interfaces that components export for the host: what the contract's worlds export, but for the introduction.
fn roles() -> BTreeSet<String> {
    let mut roles = Wit::contract().map(Wit::exported).unwrap_or_default();
    roles.remove(DESCRIPTION);
    roles
}

/// Puts an error in the words of the component's WIT, if it says more there.
pub(super) fn explain(engine: &wasmtime::Engine, component: &Component, error: LoadError) -> LoadError {
    let Some(contract) = Wit::contract() else { return error };
    let built = || Wit::of_component(engine, component);
    match error {
        LoadError::MissingFunction { interface, function, advice } => {
            let said = missing_function(&built(), contract, &interface, &function);
            LoadError::MissingFunction { interface, function, advice: said.unwrap_or(advice) }
        }
        LoadError::MismatchedImport { reason } => {
            let built = built();
            let said = OFFERED.iter().find_map(|offered| first_difference(&built, contract, offered.interface));
            LoadError::MismatchedImport { reason: said.unwrap_or(reason) }
        }
        LoadError::MismatchedExport { export, reason } => {
            let built = built();
            let said = InterfaceName::parse(&export).and_then(|InterfaceName { interface, .. }| {
                let missing = missing_export(built.interfaces.get(interface)?, contract.interfaces.get(interface)?);
                missing.or_else(|| first_difference(&built, contract, interface))
            });
            LoadError::MismatchedExport { export, reason: said.unwrap_or(reason) }
        }
        other => other,
    }
}

/// The first function of an interface that both have, and in different shapes.
fn first_difference(built: &Wit, contract: &Wit, interface: &str) -> Option<String> {
    let (built, contract) = (built.interfaces.get(interface)?, contract.interfaces.get(interface)?);
    built.functions.iter().find_map(|(name, function)| {
        let Difference { has, wanted } = differ(name, function, contract.functions.get(name)?)?;
        Some(format!("for function `{name}` of {interface} it has `{has}`, and the contract `{wanted}`"))
    })
}

/// The first function that the host would call and that is not there.
fn missing_export(built: &Interface, contract: &Interface) -> Option<String> {
    let known = built.names();
    let (name, function) = contract.functions.iter().find(|(name, _)| !known.contains(&name.as_str()))?;
    let instead = match nearest(name, &known) {
        Some(meant) => format!("it has `{meant}`: is that a slip?"),
        None => "add it".into(),
    };
    Some(format!("it has no function `{name}`, which is `{}`; {instead}", function.text(name)))
}

/// A function that the host does not have: what the component takes it for, and what there is instead.
fn missing_function(built: &Wit, contract: &Wit, interface: &str, function: &str) -> Option<String> {
    let name = InterfaceName::parse(interface)?;
    let wanted = built.interfaces.get(name.interface)?.text(function)?;
    if later(name.version) {
        return Some(format!("as `{wanted}`; {}", newer(name.version)));
    }
    let host = contract.interfaces.get(name.interface)?;
    let known = host.names();
    let meant = nearest(function, &known).and_then(|meant| host.text(meant));
    let meant = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
    let there = OFFERED.iter().find(|offered| offered.interface == name.interface)?.functions.join(", ");
    Some(format!("as `{wanted}`; {meant}there is {there}: {}", rebuild()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{compile, engine};

    fn exporting(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The host's version, but for its patch.
    fn of_line(patch: &str) -> String {
        let (line, _) = PACKAGE_VERSION.rsplit_once('.').unwrap();
        format!("{line}.{patch}")
    }

    #[test]
    fn a_later_role_asks_for_a_later_host() {
        let late = of_line("99");
        let (description, saga) = (format!("{PACKAGE}/description@{late}"), format!("{PACKAGE}/saga@{late}"));
        let said = no_role(&exporting(&[&description, &saga]));
        assert!(
            said.contains(&format!("{PACKAGE}@{late}, which is later")) && said.contains("use a later host"),
            "{said}"
        );
        // However near its name comes to one that is known.
        let said = no_role(&exporting(&[&format!("{PACKAGE}/subscribes@{late}")]));
        assert!(said.contains("use a later host") && !said.contains("did you mean"), "{said}");
        let said = no_role(&exporting(&[&format!("{PACKAGE}/subscribr@{PACKAGE_VERSION}")]));
        assert!(said.contains("did you mean subscriber?"), "{said}");
    }

    #[test]
    fn another_contract_is_named_whatever_is_exported_and_wherever_it_lies() {
        for role in ["saga", "subscriber", UPCASTER, VALIDATOR] {
            let other = exporting(&[&format!("{PACKAGE}/{role}@77.0.0")]);
            for said in [no_role(&other), not_among(UPCASTER, &other), not_among(VALIDATOR, &other)] {
                assert!(said.contains("of 77.0.0") && said.contains("another contract"), "{role}: {said}");
            }
        }
    }

    #[test]
    fn what_lies_in_the_wrong_folder_is_told_the_right_one() {
        let of = |role: &str| exporting(&[&full(role)]);
        let said = not_among(UPCASTER, &of(VALIDATOR));
        assert!(said.contains("the folder `validators`") && said.ends_with(&full(UPCASTER)), "{said}");
        assert!(not_among(VALIDATOR, &of("bulk-subscriber")).contains("a folder of its own"));
        assert!(no_role(&of(PROJECTION)).contains("export a subscriber"));
    }

    #[test]
    fn all_that_a_component_may_export_is_told_with_its_folder() {
        for exports in [Vec::new(), exporting(&[&format!("{PACKAGE}/upcastr@{PACKAGE_VERSION}")])] {
            let said = no_role(&exports);
            assert!(said.contains(&format!("a plugin exports {}", full("aggregate"))), "{said}");
            for role in [UPCASTER, VALIDATOR] {
                let place = format!("the folder `{role}s` of the plugins directory exports {}", full(role));
                assert!(said.contains(&place), "{said}");
            }
        }
        for role in [UPCASTER, VALIDATOR] {
            let slip = exporting(&[&format!("{PACKAGE}/{role}r@{PACKAGE_VERSION}")]);
            let meant = format!("did you mean {role}? a plugin exports");
            assert!(no_role(&slip).starts_with(&meant), "{}", no_role(&slip));
            let meant = format!("did you mean {role}? what is among");
            assert!(not_among(role, &slip).starts_with(&meant), "{}", not_among(role, &slip));
        }
    }

    /// What is told of a component with some functions of an aggregate, of which one has another type.
    fn told_of_aggregate(schema: &str, more: &str) -> Option<String> {
        let core = if more.is_empty() { "" } else { " i32" };
        let text = format!(
            r#"(component
          (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "make") (param i32 i32) (result i32) (i32.const 0))
            (func (export "schema") (result i32) (i32.const 0))
            (func (export "snapshot") (param i32{core}) (result i32) (i32.const 0)))
          (core instance $i (instantiate $m))
          (alias core export $i "memory" (core memory $memory))
          (alias core export $i "realloc" (core func $realloc))
          (type $own (resource (rep i32)))
          (func $make (param "id" string) (result (own $own))
            (canon lift (core func $i "make") (memory $memory) (realloc $realloc)))
          (func $schema (result {schema}) (canon lift (core func $i "schema")))
          (func $snapshot (param "self" (borrow $own)){more} (result (option (list u8)))
            (canon lift (core func $i "snapshot") (memory $memory) (realloc $realloc)))
          (component $named
            (import "own" (type $own (sub resource)))
            (import "make" (func $make (param "id" string) (result (own $own))))
            (import "schema" (func $schema (result {schema})))
            (import "snapshot" (func $snapshot (param "self" (borrow $own)){more} (result (option (list u8)))))
            (export $aggregate "aggregate" (type $own))
            (export "[constructor]aggregate" (func $make) (func (param "id" string) (result (own $aggregate))))
            (export "[method]aggregate.snapshot" (func $snapshot)
              (func (param "self" (borrow $aggregate)){more} (result (option (list u8)))))
            (export "snapshot-schema" (func $schema)))
          (instance $named (instantiate $named (with "own" (type $own)) (with "make" (func $make))
            (with "schema" (func $schema)) (with "snapshot" (func $snapshot))))
          (export "tidemill:plugin/aggregate@0.1.0" (instance $named)))"#
        );
        let engine = wasmtime::Engine::new(&engine::config()).unwrap();
        let component = compile::compile(&engine, &wat::parse_str(text).unwrap()).unwrap();
        first_difference(&Wit::of_component(&engine, &component), Wit::contract().unwrap(), "aggregate")
    }

    #[test]
    fn of_an_aggregate_the_function_with_another_type_is_told() {
        assert_eq!(told_of_aggregate("u32", ""), None);
        let said = told_of_aggregate("s32", "").unwrap();
        assert!(said.starts_with("for function `snapshot-schema` of aggregate it has"), "{said}");
        assert!(said.contains("func() -> s32`, and the contract `snapshot-schema: func() -> u32`"), "{said}");
        let said = told_of_aggregate("u32", r#" (param "more" bool)"#).unwrap();
        assert!(said.contains("`[method]aggregate.snapshot: func(self: borrow<aggregate>, more: bool)"), "{said}");
        assert!(said.contains("and the contract `[method]aggregate.snapshot: func(self: borrow<aggregate>)"), "{said}");
    }
}
