//! One at a time for each stream, in the order of coming.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::event::StreamName;

/// The streams that somebody is at, or waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<StreamName, Lane>>>);

#[derive(Debug, Default)]
struct Lane {
    turn: Arc<Turn<()>>,
    /// Those that wait, and who has the turn.
    here: usize,
}

/// A place in a stream's lane. Dropping it lets the next one go.
pub(super) struct Place {
    lanes: Lanes,
    stream: StreamName,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Lanes {
    /// Waits for the turn at a stream.
    pub(super) async fn enter(&self, stream: &StreamName) -> Place {
        let turn = {
            let mut lanes = self.lock();
            let lane = lanes.entry(stream.clone()).or_default();
            lane.here += 1;
            Arc::clone(&lane.turn)
        };
        // Made before the wait, so that whoever gives up waiting leaves, too.
        let mut place = Place { lanes: self.clone(), stream: stream.clone(), turn: None };
        place.turn = Some(turn.lock_owned().await);
        place
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn = None;
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(&self.stream) {
            lane.here -= 1;
            if lane.here == 0 {
                lanes.remove(&self.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_nothing_stays_behind() {
        let (lanes, a, b) = (Lanes::default(), StreamName::new("a").unwrap(), StreamName::new("b").unwrap());
        let first = lanes.enter(&a).await;
        let other = lanes.enter(&b).await;
        let (mut second, mut third) = (Box::pin(lanes.enter(&a)), Box::pin(lanes.enter(&a)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "the second is first");
        drop(second);
        drop(third.await);
        drop(other);
        assert!(lanes.lock().is_empty());
    }
}
