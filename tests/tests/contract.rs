//! The contract of `wit/` from the other side: a host of a hundred lines runs the guests, so that what they
//! and the SDK do is checked without the product's own runtime.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;

use tidemill_tests::guests;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

mod contract {
    wasmtime::component::bindgen!({ path: "../wit", world: "subscriber-plugin" });
}
mod bulk {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "bulk-subscriber-plugin",
        with: { "tidemill:plugin/types": crate::contract::tidemill::plugin::types },
    });
}
mod described {
    wasmtime::component::bindgen!({ path: "../wit", world: "described-bulk-subscriber-plugin" });
}

use bulk::exports::tidemill::plugin::bulk_subscriber::{Head, Span};

use contract::tidemill::plugin::append::NewEvent;
use contract::tidemill::plugin::log::Level;
use contract::tidemill::plugin::state::{Entry, Page};
use contract::tidemill::plugin::types::{Event, EventId, Failure, HostError, Payload, Verdict};

/// What a guest finds and leaves.
#[derive(Default)]
struct Host {
    state: BTreeMap<String, Vec<u8>>,
    appended: Vec<(u64, NewEvent)>,
    lines: Vec<(Level, String)>,
}

impl contract::tidemill::plugin::types::Host for Host {}

impl contract::tidemill::plugin::state::Host for Host {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.state.get(&key).cloned())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), HostError> {
        self.state.insert(key, value);
        Ok(())
    }

    fn delete(&mut self, key: String) -> Result<(), HostError> {
        self.state.remove(&key);
        Ok(())
    }

    fn scan(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Page, HostError> {
        if !(1..=1_000).contains(&limit) {
            return Err(HostError::Invalid("limit".into()));
        }
        let after = after.unwrap_or_default();
        let matching = |(key, _): &(&String, &Vec<u8>)| key.starts_with(&prefix) && **key > after;
        let mut rest = self.state.iter().filter(matching);
        let entry = |(key, value): (&String, &Vec<u8>)| Entry { key: key.clone(), value: value.clone() };
        let entries: Vec<Entry> = rest.by_ref().take(limit as usize).map(entry).collect();
        let next = rest.next().and_then(|_| entries.last().map(|entry| entry.key.clone()));
        Ok(Page { entries, next })
    }
}

impl contract::tidemill::plugin::append::Host for Host {
    fn append(&mut self, cause: u64, events: Vec<NewEvent>) -> Result<(), HostError> {
        if events.iter().any(|event| event.event_type == "NotGranted") {
            return Err(HostError::Denied("append = [\"NotGranted\"]".into()));
        }
        self.appended.extend(events.into_iter().map(|event| (cause, event)));
        Ok(())
    }
}

impl contract::tidemill::plugin::config::Host for Host {
    fn get(&mut self, key: String) -> Option<String> {
        (key == "entries").then(|| "50".into())
    }
}

impl contract::tidemill::plugin::log::Host for Host {
    fn log(&mut self, level: Level, message: String) {
        self.lines.push((level, message));
    }
}

/// A live instance.
struct Guest {
    store: Store<Host>,
    plugin: Plugin,
}

/// By which lane it takes events.
enum Plugin {
    Plain(contract::SubscriberPlugin),
    Bulk(bulk::BulkSubscriberPlugin),
}

fn compile(engine: &Engine, name: &str) -> Component {
    let (_, bytes) = guests::ALL.iter().find(|(guest, _)| *guest == name).unwrap();
    Component::from_binary(engine, bytes).unwrap()
}

/// Everything but the contract traps: these guests get by without WASI until they panic.
fn linker(engine: &Engine, component: &Component) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    contract::SubscriberPlugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host).unwrap();
    linker.define_unknown_imports_as_traps(component).unwrap();
    linker
}

fn load(name: &str) -> Guest {
    let engine = Engine::default();
    let component = compile(&engine, name);
    let mut store = Store::new(&engine, Host::default());
    let linker = linker(&engine, &component);
    let plugin = match bulk::BulkSubscriberPlugin::instantiate(&mut store, &component, &linker) {
        Ok(plugin) => Plugin::Bulk(plugin),
        Err(_) => Plugin::Plain(contract::SubscriberPlugin::instantiate(&mut store, &component, &linker).unwrap()),
    };
    Guest { store, plugin }
}

impl Guest {
    fn handle(&mut self, events: &[Event]) -> wasmtime::Result<Result<(), Failure>> {
        match &self.plugin {
            Plugin::Plain(plugin) => plugin.tidemill_plugin_subscriber().call_handle(&mut self.store, events),
            Plugin::Bulk(plugin) => {
                let (heads, blob) = packed(events);
                plugin.tidemill_plugin_bulk_subscriber().call_handle(&mut self.store, &heads, &blob)
            }
        }
    }

    fn text(&self, key: &str) -> String {
        String::from_utf8(self.store.data().state[key].clone()).unwrap()
    }
}

/// The same events in bulk.
fn packed(events: &[Event]) -> (Vec<Head>, Vec<u8>) {
    let mut blob = Vec::new();
    let mut put = |part: &[u8]| {
        blob.extend_from_slice(part);
        Span { start: (blob.len() - part.len()) as u32, length: part.len() as u32 }
    };
    let mut head = |event: &Event| Head {
        position: event.position,
        id: event.id,
        version: event.version,
        timestamp_us: event.timestamp_us,
        schema_version: event.schema_version,
        traits: u32::from(matches!(event.payload, Payload::Json(_))),
        event_type: put(event.event_type.as_bytes()),
        stream: put(event.stream.as_deref().unwrap_or_default().as_bytes()),
        payload: match &event.payload {
            Payload::Json(text) => put(text.as_bytes()),
            Payload::Binary(bytes) => put(bytes),
        },
        context: put(event.context.as_deref().unwrap_or_default().as_bytes()),
    };
    let heads = events.iter().map(&mut head).collect();
    (heads, blob)
}

fn event(position: u64, event_type: &str, json: &str) -> Event {
    Event {
        position,
        id: EventId { high: 1, low: position },
        event_type: event_type.into(),
        stream: Some(format!("order-{position}")),
        version: 1,
        timestamp_us: position * 1_000_000,
        schema_version: 1,
        payload: Payload::Json(json.into()),
        context: None,
    }
}

#[test]
fn a_guest_without_the_sdk_keeps_state() {
    for name in ["ok", "bulk_ok"] {
        let mut guest = load(name);
        guest.handle(&[event(3, "A", "{}"), event(5, "B", "{}")]).unwrap().unwrap();
        guest.handle(&[event(8, "A", "{}")]).unwrap().unwrap();
        assert_eq!((guest.text("count"), guest.text("last")), ("3".into(), "8".into()));
    }
}

#[test]
fn a_failure_names_the_event_and_the_verdict() {
    for name in ["reject", "bulk_reject"] {
        let failure = load(name).handle(&[event(1, "A", "{}"), event(2, "Poison", "{}")]).unwrap().unwrap_err();
        assert_eq!((failure.index, failure.reason.as_str()), (1, "position 2 is poison"));
        assert!(matches!(failure.verdict, Verdict::Reject));
    }
    let failure = load("ask_denied").handle(&[event(1, "A", "{}")]).unwrap().unwrap_err();
    assert_eq!(failure.reason, "denied: append = [\"NotGranted\"]");
    let failure = load("scan_pages").handle(&[event(1, "A", "{}")]).unwrap();
    assert!(failure.is_ok(), "{failure:?}");
}

#[test]
fn the_sdk_decodes_counts_and_appends_with_the_cause() {
    let mut guest = load("sdk_typed");
    let big = event(7, "OrderPlaced", r#"{"order":"7","total_cents":100000,"more":[1]}"#);
    guest.handle(&[event(6, "OrderCancelled", "{}"), big]).unwrap().unwrap();
    assert_eq!((guest.text("total_cents"), guest.text("cancelled")), ("100000".into(), "1".into()));
    let (cause, appended) = &guest.store.data().appended[0];
    assert_eq!(
        (*cause, appended.event_type.as_str(), appended.stream.as_deref()),
        (7, "BigOrderSeen", Some("order-7"))
    );
    assert!(matches!(&appended.payload, Payload::Json(text) if text == r#"{"order":"7"}"#));

    let bad = event(9, "OrderPlaced", r#"{"order":"9","total_cents":-1}"#);
    let failure = guest.handle(&[event(8, "OrderCancelled", "{}"), bad]).unwrap().unwrap_err();
    assert!(matches!((failure.index, failure.verdict), (1, Verdict::Reject)));
    assert!(
        failure.reason.contains("payload of OrderPlaced: total_cents: invalid value: integer `-1`"),
        "{}",
        failure.reason
    );
}

#[test]
fn the_sdk_describes_the_plugin() {
    let engine = Engine::default();
    let component = compile(&engine, "sdk_typed");
    let mut store = Store::new(&engine, Host::default());
    let linker = linker(&engine, &component);
    let plugin = described::DescribedBulkSubscriberPlugin::instantiate(&mut store, &component, &linker).unwrap();
    let told = plugin.tidemill_plugin_description().call_describe(&mut store).unwrap();
    assert_eq!((told.name, told.version, told.summary), ("sdk-typed".into(), "1.2.3".into(), "Watches orders".into()));
    assert_eq!(
        (told.types, told.append),
        (vec!["OrderPlaced".into(), "OrderCancelled".into()], vec!["BigOrderSeen".into()])
    );
}

#[test]
fn the_sdk_logs_the_text_of_a_panic() {
    let mut guest = load("sdk_panic");
    guest.handle(&[event(2, "Poison", "{}")]).unwrap_err();
    let [(Level::Info, at), (Level::Error, panicked)] = guest.store.data().lines.as_slice() else {
        panic!("{:?}", guest.store.data().lines);
    };
    assert_eq!(at, "at position 2");
    assert!(panicked.ends_with("poisoned by 00000000-0000-0001-0000-000000000002"), "{panicked}");
}

#[test]
fn all_but_the_strange_guests_play_the_subscriber() {
    let strange = ["later_contract", "no_exports"];
    let engine = Engine::default();
    for (name, bytes) in guests::ALL {
        let component = Component::from_binary(&engine, bytes).unwrap();
        let is_older = name.starts_with("released_0_1_0") || name.starts_with("wrong_");
        let version = if is_older { "0.1.0" } else { "0.1.1" };
        let contract = |interface: &str| format!("tidemill:plugin/{interface}@{version}");
        let exports: Vec<_> = component.component_type().exports(&engine).map(|(name, _)| name.to_owned()).collect();
        let lanes = ["subscriber", "bulk-subscriber"].map(|lane| exports.contains(&contract(lane)));
        let other = ["aggregate", "upcaster", "validator"].iter().any(|role| exports.contains(&contract(role)));
        assert_eq!(lanes.contains(&true), !other && !strange.contains(name), "{name} exports {exports:?}");
        match name.split_once('_') {
            Some(("bulk", _)) => assert_eq!(lanes, [false, true], "{name}"),
            Some(("both", _)) => assert_eq!(lanes, [true, true], "{name}"),
            _ => {}
        }
    }
}
