//! One at a time for each stream, in the order of coming.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::event::StreamName;

/// The streams that somebody is at.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<StreamName, Lane>>>);

/// Those that wait behind who has the turn, in the order in which they came.
type Lane = VecDeque<oneshot::Sender<()>>;

/// A place in a stream's lane. Dropping it lets the next one go.
pub(super) struct Place {
    lanes: Lanes,
    stream: StreamName,
    /// None for who has the turn.
    turn: Option<oneshot::Receiver<()>>,
}

impl Lanes {
    /// Takes the place behind those that are there by now.
    pub(super) fn enter(&self, stream: &StreamName) -> Place {
        let turn = match self.lock().entry(stream.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Lane::new());
                None
            }
            Entry::Occupied(mut lane) => {
                let (call, turn) = oneshot::channel();
                lane.get_mut().push_back(call);
                Some(turn)
            }
        };
        Place { lanes: self.clone(), stream: stream.clone(), turn }
    }

    /// How many wait behind who has the turn.
    #[cfg(test)]
    pub(super) fn waiting(&self, stream: &StreamName) -> usize {
        self.lock().get(stream).map_or(0, Lane::len)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for the turn. Dropping the future loses nothing.
    pub(super) async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            // Whoever goes calls the next one, so nobody is forgotten.
            let _ = turn.await;
            self.turn = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        // Who leaves before the turn came is not called any more; who was called meanwhile calls the next one.
        let has_turn = self.turn.as_mut().is_none_or(|turn| {
            turn.close();
            turn.try_recv().is_ok()
        });
        if !has_turn {
            return;
        }
        if let Some(lane) = lanes.get_mut(&self.stream) {
            while let Some(next) = lane.pop_front() {
                if next.send(()).is_ok() {
                    return;
                }
            }
        }
        lanes.remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_the_order_of_coming_whoever_waits_first_and_nothing_stays_behind() {
        let (lanes, a, b) = (Lanes::default(), StreamName::new("a").unwrap(), StreamName::new("b").unwrap());
        let mut first = lanes.enter(&a);
        first.turn().await;
        let (mut second, mut gone, mut third) = (lanes.enter(&a), lanes.enter(&a), lanes.enter(&a));
        let mut other = lanes.enter(&b);
        other.turn().await;
        let may_go = |place: &mut Place| place.turn().now_or_never().is_some();
        assert!(!may_go(&mut third) && !may_go(&mut gone) && !may_go(&mut second));
        drop((first, gone));
        assert!(!may_go(&mut third), "the second is first");
        assert!(may_go(&mut second));
        drop(second);
        let fourth = lanes.enter(&a);
        // It was called, and has not looked yet.
        drop(third);
        let mut fifth = lanes.enter(&a);
        assert!(!may_go(&mut fifth));
        drop(fourth);
        fifth.turn().await;
        drop((fifth, other));
        assert!(lanes.lock().is_empty());
    }
}
