//! The clock of deadlines: an OS thread that moves the engine's epoch every [`TICK_MS`] milliseconds.
//!
//! A thread and not a tokio task: it must tick also while every worker is busy in a guest.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Length of one epoch, in milliseconds.
pub(super) const TICK_MS: u64 = 10;

/// Moves the epoch until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    /// Dropped to stop the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start(engine: wasmtime::Engine) -> io::Result<Self> {
        let (alive, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("tidemill-epoch".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(TICK_MS)) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }

    /// Ticks after which at least `ms` have passed: the tick in progress does not count.
    pub(super) const fn ticks(ms: u64) -> u64 {
        // An epoch deadline is added to the current epoch: bounded, so that it cannot wrap.
        let ticks = ms.div_ceil(TICK_MS);
        if ticks < 1 << 32 { ticks + 1 } else { 1 << 32 }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.alive.take();
        if let Some(thread) = self.thread.take() {
            // It only sleeps and counts; if it died, there is nothing to wait for.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up_and_never_wrap() {
        assert_eq!((Ticker::ticks(0), Ticker::ticks(10), Ticker::ticks(11)), (1, 2, 3));
        assert_eq!(Ticker::ticks(u64::MAX), 1 << 32);
    }
}
