//! Back to what was live before.

use super::rebuilding::{begin, echoed_once, fold, generation, listening, settled, state, version};
use super::*;
use crate::delivery::{Instead, generations};

#[tokio::test]
async fn without_another_state_only_the_component_goes_back() {
    let store = store();
    append_to(&store, 0, "aaa").await;
    let dispatcher = start(version("one", &[]), &store);
    let error = dispatcher.roll_back(version("one", &[]), "one").await.unwrap_err();
    assert!(matches!(error, CommandError::NothingBefore { .. }), "{error}");
    settled(&dispatcher, &store).await;
    dispatcher.swap(version("two", &[4])).await.unwrap();
    append_to(&store, 3, "aa").await;
    settled(&dispatcher, &store).await;
    let error = dispatcher.roll_back(version("other", &[]), "two").await.unwrap_err();
    assert!(matches!(error, CommandError::Replaced { .. }), "{error}");
    dispatcher.roll_back(version("one", &[]), "two").await.unwrap();
    let known = generations(&plugin(), &*store).unwrap();
    let instead = Instead { run: "one".into(), of: "two".into(), cancelled: false };
    assert_eq!((known.live, known.component.as_str(), known.instead), (0, "one", Some(instead)));
    assert_eq!(known.previous.unwrap().component, "two");
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 1);
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..5).zip("aaaaa".chars())));
    echoed_once(&store, 0..5);
    dispatcher.roll_back(version("two", &[]), "two").await.unwrap();
    assert_eq!(generations(&plugin(), &*store).unwrap().instead, None, "what is installed runs");
    dispatcher.stop().await;
}

#[tokio::test]
async fn both_ways_over_a_rebuild_nothing_is_lost_or_emitted_twice() {
    let store = store();
    append_to(&store, 0, &"ab".repeat(50)).await;
    let dispatcher = start(version("one", &[7]), &store);
    settled(&dispatcher, &store).await;
    // Another version is built and becomes live with its state. It refuses another event, and handles what was refused.
    dispatcher.rebuild(version("two", &[120]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    append_to(&store, 100, &"ab".repeat(50)).await;
    settled(&dispatcher, &store).await;
    let refused = |number: &u32| *number >= 120 && number.is_multiple_of(2);
    echoed_once(&store, (0..200).filter(|number| !refused(number)));
    // Back to the state before: 7 is set aside there, 120 and those behind it were never handled.
    dispatcher.roll_back(version("one", &[]), "two").await.unwrap();
    settled(&dispatcher, &store).await;
    echoed_once(&store, 0..200);
    let status = dispatcher.status();
    assert_eq!(status.generation, 0);
    assert!(status.counters.suppressed > 0);
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!(state(&store), fold((0..200).zip("ab".chars().cycle())));
    append_to(&store, 200, "abab").await;
    settled(&dispatcher, &store).await;
    echoed_once(&store, 0..204);
    // And forth again: what was refused there is handled, but has emitted.
    dispatcher.roll_back(version("two", &[]), "two").await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(dispatcher.status().generation, 1);
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(state(&store), fold((0..204).zip("ab".chars().cycle())));
    echoed_once(&store, 0..204);
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_the_version_that_is_left_never_listened_to_emits() {
    let store = store();
    append_to(&store, 0, "ab").await;
    let one = || listening(version("one", &[1]), &["N", "M"]);
    let dispatcher = start(one(), &store);
    settled(&dispatcher, &store).await;
    append_as(&store, "M", 2, "c").await;
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(version("two", &[]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    append_as(&store, "M", 3, "cd").await;
    append_to(&store, 5, "a").await;
    settled(&dispatcher, &store).await;
    // What was taken over as set aside it handles, too.
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    echoed_once(&store, [0, 1, 2, 5]);
    dispatcher.roll_back(one(), "two").await.unwrap();
    settled(&dispatcher, &store).await;
    echoed_once(&store, 0..6);
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_one_has_set_aside_emits_though_one_that_was_returned_to_meanwhile_passed_it_without_listening() {
    let store = store();
    append_to(&store, 0, "a").await;
    let one = || version("one", &[]);
    let both = |refuses: &'static [u32]| listening(version("two", refuses), &["N", "M"]);
    let dispatcher = start(one(), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(both(&[1]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    append_as(&store, "M", 1, "b").await;
    settled(&dispatcher, &store).await;
    for number in 2..4 {
        dispatcher.roll_back(one(), "two").await.unwrap();
        append_to(&store, number, "c").await;
        settled(&dispatcher, &store).await;
        dispatcher.roll_back(both(&[]), "two").await.unwrap();
        settled(&dispatcher, &store).await;
    }
    echoed_once(&store, [0, 2, 3]);
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 1);
    assert_eq!((dispatcher.status().generation, state(&store)), (1, fold((0..4).zip("abcc".chars()))));
    echoed_once(&store, 0..4);
    dispatcher.stop().await;
}

#[tokio::test]
async fn where_a_version_came_to_listen_to_less_while_it_was_live_what_it_had_handled_is_not_emitted_again() {
    let store = store();
    append_to(&store, 0, "a").await;
    let both = |digest| listening(version(digest, &[]), &["N", "M"]);
    let dispatcher = start(both("one"), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(both("two"), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    append_as(&store, "M", 1, "b").await;
    settled(&dispatcher, &store).await;
    dispatcher.swap(version("two", &[])).await.unwrap();
    append_to(&store, 2, "a").await;
    settled(&dispatcher, &store).await;
    dispatcher.roll_back(both("one"), "two").await.unwrap();
    settled(&dispatcher, &store).await;
    echoed_once(&store, 0..3);
    assert_eq!(state(&store), fold((0..3).zip("aba".chars())));
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_an_operator_discarded_is_no_dead_letter_again_in_what_is_returned_to() {
    let store = store();
    append_to(&store, 0, "aabbcc").await;
    let dispatcher = start(version("one", &[0, 2, 4]), &store);
    settled(&dispatcher, &store).await;
    dispatcher.rebuild(version("one", &[0, 2, 4]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    dispatcher.discard_dead_letter(Position(1)).await.unwrap();
    settled(&dispatcher, &store).await;
    // Back to the state before, which had set it aside too.
    dispatcher.roll_back(version("one", &[]), "one").await.unwrap();
    dispatcher.discard_dead_letter(Position(3)).await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(dispatcher.status().generation, 0);
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 2, "5, and 6 behind it");
    assert_eq!(state(&store), fold([(1, 'a'), (3, 'b'), (4, 'c'), (5, 'c')]));
    // And forth again.
    dispatcher.roll_back(version("one", &[]), "one").await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 2);
    assert_eq!(state(&store), fold([(1, 'a'), (3, 'b'), (4, 'c'), (5, 'c')]));
    echoed_once(&store, [1, 3, 4, 5]);
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_was_discarded_meanwhile_stays_in_the_state_returned_to_and_in_none_that_is_built_later() {
    let store = store();
    append_to(&store, 0, "aabb").await;
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    // Another version refuses what the first one handled, and an operator gives it up.
    dispatcher.rebuild(version("two", &[1]), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    dispatcher.discard_dead_letter(Position(2)).await.unwrap();
    settled(&dispatcher, &store).await;
    let without = || fold([(0, 'a'), (2, 'b'), (3, 'b')]);
    assert_eq!(state(&store), without());
    dispatcher.roll_back(version("one", &[]), "two").await.unwrap();
    settled(&dispatcher, &store).await;
    assert_eq!(dispatcher.status().generation, 0);
    assert_eq!(state(&store), fold((0..4).zip("aabb".chars())), "it had handled it");
    assert_eq!(dispatcher.status().set_aside.parked, 0);
    // What is built of it leaves it out, whether it would refuse it or not.
    let versions: [(&str, &str, &'static [u32]); 2] = [("one", "two", &[1]), ("two", "one", &[])];
    for (live, digest, refuses) in versions {
        dispatcher.rebuild(version(digest, refuses), begin(live)).await.unwrap();
        until(&dispatcher, |status| status.component == digest && status.rebuild.is_none()).await;
        settled(&dispatcher, &store).await;
        assert_eq!(state(&store), without(), "{digest}");
        assert_eq!(dispatcher.status().set_aside.parked, 0, "{digest}");
    }
    echoed_once(&store, 0..4);
    dispatcher.stop().await;
}
