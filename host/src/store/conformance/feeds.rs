//! Promises about the async face of a store: following the log, and writing from many tasks.

use std::future::Future;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use super::Subject;
use super::samples::{by_tag, by_type, event, everything, fail_if, guarded, open, owner, tagged, work};
use crate::event::{Filter, Position, Query};
use crate::store::{AppendRequest, AsyncStore, Feed};

/// Runs a check on a runtime of its own.
fn on_a_runtime<F: Future>(subject: &dyn Subject, check: impl FnOnce(AsyncStore) -> F) {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(check(AsyncStore::new(open(subject))));
}

/// Positions that a feed gives until it has given `last`, one at a time and by pages in turn. Every third
/// wait is begun and dropped before.
fn follow(mut feed: Feed, last: Position) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut seen: Vec<Position> = Vec::new();
        for turn in 0.. {
            if turn % 3 == 0
                && let Some(event) = feed.next().now_or_never()
            {
                seen.push(event.unwrap().position);
            } else if turn % 2 == 0 {
                seen.extend(feed.next_page().await.unwrap().iter().map(|event| event.position));
            } else {
                seen.push(feed.next().await.unwrap().position);
            }
            assert!(seen.last() <= Some(&feed.through()));
            if seen.last() == Some(&last) {
                break;
            }
        }
        seen.into_iter().map(|position| position.0).collect()
    })
}

/// Feeds begun before, while and after many tasks append give every matching event once, in order.
pub fn feeds_have_no_gap_and_no_double(subject: &dyn Subject) {
    const TASKS: u64 = 4;
    const APPENDS: u64 = 60;
    const LAST: Position = Position(TASKS * APPENDS * 3 + 1);
    on_a_runtime(subject, |store| async move {
        let end = Filter { types: by_type(&["End"]).types, ..Filter::all() };
        let queries: [Query; 3] =
            [Query::all(), vec![by_type(&["Even"]), end.clone()].into(), vec![end, by_tag(&["odd"])].into()];
        let mut feeds = Vec::new();
        let mut begin = |after: u64| {
            for query in &queries {
                feeds.push((query.clone(), after, follow(store.subscribe(query.clone(), Position(after)), LAST)));
            }
        };
        begin(0);
        let writer = |task: u64| {
            let store = store.clone();
            async move {
                for _ in 0..APPENDS {
                    let events = vec![tagged("Odd", &["odd"]), event("Even", &format!("s-{task}")), event("Odd", "")];
                    store.append(AppendRequest::unconditional(events)).await.unwrap();
                }
            }
        };
        let writers: Vec<_> = (0..TASKS).map(|task| tokio::spawn(writer(task))).collect();
        for after in [0, 1, 100, LAST.0 - 1] {
            begin(after);
            tokio::task::yield_now().await;
        }
        for written in join_all(writers).await {
            written.unwrap();
        }
        begin(LAST.0 / 2);
        store.append(AppendRequest::unconditional(vec![event("End", "")])).await.unwrap();
        let all = everything(&**store.store());
        for (query, after, feed) in feeds {
            let matching = all.iter().filter(|event| event.position.0 > after && query.matches(event));
            let expected: Vec<_> = matching.map(|event| event.position.0).collect();
            assert_eq!(feed.await.unwrap(), expected, "{query:?} after {after}");
        }
    });
}

/// A feed that has given everything waits for more, and one that begins ahead of the log waits for its place.
pub fn a_feed_waits_for_what_comes(subject: &dyn Subject) {
    on_a_runtime(subject, |store| async move {
        let mut feed = store.subscribe(by_type(&["Wanted"]), Position::START);
        let mut ahead = store.subscribe(Query::all(), Position(2));
        assert!(feed.next().now_or_never().is_none() && ahead.next().now_or_never().is_none());
        let (first, second) = (event("Wanted", ""), event("Wanted", ""));
        store.append(AppendRequest::unconditional(vec![first.clone(), event("Other", "")])).await.unwrap();
        assert_eq!(feed.next().await.unwrap().id, first.id);
        assert!(feed.next().now_or_never().is_none() && ahead.next().now_or_never().is_none());
        assert_eq!((ahead.through(), feed.through() >= Position(1)), (Position(2), true));
        store.append(AppendRequest::unconditional(vec![second.clone()])).await.unwrap();
        assert_eq!((feed.next().await.unwrap().id, ahead.next().await.unwrap().id), (second.id, second.id));
        assert_eq!((feed.through(), ahead.through()), (Position(3), Position(3)));
    });
}

/// A feed that begins where another has come to goes on from there, also in the middle of a page.
pub fn a_feed_goes_on_where_another_ended(subject: &dyn Subject) {
    on_a_runtime(subject, |store| async move {
        let events = (0..30).map(|number| event(["A", "B"][number % 2], "")).collect();
        store.append(AppendRequest::unconditional(events)).await.unwrap();
        let mut seen = Vec::new();
        let mut after = Position::START;
        while seen.len() < 15 {
            let mut feed = store.subscribe(by_type(&["A"]), after);
            for _ in 0..2.min(15 - seen.len()) {
                seen.push(feed.next().await.unwrap().position.0);
            }
            after = feed.through();
        }
        assert!(seen.iter().copied().eq((0..15).map(|number| 2 * number + 1)), "{seen:?}");
    });
}

/// What is written through the async face is what is written through the other: of many guarded appends one
/// happens, units of work are fenced, and more tasks than anything is sized for all get their answer.
pub fn tasks_write_as_threads_do(subject: &dyn Subject) {
    on_a_runtime(subject, |store| async move {
        let guarded = |_| {
            let store = store.clone();
            let request = guarded(tagged("T", &["one"]), fail_if(by_tag(&["one"]), 0));
            tokio::spawn(async move { store.append(request).await.is_ok() })
        };
        let admitted = join_all((0..50).map(guarded)).await;
        assert_eq!(admitted.into_iter().filter(|admitted| *admitted.as_ref().unwrap()).count(), 1);
        let fenced = |_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(work("p", 1, 1)).await.is_ok() })
        };
        let committed = join_all((0..50).map(fenced)).await;
        assert_eq!(committed.into_iter().filter(|committed| *committed.as_ref().unwrap()).count(), 1);
        assert_eq!(store.run(|store| store.progress(&owner("p"), 0)).await.unwrap().unwrap().revision, 1);
        let many = (0..5_000).map(|_| store.append(AppendRequest::unconditional(vec![event("U", "")])));
        assert!(join_all(many).await.iter().all(Result::is_ok));
        assert_eq!((store.counts().await.unwrap().events, store.head()), (5_001, Position(5_001)));
    });
}
