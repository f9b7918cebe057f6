//! Several partitions: order per key, one state, and layouts that change.

use std::sync::Barrier;

use super::*;
use crate::delivery::key::Sequence;
use crate::delivery::{Counters, stored_checkpoint};

type Handle = fn(&RecordedEvent, &mut Effects) -> Result<(), (Verdict, String)>;

fn in_partitions(count: usize, handle: Handle) -> Setup {
    let handlers = (0..count).map(|_| Box::new(Each(handle)) as Box<dyn Handler>).collect();
    Setup { handlers, ..setup(handle) }
}

fn by_stream(event: &RecordedEvent, effects: &mut Effects) -> Result<(), (Verdict, String)> {
    remember_by_stream(event, effects);
    Ok(())
}

/// Two letters whose streams belong to different partitions of two.
fn one_each() -> (char, char) {
    let partition = |letter: &char| Sequence::Key(letter.to_string().as_str().into()).partition(2);
    let of = |wanted| ('a'..='z').find(|letter| partition(letter) == wanted).unwrap();
    (of(0), of(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_keep_order_per_key_and_both_progress_while_one_key_fails() {
    let store = store();
    let (one, other) = one_each();
    let streams: String = (0..300).map(|number| if number % 3 == 0 { one } else { other }).collect();
    append_to(&store, 0, &streams).await;
    let dispatcher = start(
        in_partitions(2, |event, effects| {
            if data(event) == 30 {
                return Err((Verdict::Reject, "no".into()));
            }
            by_stream(event, effects)
        }),
        &store,
    );
    let status = until(&dispatcher, |status| status.checkpoint == Position(300)).await;
    assert_eq!(status.partitions.len(), 2);
    assert_eq!((status.set_aside.parked, status.set_aside.waiting), (1, 89));
    let expected = |rest: bool| (0..300).filter(move |number| (number % 3 == 0) != rest).collect::<Vec<u32>>();
    assert_eq!(numbers(&store, &other.to_string()), expected(true));
    assert_eq!(numbers(&store, &one.to_string()), expected(false)[..10]);
    dispatcher.swap(in_partitions(2, by_stream)).await.unwrap();
    assert_eq!(dispatcher.retry_dead_letters(Retry::All).await.unwrap().handled, 90);
    assert_eq!(numbers(&store, &one.to_string()), expected(false));
}

/// Numbers events in the order in which they are handled, all partitions together.
fn count_all(event: &RecordedEvent, effects: &mut Effects, meet: impl FnOnce()) {
    let count = effects.state_get("count").unwrap();
    meet();
    let count: u32 = count.map_or(0, |count| String::from_utf8(count).unwrap().parse().unwrap());
    effects.state_set("count", (count + 1).to_string().into_bytes()).unwrap();
    effects.state_set(&format!("handled/{count:06}"), event.data.clone()).unwrap();
    remember_by_stream(event, effects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_state_is_what_a_serial_fold_makes_of_it() {
    let store = store();
    let streams: String = (0..400).map(|number| char::from(b'a' + (number * 7 % 11) as u8)).collect();
    append_to(&store, 0, &streams).await;
    // Each partition has read the count before any of them writes it.
    let all_have_read = Arc::new(Barrier::new(3));
    let handler = || {
        let (all_have_read, mut is_first) = (Arc::clone(&all_have_read), true);
        let handle = move |event: &RecordedEvent, effects: &mut Effects| {
            count_all(event, effects, || {
                if std::mem::take(&mut is_first) {
                    all_have_read.wait();
                }
            });
            Ok(())
        };
        Box::new(Each(handle)) as Box<dyn Handler>
    };
    let dispatcher = start(Setup { handlers: (0..3).map(|_| handler()).collect(), ..setup(|_, _| Ok(())) }, &store);
    let status = until(&dispatcher, |status| status.counters.handled == 400).await;
    let page = store.state_scan(&plugin().into(), "handled/", None, 1000).unwrap();
    let order: Vec<u32> =
        page.entries.iter().map(|(_, value)| std::str::from_utf8(value).unwrap().parse().unwrap()).collect();
    assert_eq!(order.len(), 400, "no number was given twice");
    for letter in 'a'..='k' {
        let own: Vec<_> =
            order.iter().copied().filter(|number| streams.as_bytes()[*number as usize] == letter as u8).collect();
        assert_eq!(numbers(&store, &letter.to_string()), own, "the same order as the fold saw");
        assert!(own.is_sorted());
    }
    assert!(status.counters.conflicts >= 2, "they met: {:?}", status.counters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_write_one_key_take_turns_instead_of_doing_their_work_twice() {
    let store = store();
    let streams: String = (0..6000).map(|number| char::from(b'a' + (number * 7 % 11) as u8)).collect();
    append_to(&store, 0, &streams).await;
    // At its first event each partition waits until all have read the count, and when that is tried again until both have
    // that were refused. So one of them is refused twice in a row, however their threads take turns.
    let all_have_read = Arc::new([Barrier::new(3), Barrier::new(2)]);
    let count = || {
        let (all_have_read, mut first, mut tries) = (Arc::clone(&all_have_read), None, 0_usize);
        let handle = move |event: &RecordedEvent, effects: &mut Effects| {
            let count = effects.state_get("count").unwrap().map(|count| String::from_utf8(count).unwrap());
            if *first.get_or_insert(event.position) == event.position {
                if let Some(all_have_read) = all_have_read.get(tries) {
                    all_have_read.wait();
                }
                tries += 1;
            }
            let count = count.map_or(0, |count| count.parse::<u64>().unwrap()) + 1;
            effects.state_set("count", count.to_string().into_bytes()).unwrap();
            effects.state_set("last", event.data.clone()).unwrap();
            Ok(())
        };
        Box::new(Each(handle)) as Box<dyn Handler>
    };
    let dispatcher = start(Setup { handlers: (0..3).map(|_| count()).collect(), ..setup(|_, _| Ok(())) }, &store);
    let mut appended = 6000;
    for _ in 0..20 {
        append_to(&store, appended, &streams[..50]).await;
        appended += 50;
        until(&dispatcher, |status| status.counters.handled == u64::from(appended)).await;
    }
    assert_eq!(store.state_get(&plugin().into(), "count").unwrap(), Some(appended.to_string().into_bytes()));
    let Counters { conflicts, commits, .. } = dispatcher.status().counters;
    // Each partition is refused a few times before they take turns, and not again.
    assert!(conflicts <= 12, "{conflicts} refusals in {commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_number_of_partitions_neither_loses_nor_repeats_nor_reorders() {
    let store = store();
    let mut appended = 0;
    for (round, partitions) in [1, 3, 2, 2, 5, 1, 4].into_iter().enumerate() {
        let streams: String = (0..200).map(|number| char::from(b'a' + (number % 13) as u8)).collect();
        append_to(&store, appended, &streams).await;
        appended += 200;
        let dispatcher = start(in_partitions(partitions, by_stream), &store);
        // In the middle: partitions stand at different places.
        let some = u64::from(appended) - 150;
        until(&dispatcher, |status| status.partitions.iter().any(|one| one.checkpoint.0 > some)).await;
        if round % 2 == 0 {
            dispatcher.stop().await;
        } else {
            let next = in_partitions(partitions + 1, by_stream);
            dispatcher.swap(next).await.unwrap();
            dispatcher.stop().await;
        }
    }
    let dispatcher = start(in_partitions(2, by_stream), &store);
    until(&dispatcher, |status| status.checkpoint == Position(appended.into())).await;
    for letter in 0..13 {
        let expected: Vec<_> = (0..appended).filter(|number| number % 200 % 13 == letter).collect();
        assert_eq!(numbers(&store, &char::from(b'a' + letter as u8).to_string()), expected);
    }
}

#[tokio::test]
async fn set_aside_events_go_with_their_key_when_partitions_change() {
    let store = store();
    append_to(&store, 0, "abcdefabcdef").await;
    let rejecting: Handle = |event, effects| {
        if data(event) < 6 { Err((Verdict::Reject, "no".into())) } else { by_stream(event, effects) }
    };
    let dispatcher = start(in_partitions(1, rejecting), &store);
    until(&dispatcher, |status| status.checkpoint == Position(12)).await;
    dispatcher.swap(in_partitions(4, by_stream)).await.unwrap();
    let status = dispatcher.status();
    assert_eq!(status.partitions.len(), 4);
    let again = dispatcher.retry_dead_letters(Retry::All).await.unwrap();
    assert_eq!((again.handled, set_aside(&store).len()), (12, 0));
    for (number, letter) in (0..6).zip('a'..) {
        assert_eq!(numbers(&store, &letter.to_string()), [number, number + 6]);
    }
}

#[tokio::test]
async fn a_partition_whose_events_have_run_out_is_as_far_as_the_others_when_the_plugin_stops() {
    for both in [true, false] {
        let store = store();
        let (one, other) = one_each();
        let dispatcher = start(Setup { subscription: only("N"), ..in_partitions(2, by_stream) }, &store);
        append_to(&store, 0, &String::from(if both { other } else { one })).await;
        until(&dispatcher, |status| status.checkpoint == Position(1)).await;
        append_to(&store, 1, &String::from(one).repeat(20)).await;
        until(&dispatcher, |status| status.checkpoint == Position(21)).await;
        append_as(&store, "Unheard", 21, &String::from(other)).await;
        until(&dispatcher, |status| status.checkpoint == Position(22)).await;
        let stored =
            || [0, 1].map(|partition| store.progress(&plugin().into(), partition).unwrap().unwrap().checkpoint);
        assert_eq!(stored(), [Position(21), Position(both.into())]);
        dispatcher.stop().await;
        // What nobody has committed beyond is looked at anew, under whatever it listens to then.
        assert_eq!(stored(), [Position(21); 2]);
        let dispatcher = start(in_partitions(2, by_stream), &store);
        append_to(&store, 22, &String::from(other)).await;
        until(&dispatcher, |status| status.checkpoint == Position(23)).await;
        assert_eq!(numbers(&store, &String::from(other)), if both { vec![0, 21, 22] } else { vec![21, 22] });
        assert_eq!(numbers(&store, &String::from(one)).len(), if both { 20 } else { 21 });
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn partitions_that_were_handed_nothing_begin_where_they_did_when_they_stop_and_listen_to_more() {
    let store = store();
    append_to(&store, 0, "abcdef").await;
    let unheard = Setup { subscription: only("Other"), ..in_partitions(2, by_stream) };
    let dispatcher = start(unheard, &store);
    until(&dispatcher, |status| status.checkpoint == Position(6)).await;
    dispatcher.stop().await;
    assert_eq!(stored_checkpoint(&plugin(), &*store).unwrap(), Some(Position::START));
    let dispatcher = start(in_partitions(2, by_stream), &store);
    until(&dispatcher, |status| status.counters.handled == 6).await;
    dispatcher.stop().await;
}
