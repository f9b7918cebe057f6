//! A generation that becomes live in place of one that stands before events that it, or another one, had settled.

use super::rebuilding::{begin, echoed_once, fold, gated, generation, listening, settled, state, version};
use super::*;
use crate::delivery::generations;
use crate::delivery::key::Sequence;

/// Refuses some numbers, and stops at one.
fn stopping(digest: &str, stop: u32, refuses: &'static [u32]) -> Setup {
    let handle = move |event: &RecordedEvent, effects: &mut Effects| {
        if data(event) == stop {
            return Err((Verdict::Stop, "no further".into()));
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

/// A version in so many partitions.
fn times(count: usize, make: impl Fn() -> Setup) -> Setup {
    let handlers = (0..count).flat_map(|_| make().handlers).collect();
    Setup { handlers, ..make() }
}

/// Letters that partition 1 of two takes the first of, and partition 0 the others; of three they share one.
fn moving() -> [char; 3] {
    let partition = |letter: char, count| Sequence::Key(letter.to_string().as_str().into()).partition(count);
    let letters = || ('a'..='z').chain('A'..='Z').chain('0'..='9');
    for first in letters().filter(|letter| partition(*letter, 2) == 1) {
        let is_moved = |letter: &char| partition(*letter, 2) == 0 && partition(*letter, 3) == partition(first, 3);
        if let [one, other, ..] = letters().filter(is_moved).collect::<Vec<_>>()[..] {
            return [first, one, other];
        }
    }
    panic!("no letters are shared among partitions so");
}

fn is_halted(status: &Status) -> bool {
    matches!(status.state, State::Halted { .. })
}

#[tokio::test]
async fn after_a_change_of_partitions_a_mended_component_becomes_live_whether_the_one_before_is_halted_or_paused() {
    for paused in [false, true] {
        let store = store();
        let [stopped, one, other] = moving();
        // The first stops its partition, and that of both others in the next layout.
        let streams: Vec<_> = [stopped].into_iter().chain([one, other].into_iter().cycle().take(80)).collect();
        append_to(&store, 0, &streams.iter().collect::<String>()).await;
        let first = |count| times(count, || stopping("one", 0, &[5, 6]));
        let dispatcher = start(first(2), &store);
        let has_passed = |status: &Status, count: usize| {
            status.partitions.iter().filter(|it| it.checkpoint >= Position(81)).count() == count
        };
        until(&dispatcher, |status| is_halted(status) && has_passed(status, 1)).await;
        // Of one letter 5 is refused and waits with those behind it, of the other one 6 is given up.
        dispatcher.discard_dead_letter(Position(7)).await.unwrap();
        until(&dispatcher, |status| status.set_aside.blocked_keys == 1).await;
        dispatcher.swap(first(3)).await.unwrap();
        until(&dispatcher, |status| is_halted(status) && has_passed(status, 2)).await;
        if paused {
            dispatcher.pause().await.unwrap();
        }
        dispatcher.rebuild(times(3, || version("two", &[])), begin("one")).await.unwrap();
        generation(&dispatcher, 1).await;
        if paused {
            dispatcher.resume().await.unwrap();
        }
        settled(&dispatcher, &store).await;
        assert_eq!(dispatcher.status().set_aside, Default::default(), "what was set aside was handled");
        let handled = |number: &u32| *number != 6;
        assert_eq!(state(&store), fold((0..).zip(streams).filter(|(number, _)| handled(number))), "paused: {paused}");
        echoed_once(&store, (0..81).filter(handled));
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn after_a_rollback_to_what_halts_a_mended_component_becomes_live_and_nothing_is_emitted_twice_on_any_way_back() {
    let store = store();
    append_to(&store, 0, &"ab".repeat(20)).await;
    let whole = || fold((0..40).zip("ab".chars().cycle()));
    let dispatcher = start(stopping("one", 1, &[]), &store);
    until(&dispatcher, is_halted).await;
    dispatcher.rebuild(version("two", &[]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), whole());
    dispatcher.roll_back(stopping("one", 1, &[]), "two").await.unwrap();
    until(&dispatcher, is_halted).await;
    // It becomes live where the halted one stands, and comes a part of the way.
    let gate = Arc::default();
    dispatcher.rebuild(gated("three", &[], 20, &gate), begin("one")).await.unwrap();
    until(&dispatcher, |status| status.generation == 2 && status.checkpoint == Position(20)).await;
    let known = generations(&plugin(), &*store).unwrap();
    assert_eq!((known.component.as_str(), known.previous.unwrap().generation), ("three", 0));
    // Back again, to a version of the first that does not halt: the second one's events are known of.
    dispatcher.roll_back(version("one", &[]), "three").await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!((dispatcher.status().generation, state(&store)), (0, whole()));
    echoed_once(&store, 0..40);
    // And forth.
    dispatcher.roll_back(version("three", &[]), "three").await.unwrap();
    append_to(&store, 40, "ab").await;
    settled(&dispatcher, &store).await;
    assert_eq!((dispatcher.status().generation, state(&store)), (2, fold((0..42).zip("ab".chars().cycle()))));
    echoed_once(&store, 0..42);
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_one_left_before_had_set_aside_emits_though_the_last_that_was_left_never_listened_to_it() {
    let store = store();
    append_to(&store, 0, "abab").await;
    append_as(&store, "M", 4, "m").await;
    append_to(&store, 5, "abab").await;
    let both = |setup| listening(setup, &["N", "M"]);
    let dispatcher = start(both(stopping("one", 1, &[])), &store);
    until(&dispatcher, is_halted).await;
    dispatcher.rebuild(both(version("two", &[4])), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    settled(&dispatcher, &store).await;
    dispatcher.roll_back(both(stopping("one", 1, &[])), "two").await.unwrap();
    until(&dispatcher, is_halted).await;
    dispatcher.rebuild(version("three", &[]), begin("one")).await.unwrap();
    generation(&dispatcher, 2).await;
    settled(&dispatcher, &store).await;
    echoed_once(&store, (0..9).filter(|number| *number != 4));
    dispatcher.roll_back(both(version("one", &[])), "three").await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..9).zip("ababmabab".chars())));
    echoed_once(&store, 0..9);
    dispatcher.stop().await;
}
