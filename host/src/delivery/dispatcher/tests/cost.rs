//! What handlers say of themselves, and what is counted around them.

use super::*;
use crate::delivery::{Restarts, Usage};

/// Uses as much for each event, and fails at those that say so.
#[derive(Default)]
struct Metered(Usage);

impl Handler for Metered {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        let fuel = 10 * batch.len() as u64;
        self.0.fuel += fuel;
        self.0.batch_fuel_max = self.0.batch_fuel_max.max(fuel);
        (self.0.memory_bytes, self.0.memory_peak_bytes) = (5, 7);
        let bad = batch.iter().position(|event| event.event_type.as_str() == "Bad");
        self.0.restarts.fault += u64::from(bad.is_some());
        let reason = "bad".into();
        let outcome =
            bad.map_or(Ok(()), |index| Err(HandleError::Failure(Failure { index, verdict: Verdict::Reject, reason })));
        Handled { effects, outcome, evidence: Evidence::default() }
    }

    fn usage(&self) -> Usage {
        self.0
    }
}

fn metered() -> Setup {
    Setup { handlers: vec![Box::new(Metered::default())], ..setup(|_, _| Ok(())) }
}

#[tokio::test]
async fn sums_outlive_a_version_and_maxima_do_not() {
    let store = store();
    append(&store, "N", 0..40).await;
    let dispatcher = start(metered(), &store);
    let status = until(&dispatcher, |status| status.counters.handled == 40).await;
    let cost = status.cost;
    assert_eq!((cost.events, cost.usage.fuel, cost.usage.batch_fuel_max), (40, 400, 160));
    assert_eq!((cost.batches, cost.attempts, cost.usage.memory_bytes), (3, 3, 5));
    assert_eq!(status.partitions[0].cost, cost);
    dispatcher.swap(metered()).await.unwrap();
    let kept = dispatcher.status().cost;
    assert_eq!((kept.events, kept.attempts, kept.usage.fuel), (40, 3, 400));
    assert_eq!((kept.usage.batch_fuel_max, kept.usage.memory_bytes, kept.usage.memory_peak_bytes), (0, 0, 0));
    append(&store, "N", 40..41).await;
    let cost = until(&dispatcher, |status| status.counters.handled == 41).await.cost;
    assert_eq!((cost.events, cost.attempts, cost.usage.fuel, cost.usage.batch_fuel_max), (41, 4, 410, 10));
}

#[tokio::test]
async fn failed_calls_are_attempts_and_no_batches() {
    let store = store();
    append(&store, "N", 0..2).await;
    append(&store, "Bad", 2..3).await;
    let dispatcher = start(metered(), &store);
    let status = until(&dispatcher, |status| status.counters.parked == 1).await;
    let cost = status.cost;
    assert_eq!((cost.events, cost.batches, cost.attempts), (2, 1, 3), "all, those before it, and the bad one alone");
    assert_eq!((cost.usage.fuel, cost.usage.restarts), (60, Restarts { fault: 2, recycled: 0 }));
}
