//! A rehearsal on a thread of its own.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::{oneshot, watch};

use super::{RehearsalError, RehearsalProgress, Tell};

/// A rehearsal that has begun. Dropping it cancels it, within one batch.
#[derive(Debug)]
pub struct Job<T, E = RehearsalError> {
    progress: watch::Receiver<RehearsalProgress>,
    outcome: oneshot::Receiver<Result<T, E>>,
    _cancel: CancelOnDrop,
}

#[derive(Debug)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T: Send + 'static, E: From<RehearsalError> + Send + 'static> Job<T, E> {
    /// Begins a rehearsal. The end of the process does not wait for its thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(work: impl FnOnce(Tell<'_>) -> Result<T, E> + Send + 'static) -> Result<Self, RehearsalError> {
        let (show, progress) = watch::channel(RehearsalProgress::default());
        let (answer, outcome) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = CancelOnDrop(Arc::clone(&cancelled));
        let run = move || {
            let mut tell = |progress| {
                show.send_replace(progress);
                if cancelled.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            // A handler's panic is dealt with where it is called; this one would be the host's.
            let panicked =
                |_| RehearsalError::Broken { reason: "the host panicked; its stderr says where".into() }.into();
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut tell))).map_err(panicked).flatten();
            // Whoever asked may be gone.
            let _ = answer.send(outcome);
        };
        let broken = |error: std::io::Error| RehearsalError::Broken { reason: format!("there is no thread: {error}") };
        thread::Builder::new().name("rehearsal".into()).spawn(run).map_err(broken)?;
        Ok(Self { progress, outcome, _cancel: cancel })
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> RehearsalProgress {
        *self.progress.borrow()
    }

    /// Waits for its end. Being dropped while waiting loses nothing: wait again. Not to be asked after its end.
    ///
    /// # Errors
    /// Those of the rehearsal.
    pub async fn outcome(&mut self) -> Result<T, E> {
        let gone = |_| RehearsalError::Broken { reason: "its thread is gone".into() }.into();
        (&mut self.outcome).await.map_err(gone).flatten()
    }
}
