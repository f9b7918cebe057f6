use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::delivery::live_state;
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// Answers with the query's name, after everybody has come.
struct Echo {
    together: Arc<Barrier>,
    started: Arc<AtomicUsize>,
}

impl Projection for Echo {
    fn start(&mut self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    fn query(&mut self, query: &Query, _: Moment) -> Result<Answer, NoAnswer> {
        match query.name.as_str() {
            "together" => {
                self.together.wait();
            }
            "nothing" => return Err(NoAnswer::Unknown),
            _ => {}
        }
        Ok(Answer { content_type: "text/plain".into(), body: query.name.clone().into_bytes() })
    }
}

fn moment() -> Moment {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(1))));
    let live = live_state(&PluginName::new("p").unwrap(), &*store, None).unwrap();
    Moment { owner: live.owner, state: live.state, checkpoint: Position(7), now_us: 1 }
}

fn query(name: &str) -> Query {
    Query { name: name.into(), wait: Duration::from_secs(60), ..Query::default() }
}

/// A pool, and how many instances were made.
fn pool(together: usize) -> (Arc<Pool>, Arc<AtomicUsize>) {
    let (pool, made, _) = pool_that_tells(together);
    (pool, made)
}

/// The same, and how often one was started.
fn pool_that_tells(together: usize) -> (Arc<Pool>, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (made, barrier) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(together)));
    let (count, started) = (Arc::clone(&made), Arc::new(AtomicUsize::new(0)));
    let starts = Arc::clone(&started);
    let make = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let (together, started) = (Arc::clone(&barrier), Arc::clone(&starts));
        Some(Box::new(Echo { together, started }) as Box<dyn Projection>)
    };
    (Arc::new(Pool::new(PluginName::new("p").unwrap(), Arc::default(), make)), made, started)
}

fn counted(pool: &Pool, result: &str) -> u64 {
    pool.counted().read().results.iter().find(|(name, _)| *name == result).unwrap().1
}

#[tokio::test]
async fn an_instance_answers_one_query_after_the_other() {
    let (pool, made) = pool(1);
    for name in ["a", "b", "nothing"] {
        let answered = pool.ask(&query(name), || Ok(Some(moment()))).await.unwrap().unwrap();
        assert_eq!(answered.checkpoint, Position(7));
        assert_eq!(answered.answer.is_ok(), name != "nothing");
    }
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert_eq!((counted(&pool, "ok"), counted(&pool, "unknown")), (2, 1));
    assert_eq!(pool.counted().read().times.count(), 3);
    assert_eq!(pool.ask(&query("a"), || Ok(None)).await.unwrap(), None, "the moment is of another version");
    assert_eq!(counted(&pool, "ok"), 2);
}

#[tokio::test]
async fn the_moment_is_taken_when_the_instance_is_there() {
    let (pool, made, started) = pool_that_tells(1);
    for round in 1..3 {
        let (made, started) = (Arc::clone(&made), Arc::clone(&started));
        let look = move || {
            assert_eq!((made.load(Ordering::Relaxed), started.load(Ordering::Relaxed)), (1, round));
            Ok(Some(moment()))
        };
        assert!(pool.ask(&query("a"), look).await.unwrap().unwrap().answer.is_ok());
    }
}

#[tokio::test]
async fn queries_are_answered_side_by_side_and_the_queue_is_bounded() {
    let (pool, made) = pool(2);
    if pool.places.available_permits() < 2 {
        return;
    }
    let ask = |name: &'static str| {
        let pool = Arc::clone(&pool);
        async move { pool.ask(&query(name), || Ok(Some(moment()))).await }
    };
    let (first, second) = tokio::join!(ask("together"), ask("together"));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(made.load(Ordering::Relaxed), 2);

    let all = u32::try_from(pool.queue.available_permits()).unwrap();
    let waiting = Arc::clone(&pool.queue).try_acquire_many_owned(all).unwrap();
    assert!(matches!(ask("a").await, Err(QueryRefused::Busy { .. })));
    drop(waiting);
    assert!(ask("a").await.is_ok());
    assert_eq!((counted(&pool, "busy"), counted(&pool, "ok")), (1, 3));
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_no_place_is_lost() {
    let (pool, _) = pool(1);
    for _ in 0..10 {
        let asked = pool.ask(&query("a"), || Err(StoreError::ShuttingDown)).await;
        assert!(matches!(asked, Err(QueryRefused::Store(_))));
    }
    assert!(pool.ask(&query("a"), || Ok(Some(moment()))).await.is_ok());
    assert_eq!(counted(&pool, "unavailable"), 10);
}
