//! A long answer that ends when who asked for it is let in no more.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::guard::Caller;

/// What a client is told as a last thing.
#[derive(Clone, Debug)]
pub enum Farewell {
    /// Nothing: the answer breaks off.
    Broken,
    /// These bytes.
    Bytes(Bytes),
    /// These trailers.
    Trailers(HeaderMap),
}

/// The body of an answer, until its caller is expelled.
pub struct Revocable<B> {
    /// None when it was ended.
    body: Option<B>,
    expelled: BoxFuture<'static, ()>,
    farewell: Farewell,
}

impl<B> fmt::Debug for Revocable<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocable").field("farewell", &self.farewell).finish_non_exhaustive()
    }
}

impl<B> Revocable<B> {
    /// Ends a body when the caller is expelled.
    pub fn new(body: B, caller: Caller, farewell: Farewell) -> Self {
        Self { body: Some(body), expelled: caller.expelled().boxed(), farewell }
    }
}

impl<B> Body for Revocable<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tower::BoxError>,
{
    type Data = Bytes;
    type Error = tower::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body: Some(body), expelled, .. } = &mut *self else { return Poll::Ready(None) };
        if expelled.poll_unpin(context).is_pending() {
            return Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        }
        self.body = None;
        Poll::Ready(Some(match &self.farewell {
            Farewell::Broken => Err("the key was taken back".into()),
            Farewell::Bytes(bytes) => Ok(Frame::data(bytes.clone())),
            Farewell::Trailers(trailers) => Ok(Frame::trailers(trailers.clone())),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
