//! Staged effects against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::state::{CALL_STATE_BYTES_MAX, ENTRY_BYTES, STATE_VALUE_BYTES_MAX};
use super::*;
use crate::clock::SystemClock;
use crate::event::{EventType, Pattern, PluginName, Version};
use crate::store::memory::MemoryStore;
use crate::store::{Progress, UnitOfWork};

fn plugin() -> PluginName {
    PluginName::new("p").unwrap()
}

fn effects(store: &Arc<dyn Store>) -> Effects {
    Effects::new(plugin(), Arc::clone(store), Permit::of([Pattern::new("*").unwrap()]))
}

fn batch() -> EventBatch {
    let event = NewEvent::json(EventType::new("T").unwrap(), "1");
    EventBatch::new(vec![RecordedEvent::record(event, Position(5), Version(0), 1)])
}

#[test]
fn who_may_not_append_is_told_what_to_mend() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let patterns = |text: &str| [Pattern::new(text).unwrap()].into();
    let append = Permit { allowed: patterns("OrderReady"), granted: patterns("Order*") };
    let mut effects = Effects::new(plugin(), store, append).fresh();
    effects.begin_call(batch());
    let mut append = |name: &str| effects.append(Position(5), NewEvent::json(EventType::new(name).unwrap(), "1"));
    append("OrderReady").unwrap();
    let told = append("OrderLate").unwrap_err().to_string();
    assert!(told.starts_with("plugin p may not append \"OrderLate\"; its manifest grants that"), "{told}");
    let told = append("Paid").unwrap_err().to_string();
    assert!(told.contains("in [grants]: append = ['Order*', 'Paid'] (and name it in `describe`"), "{told}");
}

/// One thing a handler, or delivery, does.
#[derive(Clone, Debug)]
enum Step {
    Set(String, u8),
    Delete(String),
    BeginCall,
    DiscardCall,
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || "[ab]{1,2}";
    let step = prop_oneof![
        4 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        2 => key().prop_map(Step::Delete),
        2 => Just(Step::BeginCall),
        1 => Just(Step::DiscardCall),
        1 => Just(Step::Commit),
    ];
    prop::collection::vec(step, 0..60)
}

/// Everything a scan finds, in pages of `limit`.
fn scan_all(effects: &mut Effects, prefix: &str, limit: usize) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = effects.state_scan(prefix, after.as_deref(), limit).unwrap();
        assert!(page.entries.len() <= limit);
        found.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

proptest! {
    #[test]
    fn state_reads_like_one_map(steps in steps(), limit in 1_usize..4) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let mut effects = effects(&store);
        let mut model = BTreeMap::new();
        let mut before_call = model.clone();
        let mut revision = 0;
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    effects.state_set(&key, vec![value]).unwrap();
                    model.insert(key, vec![value]);
                }
                Step::Delete(key) => {
                    effects.state_delete(&key).unwrap();
                    model.remove(&key);
                }
                Step::BeginCall => {
                    effects.begin_call(batch());
                    before_call = model.clone();
                }
                Step::DiscardCall => {
                    effects.discard_call();
                    model = before_call.clone();
                }
                Step::Commit => {
                    let (state, events) = effects.take();
                    revision += 1;
                    let progress = Progress { revision, ..Progress::default() };
                    let work = UnitOfWork { owner: plugin().into(), partition: 0, progress, state, events, dead_letters: Vec::new() };
                    store.commit(work).wait().unwrap();
                    before_call = model.clone();
                }
            }
            for key in ["a", "b", "ab", "ba"] {
                prop_assert_eq!(effects.state_get(key).unwrap(), model.get(key).cloned());
            }
            for prefix in ["", "a", "ab"] {
                let expected: Vec<_> =
                    model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(scan_all(&mut effects, prefix, limit), expected);
            }
        }
    }
}

#[test]
fn a_discarded_call_appends_nothing_and_its_ids_are_given_again() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut effects = effects(&store);
    let emit = |effects: &mut Effects| {
        effects.begin_call(batch());
        effects.append(Position(5), NewEvent::json(EventType::new("A").unwrap(), "1")).unwrap();
        effects.append(Position(5), NewEvent::json(EventType::new("B").unwrap(), "2")).unwrap();
    };
    emit(&mut effects);
    effects.discard_call();
    assert!(effects.is_empty());
    assert_eq!(effects.staged_bytes(), 0);
    emit(&mut effects);
    let (_, first) = effects.take();
    emit(&mut effects);
    let (_, second) = effects.take();
    assert_eq!(first.iter().map(|event| event.id).collect::<Vec<_>>(), second.iter().map(|e| e.id).collect::<Vec<_>>());
    assert_ne!(first[0].id, first[1].id);
}

#[test]
fn bounds_are_said_and_nothing_past_them_takes_effect() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut effects = effects(&store);
    effects.begin_call(batch());
    let text = |error: EffectError| error.to_string();
    assert!(text(effects.state_set("", vec![]).unwrap_err()).contains("1 to 1024"));
    assert!(text(effects.state_get(&"k".repeat(1025)).unwrap_err()).contains("1025 bytes"));
    assert!(text(effects.state_set("k", vec![0; STATE_VALUE_BYTES_MAX + 1]).unwrap_err()).contains("1048577"));
    assert!(text(effects.state_scan("", None, 0).unwrap_err()).contains("1 to 1000"));
    let long = "k".repeat(1025);
    assert!(text(effects.state_scan(&long, None, 1).unwrap_err()).contains("prefix has 1025 bytes"));
    assert!(text(effects.state_scan("", Some(&long), 1).unwrap_err()).contains("after has 1025 bytes"));
    let event = || NewEvent::json(EventType::new("A").unwrap(), "1");
    assert!(text(effects.append(Position(6), event()).unwrap_err()).contains("not an event of this batch"));
    for _ in 0..CALL_EVENTS_MAX {
        effects.append(Position(5), event()).unwrap();
    }
    let error = effects.append(Position(5), event()).unwrap_err();
    assert!(matches!(&error, EffectError::LimitExceeded(text) if text.contains("1024 events")), "{error}");
    assert_eq!(effects.event_count(), CALL_EVENTS_MAX);
    for round in 0..15 {
        effects.state_set("big", vec![round; STATE_VALUE_BYTES_MAX]).unwrap();
    }
    let error = effects.state_set("big", vec![99; STATE_VALUE_BYTES_MAX]).unwrap_err();
    assert!(matches!(error, EffectError::LimitExceeded(_)), "{error}");
    assert_eq!(effects.state_get("big").unwrap().unwrap()[0], 14);
}

#[test]
fn a_call_that_reads_sees_the_state_and_changes_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let state = vec![StateChange { key: "k".into(), value: Some(b"1".to_vec()) }];
    let (owner, progress) = (Owner::from(plugin()), Progress { revision: 1, ..Progress::default() });
    let work = UnitOfWork { owner: owner.clone(), partition: 0, progress, state, events: vec![], dead_letters: vec![] };
    store.commit(work).wait().unwrap();
    let state = Arc::new(StoredState { owner: owner.clone(), store });
    let mut effects = Effects::reading(owner, state);
    let event = NewEvent::json(EventType::new("T").unwrap(), "1");
    let denied = [effects.state_set("k", vec![]), effects.state_delete("k"), effects.append(Position(1), event)];
    for result in denied {
        let Err(EffectError::Denied(text)) = &result else { panic!("{result:?}") };
        assert!(text.contains("a query reads"), "{text}");
    }
    assert_eq!(effects.state_get("k").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(effects.state_scan("", None, 10).unwrap().entries.len(), 1);
    assert!(effects.is_empty());
}

#[test]
fn what_is_kept_beside_small_keys_counts() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut effects = effects(&store);
    effects.begin_call(batch());
    for _ in 0..1_000 {
        effects.state_set("0", vec![]).unwrap();
    }
    assert_eq!(effects.staged_bytes(), ENTRY_BYTES + 1_000, "once for each");
    let keys = (0..).map(|n: u32| format!("{n:x}")).take_while(|key| effects.state_delete(key).is_ok()).count();
    assert!(keys < CALL_STATE_BYTES_MAX / ENTRY_BYTES, "{keys} keys");
}

/// Commits what is staged.
fn commit(effects: &mut Effects, store: &Arc<dyn Store>, revision: u64) {
    let (state, events) = effects.take();
    let progress = Progress { revision, ..Progress::default() };
    let work = UnitOfWork { owner: plugin().into(), partition: 0, progress, state, events, dead_letters: Vec::new() };
    store.commit(work).wait().unwrap();
}

#[test]
fn state_has_a_limit_under_which_writing_over_and_removing_make_room() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let mut effects = effects(&store).state_bytes_max(100);
    let set = |effects: &mut Effects, key: &str, bytes: usize| effects.state_set(key, vec![0; bytes]);
    effects.begin_call(batch());
    set(&mut effects, "a", 39).unwrap();
    set(&mut effects, "b", 39).unwrap();
    let Err(EffectError::NoRoom(text)) = set(&mut effects, "c", 20) else { panic!("there was room") };
    assert!(text.contains("plugin p may keep 100B") && text.contains("in [limits]: state = '200B'"), "{text}");
    let Err(EffectError::NoRoom(text)) = set(&mut effects, "c", 512) else { panic!("there was room") };
    assert!(text.contains("in [limits]: state = '1KiB'"), "twice of what there is is not enough: {text}");
    set(&mut effects, "c", 19).unwrap();
    commit(&mut effects, &store, 1);

    effects = effects.fresh();
    effects.begin_call(batch());
    assert!(matches!(set(&mut effects, "d", 0), Err(EffectError::NoRoom(_))), "it is full");
    set(&mut effects, "a", 39).unwrap();
    set(&mut effects, "b", 9).unwrap();
    assert!(set(&mut effects, "d", 30).is_err());
    set(&mut effects, "d", 29).unwrap();
    assert!(set(&mut effects, "a", 40).is_err());
    effects.begin_call(batch());
    effects.state_delete("d").unwrap();
    set(&mut effects, "a", 69).unwrap();
    effects.discard_call();
    effects.begin_call(batch());
    assert!(set(&mut effects, "a", 40).is_err(), "what a discarded call removed is there again");
    effects.state_delete("a").unwrap();
    set(&mut effects, "e", 39).unwrap();
    assert!(set(&mut effects, "e", 40).is_err());
    commit(&mut effects, &store, 2);
    assert_eq!(store.state_size(&plugin().into()).unwrap().bytes, 100);

    let mut less = effects.fresh().state_bytes_max(50);
    less.begin_call(batch());
    set(&mut less, "e", 39).unwrap();
    assert!(set(&mut less, "e", 40).is_err() && set(&mut less, "b", 10).is_err(), "over the limit it only shrinks");
    set(&mut less, "b", 8).unwrap();
}

proptest! {
    #[test]
    fn state_is_never_more_than_its_limit_and_no_write_that_fits_is_refused(steps in steps(), limit in 1_u64..12) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let mut effects = effects(&store).state_bytes_max(limit);
        let (mut model, mut before_call, mut revision) = (BTreeMap::new(), BTreeMap::new(), 0);
        let size = |model: &BTreeMap<String, usize>| model.iter().map(|(key, value)| (key.len() + value) as u64).sum::<u64>();
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    let mut after = model.clone();
                    after.insert(key.clone(), usize::from(value % 4));
                    let fits = size(&after) <= limit || size(&after) <= size(&model);
                    prop_assert_eq!(effects.state_set(&key, vec![0; usize::from(value % 4)]).is_ok(), fits);
                    if fits {
                        model = after;
                    }
                }
                Step::Delete(key) => {
                    effects.state_delete(&key).unwrap();
                    model.remove(&key);
                }
                Step::BeginCall => {
                    effects.begin_call(batch());
                    before_call = model.clone();
                }
                Step::DiscardCall => {
                    effects.discard_call();
                    model = before_call.clone();
                }
                Step::Commit => {
                    revision += 1;
                    commit(&mut effects, &store, revision);
                    before_call = model.clone();
                    prop_assert_eq!(store.state_size(&plugin().into()).unwrap().bytes, size(&model));
                }
            }
        }
    }
}
