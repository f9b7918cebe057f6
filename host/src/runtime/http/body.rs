//! A body that ends in an error when it is too long or takes too long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

/// A body within bounds.
pub(super) struct Bounded<B> {
    inner: B,
    bytes_left: u64,
    /// What it ends in past its bytes.
    too_long: fn() -> Error,
    /// It ends in a time-out when this is over; none for a body whose reader has a deadline.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Longest wait for a frame.
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<B> Bounded<B> {
    /// Bounds a body by bytes alone.
    pub(super) fn new(inner: B, bytes_max: u64, too_long: fn() -> Error) -> Self {
        Self { inner, bytes_left: bytes_max, too_long, deadline: None, idle: None }
    }

    /// Bounds it by time too.
    pub(super) fn within(mut self, deadline: Pin<Box<Sleep>>, idle: Option<Duration>) -> Self {
        self.deadline = Some(deadline);
        self.idle = idle.map(|idle| (idle, Box::pin(tokio::time::sleep(idle))));
        self
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let idle = self.idle.as_mut().map(|(_, sleep)| sleep);
        self.deadline.iter_mut().chain(idle).any(|sleep| sleep.as_mut().poll(context).is_ready())
    }

    fn took(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let bytes = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(self.too_long)?;
        self.idle = self.idle.take().map(|(idle, _)| (idle, Box::pin(tokio::time::sleep(idle))));
        Ok(frame)
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The time first: a body that always has another byte must end, too.
        if self.is_late(context) {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.took(frame))),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
