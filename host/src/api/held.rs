//! An answer that holds the place of its request until its client has taken it.
//!
//! It goes out in pieces: what makes the connection ask for the last one has sent all but a little of what was before.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// Most bytes that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// The body of an answer, in the place of its request.
pub(super) struct Held {
    body: Body,
    /// What is left of the body's last frame.
    rest: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Held {
    /// A body that holds a place until it is dropped, which it is when it has ended.
    pub(super) const fn new(body: Body, place: OwnedSemaphorePermit) -> Self {
        Self { body, rest: Bytes::new(), _place: place }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let bytes = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
