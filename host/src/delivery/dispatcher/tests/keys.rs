//! Events that are set aside: their keys, their order, operators.

use super::*;
use crate::delivery::{Key, KeyMissing};
use crate::event::Tag;

fn by_key<F>(handle: F) -> Setup
where
    F: FnMut(&RecordedEvent, &mut Effects) -> Result<(), (Verdict, String)> + Send + 'static,
{
    let setup = setup(handle);
    Setup { policy: Policy { key: Some(Key::Stream), ..setup.policy }, ..setup }
}

/// Rejects one number, handles the rest.
fn all_but(bad: u32) -> impl FnMut(&RecordedEvent, &mut Effects) -> Result<(), (Verdict, String)> + Send + 'static {
    move |event, effects| {
        if data(event) == bad {
            return Err((Verdict::Reject, format!("{bad} is bad")));
        }
        remember_by_stream(event, effects);
        Ok(())
    }
}

fn fine(event: &RecordedEvent, effects: &mut Effects) -> Result<(), (Verdict, String)> {
    remember_by_stream(event, effects);
    Ok(())
}

#[tokio::test]
async fn promise_6_later_events_of_a_key_wait_behind_a_dead_letter_and_other_keys_flow() {
    let store = store();
    append_to(&store, 0, "abababab").await;
    let dispatcher = start(by_key(all_but(2)), &store);
    let status = until(&dispatcher, |status| status.checkpoint == Position(8)).await;
    assert_eq!(numbers(&store, "b"), [1, 3, 5, 7]);
    assert_eq!(numbers(&store, "a"), [0]);
    assert_eq!((status.set_aside.parked, status.set_aside.waiting, status.set_aside.blocked_keys), (1, 2, 1));
    assert_eq!((status.counters.parked, status.counters.behind), (1, 2));
    let kinds: Vec<_> = set_aside(&store).into_iter().map(|row| (row.position.0, row.kind, row.key)).collect();
    let row = |position, kind: &str| (position, kind.to_owned(), Some("a".to_owned()));
    assert_eq!(kinds, [row(3, "reject"), row(5, "behind"), row(7, "behind")]);

    let behind = dispatcher.retry_dead_letters(Retry::Position(Position(5))).await.unwrap_err();
    assert!(behind.to_string().contains("waits behind event 3"), "{behind}");
    dispatcher.stop().await;
    let dispatcher = start(by_key(all_but(6)), &store);
    let again = dispatcher.retry_dead_letters(Retry::Key("a".into())).await.unwrap();
    assert_eq!(
        (again.handled, again.failed, again.failing[0].position),
        (2, 1, Position(7)),
        "up to the next that fails"
    );
    dispatcher.swap(by_key(fine)).await.unwrap();
    append_to(&store, 8, "a").await;
    until(&dispatcher, |status| status.checkpoint == Position(9)).await;
    assert_eq!(numbers(&store, "a"), [0, 2, 4], "what came since waits too");
    let again = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((again.handled, again.failed), (2, 0));
    assert_eq!((numbers(&store, "a"), set_aside(&store).len()), (vec![0, 2, 4, 6, 8], 0));
    let nothing = dispatcher.retry_dead_letters(Retry::All).await.unwrap_err();
    assert!(nothing.to_string().contains("nothing to retry"), "{nothing}");
    let unknown = dispatcher.retry_dead_letters(Retry::Key("z".into())).await.unwrap_err();
    assert!(unknown.to_string().contains("no dead letters of key \"z\""), "{unknown}");
}

#[tokio::test]
async fn the_dead_letters_of_a_key_or_all_are_discarded_and_none_of_them_is_handled() {
    // More of one key than one commit takes.
    const EACH: u32 = 1_500;
    let store = store();
    append_to(&store, 0, &"abc".repeat(EACH as usize)).await;
    let refuse = |event: &RecordedEvent, effects: &mut Effects| match data(event) {
        0..3 => Err((Verdict::Reject, "the first of its key".into())),
        _ => fine(event, effects),
    };
    let dispatcher = start(by_key(refuse), &store);
    until(&dispatcher, |status| status.set_aside.waiting == 3 * (EACH as usize - 1)).await;
    let discard = async |letters: Letters| dispatcher.discard_dead_letters(letters).await;
    assert_eq!(discard(Letters::Key("a".into())).await.unwrap(), u64::from(EACH));
    assert!(matches!(discard(Letters::Key("a".into())).await, Err(CommandError::NoSuchKey { .. })));
    assert_eq!(discard(Letters::Position(Position(2))).await.unwrap(), 1);
    until(&dispatcher, |status| status.set_aside.blocked_keys == 1).await;
    assert_eq!(numbers(&store, "b").len() as u32, EACH - 1, "what waited behind the discarded one follows");
    assert_eq!(discard(Letters::All).await.unwrap(), u64::from(EACH));
    assert!(matches!(discard(Letters::All).await, Err(CommandError::NothingSetAside { .. })));
    append_to(&store, 3 * EACH, "ac").await;
    let head = Position(u64::from(3 * EACH + 2));
    let status = until(&dispatcher, |status| status.checkpoint == head).await;
    assert_eq!((numbers(&store, "a"), numbers(&store, "c")), (vec![3 * EACH], vec![3 * EACH + 1]));
    assert_eq!(status.counters.discarded, u64::from(2 * EACH + 1));
}

#[tokio::test]
async fn thousands_of_dead_letters_are_retried_at_once() {
    const EVENTS: u32 = 3_000;
    let store = store();
    append(&store, "N", 0..EVENTS).await;
    let refuse = setup(|_, _| Err((Verdict::Reject, "not yet".into())));
    let dispatcher = start(refuse, &store);
    until(&dispatcher, |status| status.set_aside.parked == EVENTS as usize).await;
    let mended = setup(|event, effects| effects.state_set("last", event.data.to_vec()).map_err(|_| unreachable!()));
    dispatcher.swap(mended).await.unwrap();
    let again = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((again.handled, again.sequences, again.interrupted), (EVENTS.into(), EVENTS as usize, None));
}

#[tokio::test]
async fn a_discarded_head_lets_its_key_go_on() {
    let store = store();
    append_to(&store, 0, "aaaa").await;
    let dispatcher = start(setup(all_but(1)), &store);
    until(&dispatcher, |status| status.set_aside.waiting == 2).await;
    dispatcher.discard_dead_letter(Position(2)).await.unwrap();
    let status = until(&dispatcher, |status| status.set_aside == Default::default()).await;
    assert_eq!((numbers(&store, "a"), status.counters.handled), (vec![0, 2, 3], 3));
    assert!(matches!(
        dispatcher.discard_dead_letter(Position(2)).await,
        Err(CommandError::NoSuchDeadLetter { position: Position(2), .. })
    ));
}

#[tokio::test]
async fn a_failing_event_is_tried_again_by_itself_and_its_key_follows_in_order() {
    let store = store();
    append_to(&store, 0, "aabab").await;
    let mut tries = 0;
    let dispatcher = start(
        by_key(move |event, effects| {
            if data(event) == 0 && tries < 2 {
                tries += 1;
                return Err((Verdict::Retry { after_ms: None }, "not yet".into()));
            }
            fine(event, effects)
        }),
        &store,
    );
    let status = until(&dispatcher, |status| status.counters.handled == 5).await;
    assert_eq!((numbers(&store, "a"), numbers(&store, "b")), (vec![0, 1, 3], vec![2, 4]));
    assert_eq!((status.counters.retried, status.counters.parked, set_aside(&store).len()), (2, 0, 0));
}

#[tokio::test]
async fn a_world_that_is_not_ready_burns_no_attempts() {
    let store = store();
    append_to(&store, 0, "a").await;
    let mut tries = 0;
    let dispatcher = start(
        by_key(move |event, effects| {
            tries += 1;
            if tries < 20 {
                return Err((Verdict::Retry { after_ms: Some(1) }, "the bank is closed".into()));
            }
            fine(event, effects)
        }),
        &store,
    );
    let status = until(&dispatcher, |status| status.counters.handled == 1).await;
    assert_eq!((status.counters.answers.retry, status.counters.parked), (19, 0));
    assert!(status.counters.retried < 15, "not each is a commit: {}", status.counters.retried);
}

#[tokio::test]
async fn the_queue_of_a_key_is_retried_while_live_delivery_goes_on() {
    let store = store();
    append_to(&store, 0, &"a".repeat(200)).await;
    let dispatcher = start(by_key(all_but(0)), &store);
    until(&dispatcher, |status| status.set_aside.waiting == 199).await;
    dispatcher.swap(by_key(fine)).await.unwrap();
    let feeding = async {
        for round in 0..40 {
            append_to(&store, 1000 + round * 10, "bcbcbcbcbc").await;
            tokio::task::yield_now().await;
        }
    };
    let (again, ()) = tokio::join!(dispatcher.retry_dead_letters(Retry::All), feeding);
    assert_eq!((again.unwrap().handled, set_aside(&store).len()), (200, 0));
    until(&dispatcher, |status| status.checkpoint == Position(600)).await;
    assert_eq!(numbers(&store, "a"), (0..200).collect::<Vec<_>>());
    assert!(numbers(&store, "b").is_sorted() && numbers(&store, "b").len() == 200);
}

#[tokio::test]
async fn events_without_the_key_that_is_asked_for_are_set_aside_with_the_way_out() {
    let store = store();
    append(&store, "N", 0..3).await;
    let strict = start(by_key(|_, _| Ok(())), &store);
    let status = until(&strict, |status| status.checkpoint == Position(3)).await;
    assert_eq!((status.counters.handled, status.set_aside.parked, status.set_aside.blocked_keys), (0, 3, 0));
    let row = &set_aside(&store)[0];
    assert!(row.kind == "no_key" && row.reason.contains("in [delivery]: key_missing = 'alone'"), "{row:?}");
    let lenient = by_key(|_, _| Ok(()));
    let lenient = Setup { policy: Policy { key_missing: KeyMissing::Alone, ..lenient.policy }, ..lenient };
    strict.swap(lenient).await.unwrap();
    assert_eq!(strict.retry_dead_letters(Retry::All).await.unwrap().handled, 3);
}

#[tokio::test]
async fn too_many_set_aside_events_halt_before_the_next_and_there_is_a_way_out() {
    let store = store();
    append_to(&store, 0, "aaaaaa").await;
    let bounded = |setup: Setup| Setup { policy: Policy { parked_events_max: 3, ..setup.policy }, ..setup };
    let dispatcher = start(bounded(by_key(all_but(0))), &store);
    let status = until(&dispatcher, |status| matches!(status.state, State::Halted { .. })).await;
    assert_eq!((status.checkpoint, set_aside(&store).len()), (Position(3), 3));
    assert!(matches!(&status.state, State::Halted { reason } if reason.contains("parked_events_max")));
    assert_eq!(status.counters.halted, 1);
    dispatcher.discard_dead_letter(Position(1)).await.unwrap();
    until(&dispatcher, |status| status.counters.handled == 5).await;
    assert_eq!(numbers(&store, "a"), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_is_set_aside_goes_with_the_key_when_the_rule_for_keys_changes() {
    let by = |key: Key, bad: u32| {
        let setup = setup(all_but(bad));
        Setup { policy: Policy { key: Some(key), key_missing: KeyMissing::Alone, ..setup.policy }, ..setup }
    };
    let by_customer = || Key::Tag("customer:".into());
    let append = async |store: &Arc<dyn Store>, number: u32, stream: char, customer: u32| {
        let event = NewEvent {
            stream: Some(StreamName::new(stream).unwrap()),
            tags: vec![Tag::new(format!("customer:{customer}")).unwrap()],
            ..NewEvent::json(EventType::new("N").unwrap(), number.to_string())
        };
        store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
    };
    let rows = |store: &Arc<dyn Store>| -> Vec<_> {
        set_aside(store).into_iter().map(|row| (row.position.0, row.kind, row.key.unwrap_or_default())).collect()
    };
    let row = |position, kind: &str, key: &str| (position, kind.to_owned(), key.to_owned());
    for restarted in [false, true] {
        let store = store();
        let mut dispatcher = start(by(Key::Stream, 0), &store);
        for (number, stream, customer) in [(0, 'a', 7), (1, 'b', 8), (2, 'a', 8)] {
            append(&store, number, stream, customer).await;
        }
        until(&dispatcher, |status| status.checkpoint == Position(3)).await;
        assert_eq!(rows(&store), [row(1, "reject", "a"), row(3, "behind", "a")]);
        if restarted {
            dispatcher.stop().await;
            dispatcher = start(by(by_customer(), 0), &store);
        } else {
            dispatcher.swap(by(by_customer(), 0)).await.unwrap();
        }
        // The one behind has another customer: it waits for nobody any more. What comes of the first's customer waits.
        append(&store, 3, 'c', 7).await;
        append(&store, 4, 'd', 8).await;
        until(&dispatcher, |status| status.checkpoint == Position(5) && status.set_aside.waiting == 1).await;
        assert_eq!(rows(&store), [row(1, "reject", "customer:7"), row(4, "behind", "customer:7")]);
        assert_eq!(["a", "b", "c", "d"].map(|stream| numbers(&store, stream)), [vec![2], vec![1], vec![], vec![4]]);
        dispatcher.swap(by(by_customer(), 99)).await.unwrap();
        let again = dispatcher.retry_dead_letters(Retry::Key("customer:7".into())).await.unwrap();
        assert_eq!((again.handled, set_aside(&store).len()), (2, 0));
        assert_eq!((numbers(&store, "a"), numbers(&store, "c")), (vec![2, 0], vec![3]));
    }
}
