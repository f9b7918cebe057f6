//! Promises about what plugins keep, and about units of work.

use super::Subject;
use super::samples::{
    append, event, everything, letter, open, owner, places, plugin, put, remove, reopen, version, version_of, work,
};
use crate::event::{NewEvent, Position, WORK_BYTES_MAX};
use crate::store::{
    AppendError, CommitError, DeadLetter, DeadLetterChange, Failing, PluginChange, PluginRecord, Progress, StateChange,
    StateSize, StateSnapshot, Store, UnitOfWork,
};

/// Progress, state, events and dead letters of a unit of work are stored together, or none of them is.
pub fn promise_5_one_commit(subject: &dyn Subject) {
    let store = open(subject);
    let taken = append(&*store, vec![event("T", "a")]).events[0].id;
    let full = |revision, events| UnitOfWork {
        state: vec![put("count", "1"), put("gone", "x")],
        events,
        dead_letters: vec![DeadLetterChange::Put(letter(1, "bad"))],
        ..work("p", revision, 1)
    };
    let conflict = vec![event("T", "a"), NewEvent { id: taken, ..event("Other", "a") }];
    let error = store.commit(full(1, conflict)).wait().unwrap_err();
    assert!(matches!(error, CommitError::Append(AppendError::IdConflict { index: 1, .. })), "{error}");
    assert_eq!((store.head(), store.progress(&owner("p"), 0).unwrap()), (Position(1), None));
    assert_eq!(store.state_get(&owner("p"), "count").unwrap(), None);
    assert_eq!(store.dead_letter_count(&owner("p")).unwrap(), 0);

    let committed = store.commit(full(1, vec![event("T", "a"), event("T", "")])).wait().unwrap();
    assert_eq!(places(&committed.appended.unwrap()), [(2, 2), (3, 0)]);
    assert_eq!((store.head(), version_of(&*store, "a")), (Position(3), version(2)));
    let mut next = work("p", 2, 3);
    next.state = vec![remove("gone"), remove("never there"), put("count", "2")];
    let (position, attempts, reason) = (Position(4), 2, "slow".to_owned());
    next.progress.failing = Some(Failing { position, attempts, faults: 2, first_us: 1, last_us: 2, reason });
    assert_eq!(store.commit(next.clone()).wait().unwrap().appended, None);

    let store = reopen(subject, store);
    assert_eq!(store.progress(&owner("p"), 0).unwrap(), Some(next.progress));
    assert_eq!(store.state_get(&owner("p"), "count").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.state_get(&owner("p"), "gone").unwrap(), None);
    assert_eq!(store.dead_letter(&owner("p"), Position(1)).unwrap(), Some(letter(1, "bad")));
    assert_eq!(everything(&*store).len(), 3);
}

/// A commit that does not build on the stored revision changes nothing, also among commits that are on
/// their way at once, and after a restart.
pub fn a_fence_keeps_a_second_runner_out(subject: &dyn Subject) {
    let store = open(subject);
    assert!(store.commit(work("p", 2, 1)).wait().is_err(), "nothing is stored to build on");
    let racing: Vec<_> = (0..4)
        .map(|runner| {
            let state = vec![put("runner", &runner.to_string()), put(&format!("by-{runner}"), "")];
            store.commit(UnitOfWork { state, events: vec![event("T", "a")], ..work("p", 1, 1) })
        })
        .collect();
    let results: Vec<_> = racing.into_iter().map(|pending| pending.wait()).collect();
    let winners: Vec<_> = (0..4).filter(|runner| results[*runner].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{winners:?} all committed revision 1") };
    let kept = store.state_scan(&owner("p"), "", None, 10).unwrap().entries;
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept[1], ("runner".to_owned(), winner.to_string().into_bytes()));
    assert_eq!(store.head(), Position(1));
    let store = reopen(subject, store);
    match store.commit(work("p", 1, 9)).wait() {
        Err(CommitError::Fenced { owner, stored: 1, expected: 0 }) => assert_eq!(owner.to_string(), "p"),
        other => panic!("{other:?}"),
    }
    store.commit(work("p", 2, 2)).wait().unwrap();
    assert_eq!(store.progress(&owner("p"), 0).unwrap().unwrap().checkpoint, Position(2));
}

/// Partitions of an owner have a progress of their own, with a fence each, and share the owner's state.
pub fn partitions_come_on_by_themselves(subject: &dyn Subject) {
    let store = open(subject);
    let p = owner("p");
    store.commit(UnitOfWork { state: vec![put("a", "1")], ..work("p", 1, 7) }).wait().unwrap();
    let second = |revision| UnitOfWork { partition: 1, state: vec![put("b", "2")], ..work("p", revision, 5) };
    assert!(store.commit(second(2)).wait().is_err(), "nothing is stored of partition 1");
    store.commit(second(1)).wait().unwrap();
    let store = reopen(subject, store);
    let checkpoints = [0, 1, 2].map(|partition| store.progress(&p, partition).unwrap().map(|found| found.checkpoint.0));
    assert_eq!(checkpoints, [Some(7), Some(5), None]);
    assert_eq!(store.state_scan(&p, "", None, 10).unwrap().entries.len(), 2);
    store.commit(second(2)).wait().unwrap();
    assert!(matches!(store.commit(work("p", 1, 9)).wait(), Err(CommitError::Fenced { stored: 1, expected: 0, .. })));
}

/// A generation that is dropped leaves nothing, and its numbers of others nothing to miss; what a change sets
/// counts with its record, or not at all.
pub fn generations_come_and_go_with_the_record(subject: &dyn Subject) {
    let store = open(subject);
    let full = |name, revision| UnitOfWork {
        state: vec![put("k", name)],
        dead_letters: vec![DeadLetterChange::Put(letter(1, name))],
        ..work(name, revision, 1)
    };
    for name in ["p", "p@1", "p@2", "p@10", "pq", "q"] {
        store.commit(full(name, 1)).wait().unwrap();
    }
    store.commit(UnitOfWork { partition: 3, ..work("p@1", 1, 1) }).wait().unwrap();
    let change = |revision: u64| PluginChange {
        plugin: plugin("p"),
        record: PluginRecord { revision, content: format!("revision {revision}") },
        progress: vec![(2, 1, Progress { revision: 4, checkpoint: Position(9), ..Progress::default() })],
        progress_removed: vec![(2, 0)],
        generations_dropped: vec![1],
    };
    let error = store.change_plugin(change(2)).wait().unwrap_err();
    assert!(matches!(error, CommitError::Fenced { stored: 0, expected: 1, .. }), "{error}");
    assert_eq!((left(&*store, "p@1"), store.plugin_record(&plugin("p")).unwrap()), (4, None));
    store.change_plugin(change(1)).wait().unwrap();
    let check = |store: &dyn Store| {
        assert_eq!(store.plugin_record(&plugin("p")).unwrap(), Some(change(1).record));
        let left = ["p", "p@1", "p@2", "p@10", "pq", "q"].map(|name| left(store, name));
        assert_eq!(left, [3, 0, 3, 3, 3, 3], "p@2 has the progress of another partition");
        assert_eq!(store.progress(&owner("p@2"), 0).unwrap(), None);
        assert_eq!(store.progress(&owner("p@2"), 1).unwrap().unwrap().checkpoint, Position(9));
        assert_eq!(store.plugins().unwrap(), [plugin("p"), plugin("pq"), plugin("q")]);
    };
    check(&*store);
    let store = reopen(subject, store);
    check(&*store);
    assert!(store.change_plugin(change(1)).wait().is_err(), "the fence stands after a restart");
    store.change_plugin(change(2)).wait().unwrap();
    assert!(store.commit(work("p@1", 2, 1)).wait().is_err(), "a runner of what was dropped is fenced off");
}

/// Rows of an owner: progress, state and dead letters.
fn left(store: &dyn Store, name: &str) -> u64 {
    let owner = owner(name);
    let progress = (0..4).filter(|partition| store.progress(&owner, *partition).unwrap().is_some()).count();
    let found = store.state_get(&owner, "k").unwrap();
    let state = store.state_scan(&owner, "", None, 10).unwrap().entries;
    assert_eq!(found.is_some(), state.len() == 1);
    let letters = store.dead_letters(&owner, Position(0), 10).unwrap().len() as u64;
    assert_eq!(
        (letters, store.dead_letter(&owner, Position(1)).unwrap().is_some()),
        (store.dead_letter_count(&owner).unwrap(), letters == 1)
    );
    progress as u64 + state.len() as u64 + letters
}

/// How much state an owner keeps is what a scan finds, whatever is written over, removed or dropped.
pub fn state_is_counted(subject: &dyn Subject) {
    let store = open(subject);
    let long = "v".repeat(200);
    let rounds = [
        vec![put("a", "1"), put("b", &long), put("c", "")],
        vec![put("b", "22"), remove("a"), remove("never there"), put("d", &long)],
        vec![remove("b"), put("a", "333"), remove("d")],
        vec![put("d", "4"), remove("c"), remove("a"), put("b", &long)],
    ];
    let mut others = 0;
    for (revision, state) in (1..).zip(&rounds) {
        store.commit(UnitOfWork { state: state.clone(), ..work("p", revision, 1) }).wait().unwrap();
        // Asked of some, so that journals come and go in between, where there are any.
        let other = |n| UnitOfWork { state: vec![put(&format!("k{}", n % 3), &long)], ..work("p@1", n, 1) };
        for _ in 0..revision {
            others += 1;
            store.commit(other(others)).wait().unwrap();
        }
        assert_eq!(counted(&*store, "p"), store.state_size(&owner("p")).unwrap(), "after {revision}");
    }
    let check = |store: &dyn Store| {
        for name in ["p", "p@1", "p@2", "q"] {
            assert_eq!(counted(store, name), store.state_size(&owner(name)).unwrap(), "{name}");
        }
    };
    check(&*store);
    assert_eq!(store.state_size(&owner("p")).unwrap(), StateSize { keys: 2, bytes: 203 });
    let store = reopen(subject, store);
    check(&*store);
    let drop_it = |revision| PluginChange {
        plugin: plugin("p"),
        record: PluginRecord { revision, content: String::new() },
        progress: Vec::new(),
        progress_removed: Vec::new(),
        generations_dropped: vec![0],
    };
    store.change_plugin(drop_it(1)).wait().unwrap();
    assert_eq!(store.state_size(&owner("p")).unwrap(), StateSize::default());
    store.commit(UnitOfWork { state: vec![put("b", "12")], ..work("p", 1, 1) }).wait().unwrap();
    assert_eq!(store.state_size(&owner("p")).unwrap(), StateSize { keys: 1, bytes: 3 });
    check(&*store);
    check(&*reopen(subject, store));
}

/// How much state a scan finds.
fn counted(store: &dyn Store, name: &str) -> StateSize {
    let entries = store.state_scan(&owner(name), "", None, 1000).unwrap().entries;
    entries.iter().map(|(key, value)| StateSize::of_entry(key.len(), value.len())).sum()
}

/// Events of a unit of work that are stored already keep their place; the others are written.
pub fn units_of_work_skip_stored_events(subject: &dyn Subject) {
    let store = open(subject);
    let [first, second, third] = [event("T", "a"), event("T", "a"), event("T", "b")];
    let stored = append(&*store, vec![first.clone(), event("T", "a")]);
    let events = vec![second.clone(), first.clone(), third];
    let committed = store.commit(UnitOfWork { events, ..work("p", 1, 1) }).wait().unwrap().appended.unwrap();
    assert!(!committed.repeated);
    assert_eq!(places(&committed), [(3, 3), (1, 1), (4, 1)]);
    assert_eq!(committed.events[1], stored.events[0]);
    let store = reopen(subject, store);
    let events = vec![second, first];
    let repeated = store.commit(UnitOfWork { events, ..work("p", 2, 1) }).wait().unwrap().appended.unwrap();
    assert!(repeated.repeated);
    assert_eq!((places(&repeated), store.head()), (vec![(3, 3), (1, 1)], Position(4)));
}

/// State is read by key and scanned by prefix, in key order, in pages.
pub fn state_is_scanned_in_pages(subject: &dyn Subject) {
    let store = open(subject);
    let keys = ["a", "b:1", "b:10", "b:2", "b:ä", "c", ""];
    let state = keys.iter().map(|key| put(key, key)).collect();
    store.commit(UnitOfWork { state, ..work("p", 1, 0) }).wait().unwrap();
    let store = reopen(subject, store);
    let scan = |prefix, after, limit| {
        let page = store.state_scan(&owner("p"), prefix, after, limit).unwrap();
        assert!(page.entries.iter().all(|(key, value)| key.as_bytes() == value));
        let keys = store.state_keys(&owner("p"), prefix, after, limit).unwrap();
        assert_eq!(keys, crate::store::StateKeys::from(page.clone()));
        (page.entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), page.next)
    };
    let sorted = ["", "a", "b:1", "b:10", "b:2", "b:ä", "c"].map(str::to_owned);
    assert_eq!(scan("", None, 100), (sorted.to_vec(), None));
    assert_eq!(scan("b:", None, 4), (sorted[2..6].to_vec(), None), "complete, though as many as the limit");
    assert_eq!(scan("b:", None, 3), (sorted[2..5].to_vec(), Some("b:2".to_owned())));
    assert_eq!(scan("b:", Some("b:2"), 3), (sorted[5..6].to_vec(), None));
    assert_eq!(scan("b:", Some("a"), 1), (sorted[2..3].to_vec(), Some("b:1".to_owned())));
    assert_eq!(scan("b:", Some("c"), 9), (vec![], None));
    assert_eq!(scan("d", None, 9), (vec![], None));

    let state = (0..5).map(|n| put(&format!("big-{n}"), &"x".repeat(400_000))).collect();
    store.commit(UnitOfWork { state, ..work("p", 2, 0) }).wait().unwrap();
    let page = store.state_scan(&owner("p"), "big-", None, 100).unwrap();
    assert_eq!((page.entries.len(), page.next.as_deref()), (3, Some("big-2")), "a page ends after about 1 MiB");
}

/// Dead letters are put, replaced, listed in position order and removed.
pub fn dead_letters_come_and_go(subject: &dyn Subject) {
    let store = open(subject);
    let p = owner("p");
    let change = |revision, dead_letters| {
        store.commit(UnitOfWork { dead_letters, ..work("p", revision, 300) }).wait().unwrap();
    };
    let positions = [2, 256, 3, 300];
    change(1, positions.map(|position| DeadLetterChange::Put(letter(position, "first"))).to_vec());
    change(2, vec![DeadLetterChange::Remove(Position(3)), DeadLetterChange::Put(letter(256, "again"))]);
    change(3, vec![DeadLetterChange::Remove(Position(77))]);
    let store = reopen(subject, store);
    let listed = |after, limit| store.dead_letters(&p, Position(after), limit).unwrap();
    assert_eq!(listed(0, 9), [letter(2, "first"), letter(256, "again"), letter(300, "first")]);
    assert_eq!(listed(2, 1), [letter(256, "again")]);
    assert_eq!(listed(300, 9), []);
    assert_eq!(listed(u64::MAX, 9), []);
    assert_eq!(store.dead_letter_count(&p).unwrap(), 3);
    let bare = store.bare_dead_letters(&p, Position(0), 2).unwrap();
    assert_eq!(bare, listed(0, 2).into_iter().map(DeadLetter::without_evidence).collect::<Vec<_>>());
    assert_eq!(store.dead_letter(&p, Position(3)).unwrap(), None);
}

/// No plugin sees another's data, though one name may begin with the other's.
pub fn plugins_are_kept_apart(subject: &dyn Subject) {
    let store = open(subject);
    for name in ["b", "ab", "a", "a.b"] {
        let dead_letters = vec![DeadLetterChange::Put(letter(1, name))];
        store.commit(UnitOfWork { state: vec![put("key", name)], dead_letters, ..work(name, 1, 0) }).wait().unwrap();
    }
    let store = reopen(subject, store);
    let names: Vec<_> = store.plugins().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "a.b", "ab", "b"]);
    for name in &names {
        let page = store.state_scan(&owner(name), "", None, 10).unwrap();
        assert_eq!(page.entries, [("key".to_owned(), name.clone().into_bytes())]);
        assert_eq!(store.dead_letters(&owner(name), Position(0), 10).unwrap(), [letter(1, name)]);
    }
    let absent = owner("abc");
    assert_eq!(store.state_get(&absent, "key").unwrap(), None);
    assert_eq!((store.progress(&absent, 0).unwrap(), store.dead_letter_count(&absent).unwrap()), (None, 0));
}

/// Malformed events of a unit of work are refused with all of it.
pub fn malformed_units_of_work_are_refused(subject: &dyn Subject) {
    let store = open(subject);
    let twin = event("T", "");
    let bad = UnitOfWork { events: vec![twin.clone(), twin], state: vec![put("k", "v")], ..work("p", 1, 0) };
    let error = store.commit(bad).wait().unwrap_err();
    assert!(matches!(error, CommitError::Append(AppendError::DuplicateId { .. })), "{error}");
    let value = Some(vec![0; WORK_BYTES_MAX]);
    let large = UnitOfWork { state: vec![StateChange { key: "k".to_owned(), value }], ..work("p", 1, 0) };
    let error = store.commit(large).wait().unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }) && error.to_string().contains("33554433 bytes"), "{error}");
    assert_eq!(store.plugins().unwrap(), []);
}

/// A snapshot shows what was committed before it was taken and nothing later, however much changes: values, new keys,
/// removed ones, and how far partitions have come.
pub fn a_snapshot_shows_one_moment(subject: &dyn Subject) {
    let store = open(subject);
    let key = |number: u32| format!("k{number:04}");
    let fill = |revision, value: &str, numbers: std::ops::Range<u32>| UnitOfWork {
        state: numbers.map(|number| put(&key(number), value)).collect(),
        ..work("p", revision, revision)
    };
    let all = |snapshot: &dyn StateSnapshot| {
        let (mut entries, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = snapshot.scan("k", after.as_deref(), 100).unwrap();
            entries.extend(page.entries);
            match page.next {
                Some(next) => after = Some(next),
                None => return entries,
            }
        }
    };
    let empty = store.state_snapshot(&owner("p")).unwrap();
    store.commit(fill(1, "1", 0..300)).wait().unwrap();
    let first = store.state_snapshot(&owner("p")).unwrap();
    let expected: Vec<_> = (0..300).map(|number| (key(number), b"1".to_vec())).collect();
    store.commit(fill(2, "2", 100..400)).wait().unwrap();
    let second = store.state_snapshot(&owner("p")).unwrap();
    let mut removing = fill(3, "3", 350..450);
    removing.state.extend((0..50).map(|number| remove(&key(number))));
    store.commit(removing).wait().unwrap();

    assert_eq!((all(&*empty), empty.progress(0).unwrap()), (Vec::new(), None));
    assert_eq!(all(&*first), expected);
    assert_eq!(first.get(&key(120)).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(first.get(&key(20)).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(first.get(&key(320)).unwrap(), None);
    assert_eq!(first.progress(0).unwrap().map(|progress| progress.checkpoint), Some(Position(1)));
    let shown = all(&*second);
    assert_eq!((shown.len(), shown[99].1[0], shown[100].1[0], shown[399].1[0]), (400, b'1', b'2', b'2'));
    assert_eq!(second.progress(0).unwrap().map(|progress| progress.checkpoint), Some(Position(2)));
    let now = store.state_snapshot(&owner("p")).unwrap();
    assert_eq!((all(&*now).len(), now.get(&key(20)).unwrap()), (400, None));
    assert_eq!(second.scan("k", Some(&key(398)), 100).unwrap().entries, [(key(399), b"2".to_vec())]);
}

/// A snapshot shows a generation that was dropped after it was taken, and one taken later does not.
pub fn a_snapshot_outlives_its_generation(subject: &dyn Subject) {
    let store = open(subject);
    store.commit(UnitOfWork { state: vec![put("a", "1"), put("b", "1")], ..work("p", 1, 1) }).wait().unwrap();
    let before = store.state_snapshot(&owner("p")).unwrap();
    let change = PluginChange {
        plugin: plugin("p"),
        record: PluginRecord { revision: 1, content: "{}".to_owned() },
        progress: Vec::new(),
        progress_removed: Vec::new(),
        generations_dropped: vec![0],
    };
    store.change_plugin(change).wait().unwrap();
    let after = store.state_snapshot(&owner("p")).unwrap();
    assert_eq!(before.scan("", None, 10).unwrap().entries.len(), 2);
    assert_eq!(before.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!((after.scan("", None, 10).unwrap().entries.len(), after.get("a").unwrap()), (0, None));
    assert_eq!(after.progress(0).unwrap(), None);
}
