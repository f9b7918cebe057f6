//! Whether the log takes writes, asked once a second. One question waits for its answer at a time, so a log that does
//! not answer costs one thread and no more, however often somebody wants to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::maintenance::Maintenance;
use crate::clock::Stopwatch;
use crate::store::StoreError;

/// Time between an answer and the next question.
const EVERY: Duration = Duration::from_secs(1);
/// How old the last answer may be.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The last answer of a log, and when it came.
#[derive(Clone, Debug)]
struct Beat {
    at: Stopwatch,
    answer: Result<(), StoreError>,
}

/// Asks a log until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    last: watch::Receiver<Beat>,
    task: JoinHandle<()>,
}

impl Pulse {
    /// Begins to ask; until the first answer comes, the log is taken to be well. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(log: Arc<dyn Maintenance>) -> Self {
        let (told, last) = watch::channel(Beat { at: Stopwatch::start(), answer: Ok(()) });
        let task = tokio::spawn(async move {
            loop {
                let log = Arc::clone(&log);
                // Asking may block; waiting for the answer does not.
                let asked = tokio::task::spawn_blocking(move || log.ping()).await;
                let Ok(pending) = asked else { return };
                let answer = pending.await;
                told.send_replace(Beat { at: Stopwatch::start(), answer });
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { last, task }
    }

    /// Whether the log has answered lately, whatever it said.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.last.borrow().at.elapsed() <= SILENCE_MAX
    }

    /// Why the log takes no writes, if so.
    pub(super) fn problem(&self) -> Option<String> {
        let beat = self.last.borrow().clone();
        match beat.answer {
            Err(error) => Some(error.to_string()),
            Ok(()) if self.is_answering() => None,
            Ok(()) => Some(format!("the log has not answered for {} s", beat.at.elapsed().as_secs())),
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
