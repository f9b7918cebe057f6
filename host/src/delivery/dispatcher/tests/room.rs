//! The limit of what a plugin keeps.

use super::rebuilding::{begin, generation};
use super::*;
use crate::delivery::live_owner;
use crate::store::StateSize;

/// Keeps so many bytes under a key of 3 bytes for each event; may keep `bytes_max`.
fn hoards(digest: &str, bytes: usize, bytes_max: u64) -> Setup {
    let handle = move |event: &RecordedEvent, effects: &mut Effects| {
        let kept = effects.state_set(&format!("{:03}", data(event)), vec![0; bytes]);
        kept.map_err(|error| (Verdict::Reject, error.to_string()))
    };
    let setup = Setup { subscription: only("N"), component_digest: digest.into(), ..setup(handle) };
    Setup { policy: Policy { state_bytes_max: bytes_max, ..setup.policy.clone() }, ..setup }
}

/// Waits until the live generation is through, and tells what it keeps and which events it has set aside.
async fn kept(dispatcher: &Dispatcher, store: &Arc<dyn Store>) -> (StateSize, Vec<u64>) {
    until(dispatcher, |status| status.checkpoint >= store.head()).await;
    let owner = live_owner(&plugin(), &**store).unwrap();
    let letters = store.dead_letters(&owner, Position::START, 100).unwrap();
    assert!(letters.iter().all(|letter| letter.reason.contains("in [limits]: state = '80B'")), "{letters:?}");
    (store.state_size(&owner).unwrap(), letters.iter().map(|letter| letter.position.0).collect())
}

#[tokio::test]
async fn who_keeps_too_much_fails_by_event_and_a_state_that_is_built_has_the_same_limit() {
    let store = store();
    append_to(&store, 0, "abcdef").await;
    let dispatcher = start(hoards("one", 7, 40), &store);
    assert_eq!(kept(&dispatcher, &store).await, (StateSize { keys: 4, bytes: 40 }, vec![5, 6]));
    dispatcher.rebuild(hoards("two", 17, 40), begin("one")).await.unwrap();
    generation(&dispatcher, 1).await;
    let (size, set_aside) = kept(&dispatcher, &store).await;
    assert_eq!((size, set_aside.len()), (StateSize { keys: 2, bytes: 40 }, 4));
    dispatcher.swap(hoards("two", 17, 80)).await.unwrap();
    let retried = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((retried.handled, retried.failed), (2, 2), "there is room for two more");
    dispatcher.stop().await;
}
