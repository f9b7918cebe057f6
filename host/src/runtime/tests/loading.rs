//! What is not loaded, and what its author is told.

use std::fs;

use super::fixtures::{Guest, call, engine, subscriber};
use crate::delivery::Fault;
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::runtime::contract::PACKAGE_VERSION;
use crate::runtime::lane::Lane;
use crate::runtime::{
    Anatomy, Description, Engine, EngineOptions, InstanceOptions, Limits, LoadError, LoadOptions, LoadedComponent, Role,
};

const OK: Guest = Guest::new("(i32.const 0)");

fn load(text: &str) -> Result<LoadedComponent, LoadError> {
    engine().load(&wat::parse_str(text).unwrap())
}

/// The error's text, after a check that it holds all of `parts`.
fn refused(text: &str, parts: &[&str]) -> LoadError {
    let error = load(text).unwrap_err();
    let said = error.to_string();
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(!said.contains('\n'), "{said}");
    error
}

#[test]
fn a_subscriber_is_known_by_its_export() {
    for lane in Lane::ALL {
        let loaded = engine().load(&OK.on(lane).bytes()).unwrap();
        assert_eq!((loaded.roles(), loaded.description()), (&[Role::Subscriber][..], None));
        assert_eq!(loaded.digest().len(), 64);
    }
}

#[test]
fn a_component_outlives_its_engine() {
    let loaded = engine().load(&Guest::new("(loop $l (br $l)) unreachable").bytes()).unwrap();
    let mut handler = subscriber(&loaded, Limits { batch_time_ms: 20, ..Limits::default() });
    drop(loaded);
    assert!(format!("{:?}", call(&mut *handler, 1, 1).outcome).contains("Deadline"), "the ticker still runs");
}

#[test]
fn files_that_are_no_component_are_told_apart() {
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(engine().load(&core).unwrap_err(), LoadError::CoreModule);
    assert!(matches!(engine().load(b"(component)"), Err(LoadError::NotWasm { .. })), "text is not taken");
    let bytes = OK.bytes();
    let truncated = engine().load(&bytes[..bytes.len() / 2]).unwrap_err();
    assert!(matches!(truncated, LoadError::Invalid { .. }), "{truncated}");
    assert!(truncated.to_string().contains("cut short"), "{truncated}");
}

#[test]
fn a_file_that_does_not_read_is_told_of_in_the_words_of_a_look_at_it() {
    let (engine, bytes) = (engine(), OK.bytes());
    let options = || InstanceOptions::new(PluginName::from_stored("checks"), Limits::default());
    let mut unread = 0;
    for length in (8..bytes.len()).step_by(7) {
        let cut = &bytes[..length];
        // Between two sections it reads, and is refused for what is not there.
        let Err(told) = Anatomy::of(cut) else { continue };
        assert_eq!(engine.load(cut).err().as_ref(), Some(&told), "the first {length} bytes");
        assert_eq!(engine.load_upcaster(cut).err().as_ref(), Some(&told), "the first {length} bytes");
        assert_eq!(engine.load_validator(cut, options()).err(), Some(told), "the first {length} bytes");
        unread += 1;
    }
    assert!(unread > 0, "every part reads");
}

#[test]
fn a_component_that_is_cut_short_anywhere_is_refused() {
    let (engine, bytes) = (engine(), OK.bytes());
    let name = b"tidemill:plugin/subscriber@0.1.0";
    // What follows the export is only names for debugging, and can be cut off.
    let export = bytes.windows(name.len()).rposition(|window| window == name).unwrap();
    for length in (0..export).step_by(3) {
        assert!(engine.load(&bytes[..length]).is_err(), "the first {length} bytes");
    }
}

#[test]
fn a_missing_import_is_named_with_what_there_is() {
    let error = refused(
        r#"(component (import "acme:kv/store@1.0.0" (instance (export "get" (func)))))"#,
        &[
            "acme:kv/store@1.0.0",
            "wac plug",
            &format!("tidemill:plugin/state@{PACKAGE_VERSION} (get, set, delete, scan)"),
        ],
    );
    assert_eq!(error.class(), ErrorClass::Invalid);
    refused(
        r#"(component (import "tidemill:plugin/state@0.2.0" (instance)))"#,
        &["state@0.2.0", PACKAGE_VERSION, "another contract"],
    );
    refused(
        r#"(component (import "tidemill:plugin/state@0.1.0" (instance (export "rename" (func)))))"#,
        &["\"rename\"", "tidemill:plugin/state@0.1.0", "get, set, delete, scan"],
    );
    refused(r#"(component (import "host-call" (func)))"#, &["host-call"]);
}

#[test]
fn two_roles_of_which_one_is_played_are_both_named_whoever_loads_it() {
    let exporting = |roles: &[String; 2]| {
        let [one, other] = roles;
        let exports = format!(r#"(export "{other}" (instance $it)) (export "{one}" (instance $it))"#);
        wat::parse_str(format!("(component (instance $it) {exports})")).unwrap()
    };
    let named = |role| format!("tidemill:plugin/{role}@0.1.0");
    for roles in [
        ["upcaster", "subscriber"],
        ["upcaster", "aggregate"],
        ["upcaster", "validator"],
        ["validator", "aggregate"],
        ["validator", "bulk-subscriber"],
        ["aggregate", "subscriber"],
    ] {
        let roles = roles.map(named);
        let bytes = exporting(&roles);
        let [one, other] = roles;
        let told = LoadError::TwoRoles { one, other };
        let options = InstanceOptions::new(PluginName::from_stored("checks"), Limits::default());
        assert_eq!(engine().load(&bytes).err().as_ref(), Some(&told));
        assert_eq!(engine().load_upcaster(&bytes).err().as_ref(), Some(&told));
        assert_eq!(engine().load_validator(&bytes, options).err().as_ref(), Some(&told));
        assert!(told.to_string().contains("two roles of which a component plays one"), "{told}");
    }
    let lanes = exporting(&Lane::ALL.map(|lane| named(lane.interface())));
    assert_eq!(Anatomy::of(&lanes).unwrap().check_one_role(), Ok(()), "they are one role");
}

#[test]
fn the_network_is_not_granted() {
    let lines =
        [("wasi:sockets/tcp@0.2.0", "no network"), ("wasi:http/outgoing-handler@0.2.0", "in [grants]: http = [")];
    for (import, way_out) in lines {
        let error = refused(&format!(r#"(component (import "{import}" (instance)))"#), &[import, way_out]);
        assert_eq!(error.class(), ErrorClass::Denied);
    }
}

#[test]
fn an_import_of_another_type_is_named() {
    let guest = Guest {
        imports: r#"(import "tidemill:plugin/config@0.1.0" (instance (export "get" (func (param "key" u32)))))"#,
        ..OK
    };
    refused(&guest.text(), &["`get` of config", "u32"]);
}

#[test]
fn a_component_without_a_role_is_told_what_makes_one() {
    let roles = ["subscriber", "bulk-subscriber"].map(|role| format!("tidemill:plugin/{role}@{PACKAGE_VERSION}"));
    refused("(component)", &["exports nothing", &roles[0], &roles[1], "`export!`"]);
    refused(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
             (func (export "run") (canon lift (core func $i "f"))))"#,
        &["exports run"],
    );
}

/// A component whose `handle` has no parameters.
const WRONG_EXPORT: &str = r#"(component
  (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $s (export "handle" (func $f)))
  (export "tidemill:plugin/subscriber@0.1.0" (instance $s)))"#;

#[test]
fn an_export_of_another_type_is_found_in_the_trial() {
    for lane in Lane::ALL {
        let export = format!("plugin/{}@", lane.interface());
        let wrong = WRONG_EXPORT.replace("plugin/subscriber@", &export);
        refused(&wrong, &[&export, "another type"]);
        refused(&wrong.replace("\"handle\"", "\"handel\""), &[&export, "no function `handle`"]);
    }
}

#[test]
fn a_head_of_another_shape_is_found_in_the_trial() {
    let wrong = OK.on(Lane::Bulk).text().replace("\"traits\" u32", "\"traits\" u64");
    refused(&wrong, &["export tidemill:plugin/bulk-subscriber@0.1.0", "another type", "traits: u64", "traits: u32"]);
}

fn starting(start: &str) -> Vec<u8> {
    let module = format!("(func $start {start}) (start $start)");
    let text = OK.text().replace(
        "(import \"libc\" \"memory\" (memory 1))",
        &format!("(import \"libc\" \"memory\" (memory 1)) {module}"),
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn a_start_that_fails_is_found_in_the_trial() {
    let failed = |component: &[u8], batch_time_ms| {
        let limits = Limits { batch_time_ms, memory_bytes: 1 << 20, ..Limits::default() };
        match engine().load_with(component, &LoadOptions { limits, ..LoadOptions::default() }).unwrap_err() {
            LoadError::Trial { stage: "start", fault, reason } => (fault, reason),
            other => panic!("{other}"),
        }
    };
    // Only what never ends comes to its deadline, however slow the machine is.
    let fault = |component: &[u8]| failed(component, 60_000).0;
    assert_eq!(fault(&starting("unreachable")), Fault::Trap);
    let (fault_of_loop, reason) = failed(&starting("(loop $l (br $l))"), 30);
    assert_eq!(fault_of_loop, Fault::Deadline);
    // There is no batch yet that could be smaller.
    assert!(reason.contains("raise `[limits] batch_time`") && !reason.contains("[delivery]"), "{reason}");
    let large = OK.text().replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 17)");
    assert_eq!(fault(&wat::parse_str(large).unwrap()), Fault::OutOfMemory);
}

/// An optional `describe` whose result is read from address 2048.
fn describing(body: &str) -> Vec<u8> {
    let text = OK.text().replace(
        "(export \"tidemill:plugin/subscriber@0.1.0\"",
        r#"(type $d' (record (field "name" string) (field "version" string) (field "summary" string)
             (field "types" (list string)) (field "streams" (list string)) (field "tags" (list string))
             (field "append" (list string)) (field "extra" (list (tuple string string)))))
           (export $d "described" (type $d'))
           (func $describe (result $d) (canon lift (core func $main "describe") (memory (core memory $libc "memory"))))
           (instance $description (export "description" (type $d)) (export "describe" (func $describe)))
           (export "tidemill:plugin/description@0.1.0" (instance $description))
           (export "tidemill:plugin/subscriber@0.1.0""#,
    );
    let describe = format!(
        r#"(data (i32.const 2048) "\00\09\00\00\04\00\00\00") (data (i32.const 2304) "mill")
           (func (export "describe") (result i32) {body}) (func $fail"#
    );
    wat::parse_str(text.replacen("(func $fail", &describe, 1)).unwrap()
}

#[test]
fn a_component_may_introduce_itself() {
    let loaded = engine().load(&describing("(i32.const 2048)")).unwrap();
    let expected = Description { name: "mill".into(), ..Description::default() };
    assert_eq!(loaded.description(), Some(&expected));
    let failed = engine().load(&describing("unreachable")).unwrap_err();
    assert!(matches!(failed, LoadError::Trial { stage: "describe", fault: Fault::Trap, .. }), "{failed}");
}

#[test]
fn artefacts_are_cached_and_damage_is_healed() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("compiled");
    let load = || {
        Engine::new(EngineOptions { cache_dir: Some(cache_dir.clone()), ..EngineOptions::default() })
            .unwrap()
            .load(&OK.bytes())
            .unwrap()
    };
    let digest = load().digest().to_owned();
    let files: Vec<_> = fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with(&digest));
    let sound = fs::read(file).unwrap();
    for damage in [sound.len() / 2, sound.len() - 1, 20, 0] {
        let mut damaged = sound.clone();
        damaged[damage] ^= 1;
        fs::write(file, &damaged).unwrap();
        assert_eq!(call(&mut *subscriber(&load(), Limits::default()), 1, 1).outcome, Ok(()));
        assert_ne!(fs::read(file).unwrap(), damaged, "byte {damage} is healed");
    }
    fs::write(file, b"").unwrap();
    load();
    assert!(fs::read(file).unwrap().len() > 100);
    fs::write(file, [b"TMCWASM\x01", &sound[..]].concat()).unwrap();
    load();
    assert!(fs::read(file).unwrap().starts_with(b"\x7fELF"), "an entry of another format is replaced");
}

#[test]
fn what_is_mapped_of_an_entry_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("compiled");
    let engine = Engine::new(EngineOptions { cache_dir: Some(cache_dir.clone()), ..EngineOptions::default() }).unwrap();
    let compiled = engine.load(&OK.bytes()).unwrap();
    let entry = fs::read_dir(&cache_dir).unwrap().next().unwrap().unwrap().path();
    #[cfg(target_os = "linux")]
    {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.contains(entry.to_str().unwrap()), "the artefact is mapped, not copied: {maps}");
    }
    // Damage, in a file of its own as an entry is replaced; then the next load heals it, and trimming removes it.
    let mut damaged = fs::read(&entry).unwrap();
    damaged[4096..].fill(0xcc);
    fs::remove_file(&entry).unwrap();
    fs::write(&entry, damaged).unwrap();
    let healed = engine.load(&OK.bytes()).unwrap();
    fs::remove_file(&entry).unwrap();
    for component in [compiled, healed] {
        assert_eq!(call(&mut *subscriber(&component, Limits::default()), 1, 1).outcome, Ok(()));
    }
}
