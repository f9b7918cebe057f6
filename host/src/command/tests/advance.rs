//! An aggregate takes in what it decided without reading it again, and what others appended.

use super::*;

/// Gives an aggregate a history by commands and by appends of others, and takes all of it out.
async fn go_round(world: &World, metadata: &str) {
    let metadata = BTreeMap::from([("note".to_owned(), metadata.to_owned())]);
    let send = |id: String, command_type: &'static str, data| {
        let metadata = metadata.clone();
        async move { world.send(Command { metadata, ..command(&id, command_type, data) }).await.unwrap() }
    };
    for round in 0..4 {
        send(format!("{round} 1"), "Add", 1).await;
        send(format!("{round} 2"), "AddTwice", 2).await;
        world.append("Added", "4").await;
        let refused = send(format!("{round} 3"), "Take", 100).await;
        assert!(matches!(refused.outcome, Outcome::Rejected(Rejection { reason, .. }) if reason == "only 9"));
        let taken = send(format!("{round} 4"), "Take", 9).await;
        assert!(matches!(taken.outcome, Outcome::Accepted(_)), "all of it is there, and no more: {taken:?}");
    }
}

#[tokio::test]
async fn each_event_is_taken_in_once_whoever_appended_it_and_however_it_comes() {
    for metadata in ["short".to_owned(), "l".repeat(3000)] {
        let world = World::new(never());
        go_round(&world, &metadata).await;
        // What was taken at last is taken in when the aggregate is used next, if not before.
        let refused = world.send(command("last", "Take", 1)).await.unwrap();
        assert!(matches!(refused.outcome, Outcome::Rejected(Rejection { reason, .. }) if reason == "only 0"));
        let sizes: usize = world.events("purse-1").iter().map(RecordedEvent::size_bytes).sum();
        let (made, calls) = (world.code.made.load(Ordering::Relaxed), world.code.calls.lock().unwrap().clone());
        assert_eq!((made, calls.iter().sum::<usize>()), (1, sizes), "{calls:?}");
    }
}

#[tokio::test]
async fn what_was_left_for_an_aggregate_that_is_gone_from_memory_is_read() {
    let world = World::new(AggregatePolicy { hot: 1, ..never() });
    for round in 0..5 {
        for key in 0..10 {
            let to = Command { key: key.to_string(), ..command(&format!("{round} {key}"), "Add", 1) };
            assert_eq!(world.send(to).await.unwrap().version, Version(round + 1));
        }
    }
    for key in 0..10 {
        let all = Command { key: key.to_string(), ..command(&format!("all {key}"), "Take", 5) };
        assert!(matches!(world.send(all).await.unwrap().outcome, Outcome::Accepted(_)));
    }
}
