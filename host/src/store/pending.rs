//! An answer that is on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::StoreError;

/// The answer to a submitted write. Dropping it does not take the write back.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<T>);

/// Where the answer is given.
pub struct Reply<T>(Option<Then<T>>);

/// What is done with an answer, or when there will be none.
enum Then<T> {
    Send(oneshot::Sender<T>),
    Call(Box<dyn FnOnce(Option<T>) + Send>),
}

/// Makes the two ends of one answer.
#[must_use]
pub fn reply<T>() -> (Reply<T>, Pending<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply(Some(Then::Send(sender))), Pending(receiver))
}

impl<T, E: From<StoreError>> Reply<Result<T, E>> {
    /// Has something done with the answer, by the thread that gives it: it must be done in a moment, and not panic. Where
    /// there will be none it is [`StoreError::ShuttingDown`].
    #[must_use]
    pub fn then(call: impl FnOnce(Result<T, E>) + Send + 'static) -> Self {
        let call = |answer: Option<_>| call(answer.unwrap_or_else(|| Err(StoreError::ShuttingDown.into())));
        Self(Some(Then::Call(Box::new(call))))
    }
}

impl<T> Reply<T> {
    /// Gives the answer. Whether anybody still waits for it does not matter.
    pub fn send(mut self, answer: T) {
        match self.0.take() {
            Some(Then::Send(sender)) => drop(sender.send(answer)),
            Some(Then::Call(call)) => call(Some(answer)),
            None => {}
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(Then::Call(call)) = self.0.take() {
            call(None);
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
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
