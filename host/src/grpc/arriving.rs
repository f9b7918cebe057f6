//! Clients that do not go on: a connection on which nobody speaks HTTP/2, and a request whose message does not come.
//!
//! Once HTTP/2 is spoken, pings find out who is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::Connected;

/// Length of what every client of HTTP/2 begins with, in bytes (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;

/// A connection that fails unless its client begins to speak in time.
pub(super) struct Begun<S> {
    stream: S,
    /// Bytes of the beginning that are not there yet.
    missing: usize,
    /// When it is too late; none when it has begun.
    over: Option<Pin<Box<Sleep>>>,
}

impl<S> Begun<S> {
    pub(super) fn within(longest: Duration, stream: S) -> Self {
        Self { stream, missing: PREFACE_BYTES, over: Some(Box::pin(sleep(longest))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(over) = &mut self.over else { return read };
        if read.is_pending() && over.as_mut().poll(context).is_ready() {
            tracing::debug!("a connection on which nobody began to speak HTTP/2 is closed");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
        if self.missing == 0 {
            self.over = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Connected for Begun<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// The body of a request, which fails unless it arrives in time.
struct Arriving {
    body: Body,
    over: Pin<Box<Sleep>>,
    seconds: u64,
}

/// A body that fails unless it arrives within so many seconds.
pub(super) fn arriving(body: Body, seconds: u64) -> Body {
    Body::new(Arriving { body, over: Box::pin(sleep(Duration::from_secs(seconds))), seconds })
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.over.as_mut().poll(context).is_ready() {
            let message = format!("the request did not arrive within {} s", self.seconds);
            return Poll::Ready(Some(Err(Status::deadline_exceeded(message))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
