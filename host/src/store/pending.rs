//! An answer that is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::StoreError;

/// The answer to a submitted write. Dropping it does not take the write back.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

/// Where the answer is given.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<T>);

/// Makes the two ends of one answer.
#[must_use]
pub fn reply<T>() -> (Reply<T>, Pending<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply(sender), Pending(receiver))
}

impl<T> Reply<T> {
    /// Gives the answer. Whether anybody still waits for it does not matter.
    pub fn send(self, answer: T) {
        let _ = self.0.send(answer);
    }
}

impl<T> Pending<T> {
    /// An answer that is there already.
    #[must_use]
    pub fn ready(answer: T) -> Self {
        let (reply, pending) = reply();
        reply.send(answer);
        pending
    }
}

impl<T, E: From<StoreError>> Pending<Result<T, E>> {
    /// Blocks the thread until the answer is there. Not for async tasks: await it there.
    ///
    /// # Errors
    /// The operation's own, or [`StoreError::ShuttingDown`] when the writer is gone.
    pub fn wait(self) -> Result<T, E> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(StoreError::ShuttingDown.into()))
    }
}

impl<T, E: From<StoreError>> Future for Pending<Result<T, E>> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(StoreError::ShuttingDown.into())))
    }
}
