//! Generations that are built beside the live one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::delivery::{Key, Policy, Rebuild, generations, live_owner};
use crate::event::Category;
use crate::store::Owner;

/// Handles numbers: refuses some, keeps the others by stream and echoes them.
pub(super) fn version(digest: &str, refuses: &'static [u32]) -> Setup {
    gated(digest, refuses, u32::MAX, &Arc::default())
}

/// The same, that comes no further than a number until a gate is open.
pub(super) fn gated(digest: &str, refuses: &'static [u32], wait: u32, gate: &Arc<AtomicBool>) -> Setup {
    let gate = Arc::clone(gate);
    let handle = move |event: &RecordedEvent, effects: &mut Effects| {
        if data(event) >= wait && !gate.load(Ordering::Relaxed) {
            return Err((Verdict::Retry { after_ms: Some(1) }, "the gate is closed".into()));
        }
        if refuses.contains(&data(event)) {
            return Err((Verdict::Reject, "refused".into()));
        }
        remember_by_stream(event, effects);
        effects.append(event.position, echo(event)).unwrap();
        Ok(())
    };
    Setup { subscription: only("N"), component_digest: digest.into(), ..setup(handle) }
}

/// A version that listens to these types.
pub(super) fn listening(setup: Setup, types: &[&str]) -> Setup {
    let types = types.iter().map(|name| Pattern::new(*name).unwrap()).collect();
    let subscription = Subscription { filter: Filter { types, ..Filter::default() }, ..Subscription::default() };
    Setup { subscription, ..setup }
}

pub(super) fn begin(live: &str) -> Rebuild {
    Rebuild::Begin { from: None, reason: "asked for".into(), live: live.into() }
}

/// What the live state holds under each key.
pub(super) fn state(store: &Arc<dyn Store>) -> BTreeMap<String, String> {
    let owner = live_owner(&plugin(), &**store).unwrap();
    let page = store.state_scan(&owner, "", None, 1000).unwrap();
    page.entries.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap())).collect()
}

/// What handling numbers of streams in order makes of the state.
pub(super) fn fold(numbers: impl IntoIterator<Item = (u32, char)>) -> BTreeMap<String, String> {
    let mut state = BTreeMap::<String, String>::new();
    for (number, stream) in numbers {
        let seen = state.entry(stream.to_string()).or_default();
        *seen = format!("{seen}{number} ");
    }
    state
}

/// Asserts that each number is echoed once.
pub(super) fn echoed_once(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u32>) {
    let mut echoed: Vec<_> = echoes(store).iter().map(data).collect();
    echoed.sort_unstable();
    let mut expected: Vec<_> = numbers.into_iter().collect();
    expected.sort_unstable();
    assert_eq!(echoed, expected);
}

/// Waits until so many events are handled, or set aside, in the live generation.
pub(super) async fn settled(dispatcher: &Dispatcher, store: &Arc<dyn Store>) {
    let head = || store.head();
    until(dispatcher, |status| status.checkpoint >= head() && status.rebuild.is_none()).await;
}

pub(super) async fn generation(dispatcher: &Dispatcher, generation: u32) -> Status {
    until(dispatcher, |status| {
        status.generation == generation && status.rebuild.is_none() && status.rebuild_pause_us.is_some()
    })
    .await
}

#[tokio::test]
async fn promise_10_a_rebuilt_state_is_the_fold_and_emits_nothing_twice_while_the_live_one_goes_on() {
    let store = store();
    append_to(&store, 0, &"abc".repeat(100)).await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let gate = Arc::default();
    dispatcher.rebuild(gated("one", &[], 250, &gate), begin("one")).await.unwrap();
    assert!(matches!(
        dispatcher.rebuild(version("one", &[]), begin("one")).await,
        Err(CommandError::Rebuilding { .. })
    ));
    // The live one handles and answers while the other waits.
    append_to(&store, 300, &"abc".repeat(100)).await;
    let status = until(&dispatcher, |status| status.counters.handled == 600).await;
    let rebuild = status.rebuild.unwrap();
    assert_eq!((rebuild.generation, rebuild.from, rebuild.reason.as_str()), (1, Position(1), "asked for"));
    assert_eq!(state(&store), fold((0..600).zip("abc".chars().cycle())));
    let status = until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|rebuild| rebuild.rate > 0)).await;
    let rebuild = status.rebuild.unwrap();
    let left = rebuild.target.0 - rebuild.position.0;
    assert_eq!(rebuild.seconds_left, Some(left.div_ceil(rebuild.rate)), "of {left}");
    gate.store(true, Ordering::Relaxed);
    generation(&dispatcher, 1).await;
    assert_eq!(state(&store), fold((0..600).zip("abc".chars().cycle())));
    append_to(&store, 600, &"abc".repeat(10)).await;
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..630).zip("abc".chars().cycle())));
    echoed_once(&store, 0..630);
    let known = generations(&plugin(), &*store).unwrap();
    assert_eq!((known.live, known.previous.unwrap().generation, known.building), (1, 0, None));
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_an_operator_discarded_no_later_generation_handles() {
    let store = store();
    append_to(&store, 0, "abcdefghij").await;
    let dispatcher = start(version("one", &[2, 5]), &store);
    until(&dispatcher, |status| status.checkpoint >= Position(10)).await;
    dispatcher.discard_dead_letter(Position(3)).await.unwrap();
    assert!(matches!(dispatcher.discard_dead_letter(Position(3)).await, Err(CommandError::NoSuchDeadLetter { .. })));
    let again = dispatcher.retry_dead_letters(Retry::Position(Position(3))).await;
    assert!(matches!(again, Err(CommandError::NoSuchDeadLetter { .. })), "{again:?}");
    assert_eq!(store.dead_letter_count(&plugin().into()).unwrap(), 1);
    // This version would handle both.
    dispatcher.rebuild(version("two", &[]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    let without =
        |numbers: &'static [u32]| (0..10).zip("abcdefghij".chars()).filter(|(number, _)| !numbers.contains(number));
    assert_eq!(state(&store), fold(without(&[2, 5])), "what is set aside still waits for an operator");
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 1);
    // So it is after another rebuild, of the one that was built, and after a restart.
    dispatcher.stop().await;
    let dispatcher = start(version("two", &[]), &store);
    until(&dispatcher, |status| status.generation == 1).await;
    dispatcher.rebuild(version("two", &[]), begin("two")).await.unwrap();
    generation(&dispatcher, 2).await;
    assert_eq!(state(&store), fold(without(&[2])));
    assert_eq!(dispatcher.status().set_aside, Default::default());
    let owner = live_owner(&plugin(), &*store).unwrap();
    let kept = store.dead_letters(&owner, Position::START, 10).unwrap();
    assert_eq!(kept.iter().map(|row| (row.position.0, row.is_discarded())).collect::<Vec<_>>(), [(3, true)]);
    echoed_once(&store, (0..10).filter(|number| *number != 2));
}

#[tokio::test]
async fn a_rebuild_goes_on_after_a_restart_and_only_the_last_generation_before_is_kept() {
    let store = store();
    append_to(&store, 0, &"ab".repeat(100)).await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let gate: Arc<AtomicBool> = Arc::default();
    dispatcher.rebuild(gated("one", &[], 150, &gate), begin("one")).await.unwrap();
    until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|it| it.position >= Position(100))).await;
    // As a crash would, without a word. What it still does it does alone: two would end each other.
    let mut watch = dispatcher.watch();
    drop(dispatcher);
    while watch.changed().await.is_ok() {}
    gate.store(true, Ordering::Relaxed);
    let dispatcher = start(version("one", &[]), &store);
    let shown = until(&dispatcher, |status| status.rebuild.is_some()).await.rebuild.unwrap();
    assert_eq!((shown.generation, shown.state), (1, State::Stopped), "it waits for its version");
    let other = dispatcher.rebuild(version("other", &[]), Rebuild::GoOn).await;
    assert!(matches!(other, Err(CommandError::Replaced { .. })));
    dispatcher.rebuild(version("one", &[]), Rebuild::GoOn).await.unwrap();
    let status = generation(&dispatcher, 1).await;
    assert!(status.rebuild.is_none());
    assert_eq!(state(&store), fold((0..200).zip("ab".chars().cycle())));
    echoed_once(&store, 0..200);
    dispatcher.rebuild(version("one", &[]), begin("one")).await.unwrap();
    generation(&dispatcher, 2).await;
    let kept: Vec<_> =
        store.plugin_progress(&plugin()).unwrap().into_iter().map(|(owner, ..)| owner.generation).collect();
    assert_eq!(kept, [1, 2]);
    let nothing = dispatcher.rebuild(version("one", &[]), Rebuild::GoOn).await;
    assert!(matches!(nothing, Err(CommandError::NotRebuilding { .. })));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_rebuild_that_goes_on_with_another_subscription_begins_anew() {
    let store = store();
    append_to(&store, 0, "ab").await;
    append_as(&store, "M", 2, "cc").await;
    append_to(&store, 4, "ab").await;
    let both = |setup| listening(setup, &["N", "M"]);
    let dispatcher = start(both(version("one", &[])), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(gated("two", &[], 4, &Arc::default()), begin("one")).await.unwrap();
    until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|it| it.position >= Position(2))).await;
    dispatcher.stop().await;
    let dispatcher = start(both(version("one", &[])), &store);
    dispatcher.rebuild(both(version("two", &[])), Rebuild::GoOn).await.unwrap();
    let status = until(&dispatcher, |status| status.generation > 0 && status.rebuild.is_none()).await;
    assert_eq!(status.generation, 2);
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..6).zip("abccab".chars())));
    echoed_once(&store, 0..6);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_rebuild_that_begins_anew_over_a_log_that_was_cut_meanwhile_says_so() {
    let store = store();
    append_to(&store, 0, "aabb").await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let gate: Arc<AtomicBool> = Arc::default();
    dispatcher.rebuild(gated("two", &[], 2, &gate), begin("one")).await.unwrap();
    let has_come = |generation| {
        move |status: &Status| {
            let rebuild = status.rebuild.as_ref();
            rebuild.is_some_and(|it| it.generation == generation && it.position == Position(2))
        }
    };
    let built = until(&dispatcher, has_come(1)).await.rebuild.unwrap();
    assert_eq!(built.removed_before, None);
    store.remove(&Category::new("a").unwrap(), Position(2)).unwrap();
    let other = || listening(gated("two", &[], 2, &gate), &["N", "M"]);
    dispatcher.rebuild(other(), Rebuild::GoOn).await.unwrap();
    let anew = dispatcher.status().rebuild.unwrap();
    assert_eq!((anew.generation, anew.from, anew.removed_before), (2, Position(1), Some(Position(2))));
    // What goes on where it stands lacks no more than when it began.
    until(&dispatcher, has_come(2)).await;
    store.remove(&Category::new("a").unwrap(), Position(3)).unwrap();
    dispatcher.rebuild(other(), Rebuild::GoOn).await.unwrap();
    let still = dispatcher.status().rebuild.unwrap();
    assert_eq!((still.generation, still.removed_before), (2, Some(Position(2))));
    gate.store(true, Ordering::Relaxed);
    assert_eq!(generation(&dispatcher, 2).await.removed_before, Some(Position(2)));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_cancelled_rebuild_leaves_nothing() {
    let store = store();
    append_to(&store, 0, "aaaa").await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    assert!(matches!(dispatcher.cancel_rebuild().await, Err(CommandError::NotRebuilding { .. })));
    let gate: Arc<AtomicBool> = Arc::default();
    dispatcher.rebuild(gated("two", &[], 2, &gate), begin("one")).await.unwrap();
    gate.store(true, Ordering::Relaxed);
    // It may be live by now, unless it is ended before.
    if dispatcher.cancel_rebuild().await.is_ok() {
        let known = generations(&plugin(), &*store).unwrap();
        assert_eq!((known.live, known.building.is_none()), (0, true));
        let instead = known.instead.unwrap();
        assert_eq!((instead.run.as_str(), instead.of.as_str(), instead.cancelled), ("one", "two", true));
        let owners: Vec<_> = store.plugin_progress(&plugin()).unwrap().into_iter().map(|(owner, ..)| owner).collect();
        assert_eq!(owners, [Owner::from(plugin())]);
    }
    echoed_once(&store, 0..4);
    dispatcher.stop().await;
}

#[tokio::test]
async fn thousands_of_dead_letters_are_taken_over_and_the_rebuild_comes_to_its_end() {
    const EVENTS: usize = 6_000;
    let store = store();
    append_to(&store, 0, &"abc".repeat(EVENTS / 3)).await;
    let dispatcher = start(version("one", &[0, 1, 2]), &store);
    settled(&dispatcher, &store).await;
    let before = store.dead_letters(&plugin().into(), Position::START, EVENTS).unwrap();
    assert_eq!(before.len(), EVENTS, "all wait behind the first of their key");
    dispatcher.rebuild(version("one", &[0, 1, 2]), begin("one")).await.unwrap();
    let status = generation(&dispatcher, 1).await;
    assert_eq!((status.set_aside.parked, status.set_aside.waiting), (3, EVENTS - 3));
    let owner = live_owner(&plugin(), &*store).unwrap();
    assert!(store.dead_letters(&owner, Position::START, EVENTS).unwrap() == before, "they are the same");
}

#[tokio::test]
async fn dead_letters_are_carried_over_and_each_emits_once_in_the_end() {
    let store = store();
    // 1 is refused, so 3 and 5 wait behind it; 4 will be refused by what rebuilds.
    append_to(&store, 0, "abacbaca").await;
    let dispatcher = start(version("one", &[1]), &store);
    settled(&dispatcher, &store).await;
    echoed_once(&store, [0, 2, 3, 5, 6, 7]);
    let gate: Arc<AtomicBool> = Arc::default();
    dispatcher.rebuild(gated("two", &[3], 5, &gate), begin("one")).await.unwrap();
    for refused in
        [dispatcher.retry_dead_letters(Retry::All).await.map(drop), dispatcher.discard_dead_letter(Position(2)).await]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, CommandError::Rebuilding { .. }));
        assert!(error.to_string().contains("rebuild p --cancel"), "{error}");
    }
    gate.store(true, Ordering::Relaxed);
    generation(&dispatcher, 1).await;
    let owner = live_owner(&plugin(), &*store).unwrap();
    let rows = store.dead_letters(&owner, Position::START, 10).unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.position.0, row.kind.as_str(), row.component_digest.as_str(), row.quiet)).collect();
    assert_eq!(
        rows,
        [
            (2, "reject", "one", false),
            (4, "reject", "two", true),
            (5, "behind", "one", false),
            (7, "behind", "two", true)
        ]
    );
    // Both are mended.
    dispatcher.swap(version("three", &[])).await.unwrap();
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 4);
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..8).zip("abacbaca".chars())));
    echoed_once(&store, 0..8);
    dispatcher.stop().await;
}

/// A discard that was told before a rebuild began, and carried out when that had taken the event over: with the process
/// ending in between, and without.
#[tokio::test]
async fn what_is_discarded_while_a_rebuild_has_it_taken_over_no_generation_handles() {
    for restarted in [false, true] {
        let store = store();
        append_to(&store, 0, "abcab").await;
        // So many that what is built is not near before it is let go on.
        append_to(&store, 5, &"c".repeat(1200)).await;
        let dispatcher = start(version("one", &[1]), &store);
        settled(&dispatcher, &store).await;
        let (gates, busy): ([Arc<AtomicBool>; 2], Arc<AtomicBool>) = Default::default();
        // The live one is busy with an event, and takes no orders.
        let Setup { handlers, .. } = version("one", &[1]);
        let handlers = handlers.into_iter().map(|inner| waiting(inner, 1205, [&busy, &gates[0]])).collect();
        dispatcher.swap(Setup { handlers, ..version("one", &[]) }).await.unwrap();
        append_to(&store, 1205, "c").await;
        let is_busy = async {
            while !busy.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, is_busy).await.expect("the live one is handed the event");
        let discard = async {
            let discarded = dispatcher.discard_dead_letter(Position(2)).await;
            discarded.unwrap();
        };
        let rebuild = async {
            dispatcher.rebuild(gated("one", &[], 5, &gates[1]), begin("one")).await.unwrap();
            until(&dispatcher, |status| {
                status.rebuild.as_ref().is_some_and(|it| it.position == Position(5) && it.set_aside.parked == 1)
            })
            .await;
            gates[0].store(true, Ordering::Relaxed);
        };
        tokio::join!(discard, rebuild);
        let dispatcher = if restarted {
            dispatcher.stop().await;
            let dispatcher = start(version("one", &[1]), &store);
            dispatcher.rebuild(gated("one", &[], 5, &gates[1]), Rebuild::GoOn).await.unwrap();
            dispatcher
        } else {
            dispatcher
        };
        gates[1].store(true, Ordering::Relaxed);
        generation(&dispatcher, 1).await;
        settled(&dispatcher, &store).await;
        let streams = "abcab".chars().chain(std::iter::repeat_n('c', 1201));
        let without = (0..).zip(streams).filter(|(number, _)| *number != 1);
        assert_eq!(state(&store), fold(without), "restarted: {restarted}");
        let owner = live_owner(&plugin(), &*store).unwrap();
        let rows = store.dead_letters(&owner, Position::START, 10).unwrap();
        assert_eq!(rows.iter().map(|row| (row.position.0, row.is_discarded())).collect::<Vec<_>>(), [(2, true)]);
        echoed_once(&store, (0..1206).filter(|number| *number != 1));
        dispatcher.stop().await;
    }
}

/// A handler that does not answer for what holds a number until the second gate is open, and opens the first then.
fn waiting(mut inner: Box<dyn Handler>, wait: u32, gates: [&Arc<AtomicBool>; 2]) -> Box<dyn Handler> {
    struct Waiting<F>(F);
    impl<F: FnMut(EventBatch, Effects) -> Handled + Send + 'static> Handler for Waiting<F> {
        fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
            (self.0)(batch, effects)
        }
    }
    let [reached, gate] = gates.map(Arc::clone);
    Box::new(Waiting(move |batch: EventBatch, effects: Effects| {
        while batch.iter().any(|event| data(event) >= wait) && !gate.load(Ordering::Relaxed) {
            reached.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
        inner.handle(batch, effects)
    }))
}

#[tokio::test]
async fn what_the_live_one_settles_meanwhile_is_settled_in_the_rebuilt_one_too() {
    let store = store();
    append_to(&store, 0, "aabb").await;
    let open: Arc<AtomicBool> = Arc::default();
    let waits = |digest: &str, open: &Arc<AtomicBool>, gate: &Arc<AtomicBool>| {
        let (open, gate) = (Arc::clone(open), Arc::clone(gate));
        let handle = move |event: &RecordedEvent, effects: &mut Effects| {
            while data(event) == 3 && !gate.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            if data(event) == 0 && !open.load(Ordering::Relaxed) {
                return Err((Verdict::Retry { after_ms: Some(1) }, "not yet".into()));
            }
            remember_by_stream(event, effects);
            effects.append(event.position, echo(event)).unwrap();
            Ok(())
        };
        let setup = setup(handle);
        let policy = Policy { key: Some(Key::Stream), ..setup.policy };
        Setup { subscription: only("N"), component_digest: digest.into(), policy, ..setup }
    };
    let (opened, gate): (Arc<AtomicBool>, Arc<AtomicBool>) = (Arc::new(true.into()), Arc::default());
    let dispatcher = start(waits("one", &open, &opened), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(waits("one", &opened, &gate), begin("one")).await.unwrap();
    until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|it| it.set_aside.parked > 0)).await;
    // The live one resolves what it had set aside, after it was taken over.
    open.store(true, Ordering::Relaxed);
    until(&dispatcher, |status| status.counters.handled == 4).await;
    gate.store(true, Ordering::Relaxed);
    generation(&dispatcher, 1).await;
    assert_eq!(state(&store), fold((0..4).zip("aabb".chars())));
    let owner = live_owner(&plugin(), &*store).unwrap();
    assert_eq!(store.dead_letter_count(&owner).unwrap(), 0);
    echoed_once(&store, 0..4);
    dispatcher.stop().await;
}

#[tokio::test]
async fn two_partitions_are_rebuilt_side_by_side() {
    let store = store();
    let streams = "abcdefgh".repeat(50);
    append_to(&store, 0, &streams).await;
    let both = |digest: &str| {
        let handlers = (0..2).flat_map(|_| version(digest, &[17]).handlers).collect();
        Setup { handlers, ..version(digest, &[]) }
    };
    let dispatcher = start(both("one"), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(both("one"), begin("one")).await.unwrap();
    append_to(&store, 400, &streams).await;
    generation(&dispatcher, 1).await;
    settled(&dispatcher, &store).await;
    let handled = |number: &u32| *number < 17 || number % 8 != 1;
    let numbers = (0..800).zip("abcdefgh".chars().cycle());
    assert_eq!(state(&store), fold(numbers.filter(|(number, _)| handled(number))));
    echoed_once(&store, (0..800).filter(handled));
    dispatcher
        .swap({
            let handlers = (0..2).flat_map(|_| version("two", &[]).handlers).collect();
            Setup { handlers, ..version("two", &[]) }
        })
        .await
        .unwrap();
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!(state(&store), fold((0..800).zip("abcdefgh".chars().cycle())));
    settled(&dispatcher, &store).await;
    echoed_once(&store, 0..800);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_rebuild_that_halts_is_shown_and_the_live_one_goes_on() {
    let store = store();
    append_to(&store, 0, "abc").await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let stops = |event: &RecordedEvent, _: &mut Effects| {
        if data(event) < 2 { Ok(()) } else { Err((Verdict::Stop, "no further".to_owned())) }
    };
    let stopping = Setup { subscription: only("N"), component_digest: "one".into(), ..setup(stops) };
    dispatcher.rebuild(stopping, begin("one")).await.unwrap();
    let halted = |status: &Status| {
        status
            .rebuild
            .as_ref()
            .is_some_and(|it| matches!(&it.state, State::Halted { reason } if reason.contains("no further")))
    };
    let rebuild = until(&dispatcher, halted).await.rebuild.unwrap();
    assert_eq!((rebuild.position, rebuild.seconds_left), (Position(2), None), "nobody knows when it goes on");
    assert!(rebuild.held_up.as_ref().is_some_and(|reason| reason.contains("no further")), "{rebuild:?}");
    append_to(&store, 3, "abc").await;
    let status = until(&dispatcher, |status| status.counters.handled == 6).await;
    assert_eq!(status.state, State::Running);
    dispatcher.cancel_rebuild().await.unwrap();
    assert_eq!(dispatcher.status().rebuild, None);
    dispatcher.stop().await;
}

#[tokio::test]
async fn the_live_one_never_stops_for_one_that_asks_for_time() {
    let store = store();
    append_to(&store, 0, "abc").await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let asks = |_: &RecordedEvent, _: &mut Effects| {
        Err((Verdict::Retry { after_ms: Some(3_600_000) }, "in an hour".to_owned()))
    };
    let asking = Setup { subscription: only("N"), component_digest: "one".into(), ..setup(asks) };
    dispatcher.rebuild(asking, begin("one")).await.unwrap();
    let waits = |status: &Status| {
        status
            .rebuild
            .as_ref()
            .is_some_and(|it| matches!(it.state, State::BackingOff { .. }) && it.counters.retried > 0)
    };
    until(&dispatcher, waits).await;
    // Each time it is looked at once more.
    for number in 3..10 {
        append_to(&store, number, "a").await;
        let head = store.head();
        until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|it| it.target >= head)).await;
    }
    let status = dispatcher.status();
    let held_up = status.rebuild.and_then(|it| it.held_up);
    assert_eq!((status.counters.handled, status.rebuild_pause_us, held_up), (10, None, None));
    dispatcher.cancel_rebuild().await.unwrap();
    dispatcher.stop().await;
}

#[tokio::test]
async fn where_a_rebuild_may_begin() {
    let store = store();
    append_to(&store, 0, "abcabc").await;
    let at_end = || Setup {
        subscription: Subscription { start: Start::After(Position(2)), ..only("N") },
        ..version("one", &[])
    };
    let dispatcher = start(at_end(), &store);
    settled(&dispatcher, &store).await;
    for from in [0, 500] {
        let how = Rebuild::Begin { from: Some(Position(from)), reason: String::new(), live: "one".into() };
        let error = dispatcher.rebuild(at_end(), how).await.unwrap_err();
        assert!(matches!(error, CommandError::NoSuchStart { .. }), "{error}");
    }
    let error = dispatcher.rebuild(at_end(), begin("another")).await.unwrap_err();
    assert!(matches!(error, CommandError::Replaced { .. }), "{error}");
    dispatcher.rebuild(at_end(), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    assert_eq!(state(&store), fold((2..6).zip("cabc".chars())), "from where it began");
    let how = Rebuild::Begin { from: Some(Position(5)), reason: String::new(), live: "one".into() };
    dispatcher.rebuild(at_end(), how).await.unwrap();
    generation(&dispatcher, 2).await;
    assert_eq!(state(&store), fold((4..6).zip("bc".chars())));
    echoed_once(&store, 2..6);
    dispatcher.stop().await;
}
