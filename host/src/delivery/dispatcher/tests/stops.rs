//! Pause, halt and quarantine: how each begins and ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Longer than a thread waits for its turn on a busy machine.
const A_WHILE: Duration = Duration::from_secs(2);

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
async fn a_quarantine_and_a_halt_outlive_the_process_until_a_command_or_another_component() {
    let quarantined = |status: &Status| matches!(status.state, State::Quarantined { .. });
    let halted = |status: &Status| matches!(status.state, State::Halted { .. });
    let broken = || setup(|_, _| panic!("broken"));
    let stopping = || setup(|_, _| Err((Verdict::Stop, "enough".into())));
    for (is_stopped, make) in
        [(&quarantined as &dyn Fn(&Status) -> bool, &broken as &dyn Fn() -> Setup), (&halted, &stopping)]
    {
        let store = store();
        append(&store, "N", 0..4).await;
        let dispatcher = start(make(), &store);
        let before = until(&dispatcher, is_stopped).await;
        dispatcher.stop().await;
        // Here it would go on well, and does not try.
        let dispatcher = start(setup(fine), &store);
        let after = until(&dispatcher, |status| status.state != State::Running).await;
        assert_eq!((&after.state, after.checkpoint), (&before.state, before.checkpoint));
        assert_eq!(
            (after.set_aside, after.partitions[0].failing.clone()),
            (before.set_aside, before.partitions[0].failing.clone())
        );
        dispatcher.resume().await.unwrap();
        until(&dispatcher, |status| status.checkpoint == Position(4)).await;
        dispatcher.stop().await;
        // What a command ended stays ended.
        append(&store, "N", 4..5).await;
        let dispatcher = start(setup(fine), &store);
        until(&dispatcher, |status| status.checkpoint == Position(5)).await;
        dispatcher.stop().await;

        append(&store, "N", 5..9).await;
        let dispatcher = start(make(), &store);
        until(&dispatcher, is_stopped).await;
        dispatcher.stop().await;
        let dispatcher = start(Setup { component_digest: "another".into(), ..setup(fine) }, &store);
        until(&dispatcher, |status| status.checkpoint == Position(9)).await;
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn a_halt_outlives_the_process_under_the_same_words_and_ends_under_others() {
    let words = |manifest: &str, lifts: &str, setup: Setup| {
        let subscription = Subscription { lifts: lifts.into(), ..setup.subscription };
        Setup { manifest_digest: manifest.into(), subscription, ..setup }
    };
    for (manifest, lifts) in [("another", "chain"), ("manifest", "another")] {
        let store = store();
        append(&store, "N", 0..3).await;
        let stopping = setup(|_, _| Err((Verdict::Stop, "enough".into())));
        let dispatcher = start(words("manifest", "chain", stopping), &store);
        let before = until(&dispatcher, |status| matches!(status.state, State::Halted { .. })).await;
        dispatcher.stop().await;
        let dispatcher = start(words("manifest", "chain", setup(fine)), &store);
        let after = until(&dispatcher, |status| status.state != State::Running).await;
        assert_eq!((after.state, after.checkpoint), (before.state, before.checkpoint));
        dispatcher.stop().await;
        let dispatcher = start(words(manifest, lifts, setup(fine)), &store);
        until(&dispatcher, |status| status.checkpoint == Position(3)).await;
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn a_version_that_is_allowed_less_stays_stopped_and_another_one_goes_on() {
    let store = store();
    append(&store, "N", 0..3).await;
    let dispatcher = start(setup(|_, _| Err((Verdict::Stop, "enough".into()))), &store);
    let stopped = until(&dispatcher, |status| matches!(status.state, State::Halted { .. })).await;
    dispatcher.narrow(Setup { append: Permit::default(), ..setup(fine) }).await.unwrap();
    // Never for an instant as if it ran.
    let still = dispatcher.status();
    assert_eq!((still.state, still.checkpoint), (stopped.state, Position(0)));
    // What is meant for another version than the live one changes nothing.
    let other = || Setup { component_digest: "other".into(), ..setup(fine) };
    for refused in [dispatcher.narrow(other()).await, dispatcher.replace(other(), "other").await] {
        assert!(matches!(refused, Err(CommandError::Replaced { .. })), "{refused:?}");
    }
    assert!(matches!(dispatcher.status().state, State::Halted { .. }));
    dispatcher.replace(other(), "digest").await.unwrap();
    until(&dispatcher, |status| status.checkpoint == Position(3)).await;
    assert_eq!(seen(&store), [0, 1, 2]);
    dispatcher.stop().await;
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

#[tokio::test]
async fn a_pause_ends_a_retry_and_what_was_not_handled_waits_for_an_operator() {
    let store = store();
    append(&store, "N", 0..5).await;
    let dispatcher = start(setup(|_, _| Err((Verdict::Reject, "not yet".into()))), &store);
    until(&dispatcher, |status| status.set_aside.parked == 5).await;
    let (busy, permits): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
    let (is_busy, left) = (Arc::clone(&busy), Arc::clone(&permits));
    let mended = setup(move |event, effects| {
        is_busy.store(true, Ordering::Relaxed);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            std::thread::yield_now();
        }
        fine(event, effects)
    });
    dispatcher.swap(mended).await.unwrap();
    let one_by_one = async {
        let is_paused = || store.plugin_record(&plugin()).unwrap().unwrap().content.contains("\"paused\":true");
        while !is_paused() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The partition may be told only after the first of them is given, and then needs another one.
        loop {
            permits.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(A_WHILE).await;
        }
    };
    let pausing = async {
        while !busy.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::select! {
            paused = dispatcher.pause() => paused.unwrap(),
            () = one_by_one => {}
        }
        permits.store(1_000, Ordering::Relaxed);
    };
    let (retried, ()) = tokio::join!(dispatcher.retry_dead_letters(Retry::All), pausing);
    let retried = retried.unwrap();
    assert_eq!(retried.interrupted.as_deref(), Some("the plugin was paused"));
    let left = set_aside(&store).len();
    assert_eq!((retried.handled as usize + left, left > 0), (5, true));
    dispatcher.resume().await.unwrap();
    append(&store, "N", 5..7).await;
    let status = until(&dispatcher, |status| status.checkpoint == Position(7)).await;
    assert_eq!(status.set_aside.parked, left, "they wait for an operator");
    let retried = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((retried.handled as usize, retried.interrupted), (left, None));
}
