//! What an author is told of a component that does not fit: in the words of the WIT, with what to do.

use super::fixtures::{Guest, engine};
use crate::error::ErrorClass;
use crate::runtime::contract::PACKAGE_VERSION;
use crate::runtime::lane::Lane;
use crate::runtime::{LoadError, LoadOptions};

const OK: Guest = Guest::new("(i32.const 0)");

fn told(text: &str) -> String {
    let error = engine().load(&wat::parse_str(text).unwrap()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

fn holds(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// A component that only imports something.
fn importing(import: &str) -> String {
    told(&format!("(component (import {import}))"))
}

/// A component that only exports a function of an interface.
fn exporting(interface: &str) -> String {
    told(&format!(
        r#"(component
          (core module $m (func (export "f"))) (core instance $i (instantiate $m))
          (func $f (canon lift (core func $i "f")))
          (instance $s (export "handle" (func $f)))
          (export "{interface}" (instance $s)))"#
    ))
}

#[test]
fn a_slip_in_the_name_of_an_import_is_met_with_the_nearest() {
    holds(
        &importing(r#""tidemill:plugin/stat@0.1.0" (instance)"#),
        &["did you mean tidemill:plugin/state?", "there is"],
    );
    holds(&importing(r#""wasi:cli/stdot@0.2.3" (instance)"#), &["did you mean wasi:cli/stdout?"]);
    holds(&importing(r#""wasi:cli/stdout@0.3.0" (instance)"#), &["WASI 0.2", "wasm32-wasip2"]);
    holds(&importing(r#""acme:plugin/state@1.0.0" (instance)"#), &["package is tidemill:plugin"]);
    holds(&importing(r#""tidemill:plugin/timers@0.1.99" (instance)"#), &["later than the host's", "a later host"]);
}

#[test]
fn a_function_that_is_not_there_is_shown_as_the_component_takes_it() {
    let wanted = |name: &str| {
        format!(
            r#""tidemill:plugin/state@0.1.0" (instance (export "{name}" (func (param "key" string) (result bool))))"#
        )
    };
    holds(
        &importing(&wanted("gets")),
        &[
            "`gets: func(key: string) -> bool`",
            "did you mean `get: func(key: string) -> result<option<list<u8>>, host-error>`?",
        ],
    );
    holds(&importing(&wanted("increment")), &["there is get, set, delete, scan", PACKAGE_VERSION, "`tidemill new`"]);
}

#[test]
fn a_type_that_differs_is_shown_as_both_have_it() {
    let said = told(&OK.on(Lane::Bulk).text().replace("\"traits\" u32", "\"traits\" u64"));
    holds(&said, &["for function `handle` of bulk-subscriber", "traits: u64", "and the contract `record head {"]);
    let said = told(&OK.text().replace(r#"(case "stop")"#, r#"(case "halt")"#));
    let (has, wanted) = ("variant verdict { retry(option<u64>), reject, halt, ", "reject, stop, other(string) }");
    holds(&said, &["export tidemill:plugin/subscriber@0.1.0", has, wanted]);
    let imports = r#"(import "tidemill:plugin/config@0.1.0" (instance (export "get" (func (param "key" u32)))))"#;
    let (has, wanted) = ("`get: func(key: u32)`", "`get: func(key: string) -> option<string>`");
    holds(&told(&Guest { imports, ..OK }.text()), &["of config", has, wanted]);
}

#[test]
fn a_function_that_the_host_would_call_is_asked_for() {
    let said = exporting("tidemill:plugin/subscriber@0.1.0").replace("handle", "_");
    assert!(said.contains("another type"), "{said}");
    let said = told(&OK.text().replace(r#"(export "handle" (func $handle))"#, r#"(export "handel" (func $handle))"#));
    holds(&said, &["no function `handle`", "`handle: func(events: list<event>)", "it has `handel`: is that a slip?"]);
}

#[test]
fn a_component_for_another_world_is_told_what_it_is() {
    holds(&exporting("wasi:cli/run@0.2.3"), &["a command", "`cdylib`"]);
    holds(&exporting("wasi:http/incoming-handler@0.2.0"), &["wasi:http/proxy"]);
    holds(&exporting("acme:plugin/subscriber@0.1.0"), &["that of the package acme:plugin"]);
    holds(
        &exporting("tidemill:plugin/subscriber@1.0.0"),
        &["of 1.0.0", "another contract", "run a host of that contract"],
    );
    holds(&exporting("tidemill:plugin/subscribe@0.1.0"), &["did you mean subscriber?"]);
    holds(&exporting("acme:own/thing@0.1.0"), &["built for another world", "bulk-subscriber@"]);
}

#[test]
fn what_is_unstable_and_not_there_is_told_so_at_once() {
    let wat = r#"(component (import "tidemill:plugin/unstable-timers@0.1.0" (instance)))"#;
    let bytes = wat::parse_str(wat).unwrap();
    let error = engine().load(&bytes).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    holds(
        &error.to_string(),
        &["it uses unstable-timers", "this host does not have", "there is no unstable interface"],
    );
    let options = LoadOptions { unstable: vec!["unstable-timers".into()], ..LoadOptions::default() };
    let error = engine().load_with(&bytes, &options).unwrap_err();
    assert!(matches!(error, LoadError::MissingImport { .. }), "allowed, and not there: {error}");
}
