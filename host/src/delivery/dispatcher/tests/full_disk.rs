//! A rebuild on a disk that is full for a while.

use std::sync::atomic::{AtomicBool, Ordering};

use super::rebuilding::{begin, fold, gated, generation, settled, state, version};
use super::*;
use crate::clock::Stopwatch;
use crate::store::embedded::disk::sim::SimDisk;
use crate::store::embedded::{EmbeddedStore, OpenOptions};

/// Bytes of a journal: small, so that a disk without room is felt soon.
const JOURNAL: u64 = 64 << 10;
/// Events appended together.
const TOGETHER: u32 = 100;
/// Longer than what is sealed or merged already takes on a busy machine.
const A_WHILE: Duration = Duration::from_secs(2);

/// Appends so many events numbered from `first`, all to one stream; whether they were taken.
async fn try_append(store: &Arc<dyn Store>, first: u32, count: u32) -> bool {
    let event = |number: u32| NewEvent {
        stream: Some(StreamName::new("a").unwrap()),
        ..NewEvent::json(EventType::new("N").unwrap(), number.to_string())
    };
    let events = (first..first + count).map(event).collect();
    store.append(AppendRequest::unconditional(events)).await.is_ok()
}

/// What every echo says, in the order of the log, which takes several pages to read.
fn echoed(store: &Arc<dyn Store>) -> Vec<u32> {
    let (mut found, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.read(&ReadRequest { after, ..ReadRequest::default() }).unwrap();
        found.extend(page.events.iter().filter(|event| event.event_type.as_str() == "Echoed").map(data));
        if page.complete {
            return found;
        }
        after = page.through;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_waits_for_room_while_the_live_state_is_there_and_goes_on_when_there_is_some() {
    let disk = SimDisk::new();
    let options = OpenOptions { journal_bytes_max: JOURNAL, cache_bytes: 1 << 20, ..OpenOptions::new("") };
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), &options, Arc::new(SystemClock)).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    assert!(try_append(&store, 0, TOGETHER).await);
    let dispatcher = start(version("one", &[]), &store);
    settled(&dispatcher, &store).await;
    let gate: Arc<AtomicBool> = Arc::default();
    dispatcher.rebuild(gated("one", &[], 50, &gate), begin("one")).await.unwrap();
    until(&dispatcher, |status| status.rebuild.as_ref().is_some_and(|it| it.position >= Position(50))).await;
    // Events come in until the disk is full, in the middle of what is built.
    disk.set_room(disk.used() + 200_000);
    let mut next = TOGETHER;
    // The last ones come singly: what is left has no room for a batch's work either.
    for together in [TOGETHER, 1] {
        while try_append(&store, next, together).await {
            next += together;
            assert!(next < 1_000_000, "the disk never refused");
        }
    }
    // A seal that had its room by then gives a journal's back when it is done: that is taken, too.
    let refused = Stopwatch::start();
    loop {
        if try_append(&store, next, 1).await {
            next += 1;
        } else if refused.elapsed() < A_WHILE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        } else {
            break;
        }
    }
    gate.store(true, Ordering::Relaxed);
    let backs_off = |status: &Status| {
        // The gate is looked at each millisecond, the store each second.
        let soon_us = SystemClock.now_us() + 200_000;
        let state = status.rebuild.as_ref().map(|rebuild| &rebuild.state);
        matches!(state, Some(State::BackingOff { until_us, .. }) if *until_us > soon_us)
    };
    let status = until(&dispatcher, backs_off).await;
    assert_eq!(status.generation, 0);
    let live = state(&store).remove("a").unwrap();
    let whole = fold((0..next).map(|number| (number, 'a'))).remove("a").unwrap();
    assert!(whole.starts_with(&live) && !live.is_empty(), "the live state answers, as far as it has come");
    disk.set_room(u64::MAX);
    generation(&dispatcher, 1).await;
    settled(&dispatcher, &store).await;
    assert!(state(&store).remove("a").unwrap() == whole, "every event that was taken, in order");
    assert!(echoed(&store) == (0..next).collect::<Vec<_>>(), "each echoed once");
    dispatcher.stop().await;
}
