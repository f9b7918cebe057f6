//! The bounded queue in front of the writer: many push, one takes whatever waits.
//!
//! Only who waits is woken, and once: to wake somebody is a call of the system, also when nobody is there.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most items.
    pub(super) items: usize,
    /// Most bytes; one item may be larger.
    pub(super) bytes: usize,
}

/// A queue of items that weigh bytes. Pushing blocks while it is full.
#[derive(Debug)]
pub(super) struct Queue<T> {
    bounds: Bounds,
    state: Mutex<State<T>>,
    filled: Condvar,
    room: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Items that the taker waits for; pushes wake it no sooner.
    wanted: usize,
    /// Whether the taker waits, and was not woken yet.
    taker_waits: bool,
    /// Pushers that wait for room.
    pushers: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let state =
            State { items: VecDeque::new(), bytes: 0, wanted: 1, taker_waits: false, pushers: 0, closed: false };
        Self { bounds, state: Mutex::new(state), filled: Condvar::new(), room: Condvar::new() }
    }

    /// Adds an item, once there is room; gives it back when the queue is closed.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut state = self.lock();
        while !self.fits(&state, bytes) && !state.closed {
            state.pushers += 1;
            if self.is_to_wake(&mut state) {
                self.filled.notify_one();
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.pushers -= 1;
        }
        if state.closed {
            return Err(item);
        }
        self.add(state, item, bytes);
        Ok(())
    }

    /// Adds an item if there is room; gives it back when there is none or the queue is closed.
    pub(super) fn try_push(&self, item: T, bytes: usize) -> Result<(), T> {
        let state = self.lock();
        if state.closed || !self.fits(&state, bytes) {
            return Err(item);
        }
        self.add(state, item, bytes);
        Ok(())
    }

    fn fits(&self, state: &State<T>, bytes: usize) -> bool {
        state.items.len() < self.bounds.items
            && (state.items.is_empty() || state.bytes.saturating_add(bytes) <= self.bounds.bytes)
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, item: T, bytes: usize) {
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let wake = self.is_to_wake(&mut state);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Whether the taker has to wait; noted, as it does then.
    fn taker_waits(&self, state: &mut State<T>) -> bool {
        state.taker_waits = !self.is_enough(state);
        state.taker_waits
    }

    /// Whether there is what the taker waits for, or no room for more.
    fn is_enough(&self, state: &State<T>) -> bool {
        let is_full = state.bytes >= self.bounds.bytes || state.pushers > 0;
        state.closed || state.items.len() >= state.wanted || (is_full && !state.items.is_empty())
    }

    /// Whether who asks is to wake the taker.
    fn is_to_wake(&self, state: &mut State<T>) -> bool {
        let wake = state.taker_waits && self.is_enough(state);
        state.taker_waits &= !wake;
        wake
    }

    /// Waits until something is there, and answers how many; 0 when the queue is closed and empty.
    pub(super) fn wait(&self) -> usize {
        let mut state = self.lock();
        state.wanted = 1;
        self.filled
            .wait_while(state, |state| self.taker_waits(state))
            .unwrap_or_else(PoisonError::into_inner)
            .items
            .len()
    }

    /// Waits until `wanted` items are there, the time is over, or the queue is closed or full; answers how
    /// many are there.
    pub(super) fn wait_for(&self, wanted: usize, timeout: Duration) -> usize {
        let mut state = self.lock();
        state.wanted = wanted.min(self.bounds.items);
        let waited = self.filled.wait_timeout_while(state, timeout, |state| self.taker_waits(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (state.wanted, state.taker_waits) = (1, false);
        state.items.len()
    }

    /// Takes items, oldest first, while `more` answers true for the bytes taken so far and those of the
    /// next; the first is always taken.
    pub(super) fn take(&self, mut more: impl FnMut(&T, usize) -> bool) -> Vec<T> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        while let Some((item, bytes)) = state.items.pop_front() {
            if !more(&item, bytes) && !taken.is_empty() {
                state.items.push_front((item, bytes));
                break;
            }
            state.bytes -= bytes;
            taken.push(item);
        }
        let wake = state.pushers > 0;
        drop(state);
        if wake {
            self.room.notify_all();
        }
        taken
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Refuses items from now on; those that wait can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { items: 3, bytes: 100 };

    #[test]
    fn what_waits_is_taken_in_order_within_bounds() {
        let queue = Queue::new(BOUNDS);
        for (item, bytes) in [('a', 60), ('b', 10), ('c', 30)] {
            queue.push(item, bytes).unwrap();
        }
        let mut left = 50_isize;
        let taken = queue.take(|_, bytes| {
            left -= isize::try_from(bytes).unwrap();
            left >= 0
        });
        assert_eq!(taken, ['a'], "the first is taken though it is too large");
        assert_eq!(queue.take(|_, _| true), ['b', 'c']);
    }

    #[test]
    fn a_full_queue_makes_the_pusher_wait_for_room() {
        let queue = Queue::new(BOUNDS);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..50).for_each(|item| queue.push(item, 40).unwrap()));
            let mut taken = Vec::new();
            while taken.len() < 50 {
                assert!(queue.wait() > 0 && queue.len() <= 3);
                taken.extend(queue.take(|_, _| true));
            }
            assert!(taken.into_iter().eq(0..50));
        });
    }

    #[test]
    fn an_item_above_the_bytes_passes_alone() {
        let queue = Queue::new(BOUNDS);
        queue.push('x', 1000).unwrap();
        assert_eq!(queue.wait_for(2, Duration::from_secs(600)), 1, "a full queue is not waited for");
    }

    #[test]
    fn a_closed_queue_refuses_but_gives_what_it_holds() {
        let queue = Queue::new(BOUNDS);
        queue.push('a', 1).unwrap();
        queue.close();
        assert_eq!(queue.push('b', 1), Err('b'));
        assert_eq!((queue.wait(), queue.wait_for(2, Duration::from_secs(600))), (1, 1));
        assert_eq!((queue.take(|_, _| true), queue.wait()), (vec!['a'], 0));
    }

    #[test]
    fn closing_wakes_a_pusher_that_waits_for_room() {
        let queue = Queue::new(Bounds { items: 1, bytes: 1 });
        queue.push(1, 1).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| queue.push(2, 1));
            while queue.lock().pushers == 0 {
                std::thread::yield_now();
            }
            queue.close();
            assert_eq!(second.join().unwrap(), Err(2));
        });
    }

    #[test]
    fn who_waits_for_many_is_woken_by_the_last_of_them_and_when_there_is_no_room_for_more() {
        // Of items within bounds: three as wanted, by bytes two, and one when the next does not fit.
        for (bytes, taken) in [(1, 3), (50, 2), (60, 1)] {
            let queue = Queue::new(Bounds { items: 9, bytes: 100 });
            std::thread::scope(|scope| {
                let taker = scope.spawn(|| queue.wait_for(3, Duration::from_secs(600)));
                while !queue.lock().taker_waits {
                    std::thread::yield_now();
                }
                let pusher =
                    scope.spawn(|| (0..taken + usize::from(bytes == 60)).for_each(|n| queue.push(n, bytes).unwrap()));
                assert_eq!(taker.join().unwrap(), taken, "of {bytes} bytes");
                queue.take(|_, _| true);
                pusher.join().unwrap();
            });
        }
    }
}
