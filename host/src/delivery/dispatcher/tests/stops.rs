//! Pause, halt and quarantine: how each begins and ends.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn fine(event: &RecordedEvent, effects: &mut Effects) -> Result<(), (Verdict, String)> {
    remember(event, effects);
    Ok(())
}

#[tokio::test]
async fn a_pause_survives_restarts_and_swaps() {
    let store = store();
    append(&store, "N", 0..3).await;
    let dispatcher = start(setup(fine), &store);
    until(&dispatcher, |status| status.counters.handled == 3).await;
    dispatcher.pause().await.unwrap();
    assert_eq!(dispatcher.status().state, State::Paused);
    append(&store, "N", 3..6).await;
    dispatcher.swap(setup(fine)).await.unwrap();
    until(&dispatcher, |status| status.state == State::Paused).await;
    dispatcher.stop().await;
    let dispatcher = start(setup(fine), &store);
    let status = until(&dispatcher, |status| status.state == State::Paused).await;
    assert_eq!((status.counters.handled, status.checkpoint), (0, Position(3)));
    let refused = dispatcher.retry_dead_letters(Retry::All).await.unwrap_err();
    assert!(refused.to_string().contains("plugins resume p"), "{refused}");
    dispatcher.resume().await.unwrap();
    until(&dispatcher, |status| status.checkpoint == Position(6)).await;
    dispatcher.stop().await;
    let dispatcher = start(setup(fine), &store);
    append(&store, "N", 6..7).await;
    until(&dispatcher, |status| status.checkpoint == Position(7)).await;
    assert_eq!(seen(&store), (0..7).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_plugin_that_faults_on_everything_is_quarantined_and_comes_back_with_a_new_component() {
    let store = store();
    append(&store, "N", 0..6).await;
    let dispatcher = start(setup(|_, _| panic!("broken")), &store);
    let status = until(&dispatcher, |status| matches!(status.state, State::Quarantined { .. })).await;
    assert_eq!((status.counters.parked, status.checkpoint, status.counters.quarantined), (2, Position(2), 1));
    assert!(matches!(&status.state, State::Quarantined { reason } if reason.contains("broken")));
    assert!(status.counters.faults.trap >= 9 && status.counters.faults.total() == status.counters.faults.trap);
    dispatcher.resume().await.unwrap();
    let again = until(&dispatcher, |status| status.counters.parked == 4 || status.counters.quarantined == 2).await;
    assert!(again.checkpoint >= Position(2));
    dispatcher.swap(setup(fine)).await.unwrap();
    until(&dispatcher, |status| status.checkpoint == Position(6)).await;
    dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    let mut all = seen(&store);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_halt_ends_by_resuming() {
    let store = store();
    append(&store, "N", 0..3).await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let dispatcher = start(
        setup(move |event, effects| {
            if data(event) == 1 && is_broken.load(Ordering::SeqCst) {
                return Err((Verdict::Stop, "enough".into()));
            }
            fine(event, effects)
        }),
        &store,
    );
    until(&dispatcher, |status| matches!(status.state, State::Halted { .. })).await;
    broken.store(false, Ordering::SeqCst);
    dispatcher.resume().await.unwrap();
    until(&dispatcher, |status| status.checkpoint == Position(3)).await;
    assert_eq!(seen(&store), [0, 1, 2]);
}
