//! What an author is told of a component that does not fit: in the words of the WIT, with what to do.

use super::fixtures::{Guest, TYPES, engine};
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::runtime::contract::PACKAGE_VERSION;
use crate::runtime::lane::Lane;
use crate::runtime::{InstanceOptions, Limits, LoadError, LoadOptions};

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

/// A component of these types and functions, lifted from `$i` by `$memory` and `$realloc`, which exports one interface.
fn of_interface(interface: &str, functions: &str) -> String {
    format!(
        r#"(component {TYPES}
          (alias export $types "payload" (type $payload))
          (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "lifts") (result i32) (i32.const 2048))
            (func (export "upcast") (param i32) (result i32) (i32.const 2048))
            (func (export "validate") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i32)
              (i32.const 2048)))
          (core instance $i (instantiate $m))
          (alias core export $i "memory" (core memory $memory))
          (alias core export $i "realloc" (core func $realloc))
          {functions}
          (export "tidemill:plugin/{interface}@0.1.0" (instance $it)))"#
    )
}

fn upcaster() -> String {
    let functions = r#"
          (type $target' (record (field "event-type" string) (field "schema-version" u32)))
          (import "target" (type $target (eq $target')))
          (type $lift' (record (field "event-type" string) (field "from-version" u32) (field "into" (list $target))))
          (import "lift" (type $lift (eq $lift')))
          (type $upcasted' (record
            (field "event-type" string) (field "payload" $payload) (field "content-type" (option string))))
          (import "upcasted" (type $upcasted (eq $upcasted')))
          (func $lifts (result (list $lift)) (canon lift (core func $i "lifts") (memory $memory) (realloc $realloc)))
          (func $upcast (param "event" $event) (result (result (list $upcasted) (error string)))
            (canon lift (core func $i "upcast") (memory $memory) (realloc $realloc)))
          (instance $it (export "lifts" (func $lifts)) (export "upcast" (func $upcast)))"#;
    of_interface("upcaster", functions)
}

fn validator() -> String {
    let functions = r#"
          (type $command' (record
            (field "id" string) (field "aggregate" string) (field "key" string) (field "command-type" string)
            (field "data" $payload) (field "metadata" (list (tuple string string))) (field "timestamp-us" u64)))
          (import "checked-command" (type $command (eq $command')))
          (type $error' (record (field "path" string) (field "code" string) (field "message" string)))
          (import "field-error" (type $error (eq $error')))
          (func $validate (param "command" $command) (result (result (error (list $error))))
            (canon lift (core func $i "validate") (memory $memory) (realloc $realloc)))
          (instance $it (export "validate" (func $validate)))"#;
    of_interface("validator", functions)
}

/// What is told of a component in which one text is another; nothing when it is loaded.
fn edited(text: &str, (from, to): (&str, &str), load: impl Fn(&[u8]) -> Result<(), LoadError>) -> Option<String> {
    assert!(text.contains(from), "{from}");
    load(&wat::parse_str(text.replace(from, to)).unwrap()).err().map(|error| error.to_string())
}

#[test]
fn a_type_of_an_upcaster_that_differs_is_shown_as_both_have_it() {
    let told = |edit| edited(&upcaster(), edit, |bytes| engine().load_upcaster(bytes).map(drop));
    assert_eq!(told(("", "")), None);
    // The component exports no names for its types.
    let of_target = |name, version| format!("record {name} {{ event-type: string, schema-version: {version} }}");
    let cases = [
        (
            (r#"(param "event" $event)"#, r#"(param "event" $event) (param "n" u32)"#),
            [
                "`upcast: func(event: event, n: u32)".to_owned(),
                "the contract `upcast: func(event: event) ->".to_owned(),
            ],
        ),
        (
            (r#"(result (result (list $upcasted) (error string)))"#, "(result (list $upcasted))"),
            ["-> list<record _ { event-type".to_owned(), "-> result<list<upcasted>, string>`".to_owned()],
        ),
        (
            (r#""schema-version" u32)))"#, r#""schema-version" u64)))"#),
            [of_target("_", "u64"), of_target("target", "u32")],
        ),
        (
            (r#"(export "lifts" (func $lifts))"#, ""),
            ["no function `lifts`".to_owned(), "`lifts: func() -> list<lift>`; add it".to_owned()],
        ),
    ];
    for (edit, parts) in cases {
        let said = told(edit).unwrap();
        holds(&said, &["tidemill:plugin/upcaster@0.1.0", &parts[0], &parts[1]]);
    }
}

#[test]
fn a_type_of_a_validator_that_differs_is_shown_as_both_have_it() {
    let options = || InstanceOptions::new(PluginName::from_stored("checks"), Limits::default());
    let told = |edit| edited(&validator(), edit, |bytes| engine().load_validator(bytes, options()).map(drop));
    assert_eq!(told(("", "")), None);
    let config = r#"(component (import "tidemill:plugin/config@0.1.0" (instance
        (export "get" (func (param "key" u32)))))"#;
    let cases = [
        (
            (r#""message" string"#, r#""text" string"#),
            ["code: string, text: string }`", "code: string, message: string }`"],
        ),
        (
            (r#"(export "validate" (func $validate))"#, r#"(export "validates" (func $validate))"#),
            ["no function `validate`", "it has `validates`: is that a slip?"],
        ),
        (("(component", config), ["of config", "`get: func(key: string) -> option<string>`"]),
    ];
    for (edit, parts) in cases {
        holds(&told(edit).unwrap(), &parts);
    }
}

#[test]
fn a_function_that_the_host_would_call_is_asked_for() {
    let said = exporting("tidemill:plugin/subscriber@0.1.0").replace("handle", "_");
    assert!(said.contains("another type"), "{said}");
    let said = told(&OK.text().replace(r#"(export "handle" (func $handle))"#, r#"(export "handel" (func $handle))"#));
    holds(&said, &["no function `handle`", "`handle: func(events: list<event>)", "it has `handel`: is that a slip?"]);
}

#[test]
fn what_is_made_of_handles_is_looked_at_too() {
    let said = told(
        r#"(component
        (import "tidemill:plugin/state@0.1.0" (instance (export "gets" (func (param "key" string) (result bool)))))
        (core module $m (func (export "use") (param i32 i32)))
        (core instance $i (instantiate $m))
        (type $own (resource (rep i32)))
        (type $b (record (field "x" (own $own)) (field "y" u16)))
        (func $use (param "b" $b) (canon lift (core func $i "use")))
        (component $named
          (import "own" (type $own (sub resource)))
          (type $b' (record (field "x" (own $own)) (field "y" u16)))
          (import "b" (type $b (eq $b')))
          (import "use" (func $use (param "b" $b)))
          (export $thing "thing" (type $own))
          (type $a' (record (field "x" (own $thing)) (field "y" u8)))
          (export "a" (type $a'))
          (type $c' (record (field "x" (own $thing)) (field "y" u16)))
          (export $c "c" (type $c'))
          (export "use" (func $use) (func (param "b" $c))))
        (instance $named (instantiate $named (with "own" (type $own)) (with "b" (type $b)) (with "use" (func $use))))
        (export "tidemill:plugin/subscriber@0.1.0" (instance $named)))"#,
    );
    holds(&said, &["`gets: func(key: string) -> bool`", "did you mean `get:"]);
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
