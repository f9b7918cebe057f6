//! The promises of delivery to one partition.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::*;

#[tokio::test]
async fn promise_3_ordered_delivery_across_restarts_and_swaps() {
    let store = store();
    let handle = |event: &RecordedEvent, effects: &mut Effects| {
        remember(event, effects);
        Ok(())
    };
    append(&store, "N", 0..300).await;
    let first = start(setup(handle), &store);
    until(&first, |status| status.counters.handled > 50).await;
    first.stop().await;
    append(&store, "N", 300..600).await;
    let second = start(setup(handle), &store);
    for _ in 0..20 {
        second.swap(setup(handle)).await.unwrap();
    }
    append(&store, "N", 600..700).await;
    until(&second, |status| status.checkpoint == Position(700)).await;
    assert_eq!(seen(&store), (0..700).collect::<Vec<_>>());
    assert!(matches!(first.swap(setup(handle)).await, Err(CommandError::Stopped { .. })));
}

#[tokio::test]
async fn promise_5_one_commit_a_failed_attempt_leaves_nothing_behind() {
    let store = store();
    append(&store, "N", 0..40).await;
    let mut failures = 0;
    let dispatcher = start(
        Setup {
            subscription: only("N"),
            ..setup(move |event, effects| {
                remember(event, effects);
                effects.append(event.position, echo(event)).unwrap();
                if event.data == b"17" && failures < 2 {
                    failures += 1;
                    return Err((Verdict::Retry { after_ms: Some(0) }, "not yet".into()));
                }
                Ok(())
            })
        },
        &store,
    );
    let status = until(&dispatcher, |status| status.counters.handled == 40).await;
    assert_eq!(seen(&store), (0..40).collect::<Vec<_>>());
    let echoes = echoes(&store);
    assert_eq!(echoes.len(), 40, "one each");
    assert_eq!((status.counters.emitted, status.counters.parked), (40, 0));
    let source = &store.read(&ReadRequest { limit: 1, ..ReadRequest::default() }).unwrap().events[0];
    assert_eq!(echoes[0].metadata["causation_id"], source.id.to_string());
    assert_eq!(echoes[0].metadata["correlation_id"], source.id.to_string());
}

#[tokio::test]
async fn promise_6_poison_is_contained_and_can_be_retried_after_a_fix() {
    let store = store();
    append(&store, "N", 0..20).await;
    let broken = |event: &RecordedEvent, effects: &mut Effects| {
        if event.data == b"7" {
            return Err((Verdict::Retry { after_ms: None }, "seven is bad".into()));
        }
        remember(event, effects);
        Ok(())
    };
    let dispatcher = start(setup(broken), &store);
    let status = until(&dispatcher, |status| status.checkpoint == Position(20)).await;
    assert_eq!((status.counters.parked, status.counters.retried, status.counters.handled), (1, 3, 19));
    let letter = store.dead_letter(&plugin().into(), Position(8)).unwrap().expect("it is set aside");
    assert_eq!((letter.attempts, letter.kind.as_str(), letter.reason.as_str()), (3, "retry", "seven is bad"));
    assert_eq!(letter.component_digest, "digest");

    let again = dispatcher.retry_dead_letters(Retry::Position(Position(8))).await.unwrap();
    assert_eq!((again.handled, again.failed), (0, 1));
    assert_eq!((again.failing[0].position, again.failing[0].reason.as_str()), (Position(8), "seven is bad"));
    assert_eq!(store.dead_letter(&plugin().into(), Position(8)).unwrap().unwrap().attempts, 4);

    let fixed = |event: &RecordedEvent, effects: &mut Effects| {
        remember(event, effects);
        Ok(())
    };
    dispatcher.swap(setup(fixed)).await.unwrap();
    let again = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((again.handled, again.failed, again.interrupted), (1, 0, None));
    assert_eq!(store.dead_letter_count(&plugin().into()).unwrap(), 0);
    assert_eq!(seen(&store).last(), Some(&7));
    assert!(matches!(
        dispatcher.retry_dead_letters(Retry::Position(Position(8))).await,
        Err(CommandError::NoSuchDeadLetter { position: Position(8), .. })
    ));
}

#[tokio::test]
async fn a_dead_letter_can_be_discarded() {
    let store = store();
    append(&store, "N", 0..3).await;
    let dispatcher = start(setup(|_, _| Err((Verdict::Reject, "no".into()))), &store);
    until(&dispatcher, |status| status.counters.parked == 3).await;
    dispatcher.discard_dead_letter(Position(2)).await.unwrap();
    let left = set_aside(&store);
    assert_eq!(left.iter().map(|letter| letter.position.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(left[0].attempts, 1, "a rejected event is set aside at once");
}

#[tokio::test]
async fn promise_7_a_panicking_handler_costs_its_event_only() {
    let store = store();
    append(&store, "N", 0..30).await;
    let dispatcher = start(
        setup(|event, effects| {
            assert!(event.data != b"11", "eleven");
            remember(event, effects);
            Ok(())
        }),
        &store,
    );
    let status = until(&dispatcher, |status| status.checkpoint == Position(30)).await;
    assert_eq!((status.counters.parked, status.counters.handled), (1, 29));
    let letter = &store.dead_letters(&plugin().into(), Position::START, 10).unwrap()[0];
    assert_eq!(letter.position, Position(12));
    assert!(letter.reason.contains("eleven"), "{}", letter.reason);
    assert!(!seen(&store).contains(&11));
}

#[tokio::test]
async fn a_stop_verdict_halts_and_a_new_version_goes_on() {
    let store = store();
    append(&store, "N", 0..5).await;
    let dispatcher = start(
        setup(|event, effects| {
            remember(event, effects);
            if event.data == b"3" { Err((Verdict::Stop, "enough".into())) } else { Ok(()) }
        }),
        &store,
    );
    let status = until(&dispatcher, |status| matches!(status.state, State::Halted { .. })).await;
    assert_eq!(status.checkpoint, Position(3));
    assert!(matches!(&status.state, State::Halted { reason } if reason.contains("enough")));
    let fixed = |event: &RecordedEvent, effects: &mut Effects| {
        remember(event, effects);
        Ok(())
    };
    dispatcher.swap(setup(fixed)).await.unwrap();
    until(&dispatcher, |status| status.checkpoint == Position(5)).await;
    assert_eq!(seen(&store), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn events_that_are_not_granted_are_denied_with_the_line_that_allows_them() {
    let store = store();
    append(&store, "N", 0..1).await;
    let denied = Arc::new(Mutex::new(String::new()));
    let text = Arc::clone(&denied);
    let dispatcher = start(
        setup(move |event, effects| {
            let other = NewEvent::json(EventType::new("Other").unwrap(), "1");
            *text.lock().unwrap() = effects.append(event.position, other).unwrap_err().to_string();
            Ok(())
        }),
        &store,
    );
    until(&dispatcher, |status| status.counters.handled == 1).await;
    assert!(denied.lock().unwrap().contains("in [grants]: append = ['Echo*', 'Other']"), "{denied:?}");
}

/// Namespace of the ids of what plugins append.
const APPENDED: Uuid = Uuid::from_u128(0x6f1f_3a57_9f0e_4a53_8d5c_7d1e_2b94_c0a6);

/// Appends 30 events and one of a stranger, under an id; and has the former echoed.
async fn echoed_beside_a_stranger(store: &Arc<dyn Store>, id: Uuid) -> Dispatcher {
    append(store, "N", 0..30).await;
    let stranger = NewEvent { id, ..NewEvent::json(EventType::new("Stranger").unwrap(), "0") };
    store.append(AppendRequest::unconditional(vec![stranger])).await.unwrap();
    let handle = |event: &RecordedEvent, effects: &mut Effects| {
        effects.append(event.position, echo(event)).unwrap();
        Ok(())
    };
    start(Setup { subscription: only("N"), ..setup(handle) }, store)
}

#[tokio::test]
async fn what_the_store_refuses_costs_one_event_not_the_plugin() {
    let store = store();
    // The id that event 10's echo would get, as if somebody had known the store's secret.
    let dispatcher = echoed_beside_a_stranger(&store, store.own_ids().id(&APPENDED, "p/10/0")).await;
    let status = until(&dispatcher, |status| status.counters.handled == 29).await;
    assert_eq!(status.counters.parked, 1);
    let letter = store.dead_letter(&plugin().into(), Position(10)).unwrap().expect("event 10 is to blame");
    assert!(letter.reason.contains("other content"), "{}", letter.reason);
    assert_eq!(echoes(&store).len(), 29);
}

#[tokio::test]
async fn an_id_that_follows_from_what_everybody_knows_is_none_of_what_a_plugin_appends() {
    let store = store();
    let dispatcher = echoed_beside_a_stranger(&store, Uuid::new_v5(&APPENDED, b"p/10/0")).await;
    let status = until(&dispatcher, |status| status.counters.handled + status.counters.parked == 30).await;
    assert_eq!((status.counters.parked, echoes(&store).len()), (0, 30));
}

#[tokio::test]
async fn two_runners_of_one_plugin_cannot_both_commit() {
    let store = store();
    let handle = |event: &RecordedEvent, effects: &mut Effects| {
        remember(event, effects);
        Ok(())
    };
    let one = start(setup(handle), &store);
    let two = start(setup(handle), &store);
    until(&one, |_| true).await;
    let (mut first, mut second) = (one.watch(), two.watch());
    let halted = |status: &Status| matches!(status.state, State::Halted { .. });
    let fenced = tokio::time::timeout(DEADLINE, async {
        // One of them may have handled all that there is before the other has begun.
        let mut round = 0;
        loop {
            append(&store, "N", round..round + 1).await;
            round += 1;
            for status in [&mut first, &mut second] {
                let status = status.borrow_and_update().clone();
                if halted(&status) {
                    return status;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    let fenced = fenced.await.expect("one of them is fenced off");
    assert!(matches!(&fenced.state, State::Halted { reason } if reason.contains("another runner")));
    let (head, seen) = (store.head(), seen(&store));
    assert!(seen.len() as u64 <= head.0 && seen.is_sorted(), "nothing twice: {seen:?}");
}

#[tokio::test]
async fn starts_are_where_the_manifest_says_and_stay_there() {
    let store = store();
    append(&store, "N", 0..10).await;
    let started = |begin: Start, name: &str, store: &Arc<dyn Store>| {
        let subscription = Subscription { start: begin, ..Subscription::default() };
        start(Setup { plugin: PluginName::new(name).unwrap(), subscription, ..setup(|_, _| Ok(())) }, store)
    };
    let at_end = started(Start::End, "end", &store);
    until(&at_end, |status| status.checkpoint == Position(10)).await;
    at_end.stop().await;
    append(&store, "N", 10..15).await;
    let at_end = started(Start::End, "end", &store);
    let status = until(&at_end, |status| status.checkpoint == Position(15)).await;
    assert_eq!(status.counters.handled, 5, "the first start counts, not the restart");
    let after = started(Start::After(Position(4)), "after", &store);
    assert_eq!(until(&after, |status| status.checkpoint == Position(15)).await.counters.handled, 11);
}

#[tokio::test]
async fn promise_4_nothing_skipped_by_a_start_at_the_end_of_an_empty_log() {
    let store = store();
    let at_end = || Setup {
        subscription: Subscription { start: Start::End, ..Subscription::default() },
        ..setup(|_, _| Ok(()))
    };
    let first = start(at_end(), &store);
    first.swap(at_end()).await.unwrap();
    first.stop().await;
    append(&store, "N", 0..1).await;
    let second = start(at_end(), &store);
    assert_eq!(until(&second, |status| status.checkpoint == Position(1)).await.counters.handled, 1);
}

#[tokio::test]
async fn stopping_lets_go_of_the_store() {
    let store = store();
    let dispatcher = start(setup(|_, _| Ok(())), &store);
    append(&store, "N", 0..10).await;
    until(&dispatcher, |status| status.checkpoint == Position(10)).await;
    dispatcher.stop().await;
    assert_eq!(Arc::strong_count(&store), 1, "a host can be started on it again at once");
}

#[tokio::test]
async fn a_retry_that_panics_is_written_down() {
    let store = store();
    append(&store, "N", 0..1).await;
    let dispatcher = start(setup(|_, _| panic!("always")), &store);
    until(&dispatcher, |status| status.counters.parked == 1).await;
    let again = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert!(again.failing[0].reason.contains("always"), "{again:?}");
    assert_eq!(store.dead_letter(&plugin().into(), Position(1)).unwrap().unwrap().faults, 4);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_task() {
    let ended = Arc::new(AtomicBool::new(false));
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Flag(Arc::clone(&ended));
    let dispatcher = start(
        setup(move |_, _| {
            let _held = &flag;
            Ok(())
        }),
        &store(),
    );
    let mut watch = dispatcher.watch();
    drop(dispatcher);
    let closed = async { while watch.changed().await.is_ok() {} };
    tokio::time::timeout(DEADLINE, closed).await.expect("the task ends");
    assert!(ended.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_a_plugin_is_handed_is_told_from_when_it_has_begun() {
    let store = store();
    let of = |event_type| Setup { subscription: only(event_type), ..setup(|_, _| Ok(())) };
    let dispatcher = start(of("A"), &store);
    assert_eq!(dispatcher.status().filter, None);
    let status = until(&dispatcher, |status| status.filter.is_some()).await;
    assert_eq!(status.filter, Some(only("A").filter));
    dispatcher.swap(of("B")).await.unwrap();
    assert_eq!(dispatcher.status().filter, Some(only("B").filter));
    dispatcher.stop().await;
}
