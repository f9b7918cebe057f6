//! A stream of messages that ends when its client takes nothing: so it holds no place, and no page, for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

use super::status::refused;
use crate::error::ErrorClass;

type Handed = Result<Frame<Bytes>, Status>;

/// Hands a body on as its client takes it, in a place. When the client takes nothing for `longest` while there is
/// something for it, the body and the place are dropped; the rest is a status that says so.
pub(super) fn taken(body: Body, longest: Duration, place: OwnedSemaphorePermit) -> Body {
    let (room, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        hand_on(body, longest, room).await;
        drop(place);
    });
    Body::new(Taken { frames, ended: false, longest })
}

/// One frame waits for the client; the next is made when it has been taken.
async fn hand_on(mut body: Body, longest: Duration, frames: mpsc::Sender<Handed>) {
    // It ends early when the client has left, or takes nothing.
    while let Ok(Ok(room)) = timeout(longest, frames.reserve()).await {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = frames.closed() => return,
        };
        let Some(frame) = frame else { return };
        room.send(frame);
    }
}

struct Taken {
    frames: mpsc::Receiver<Handed>,
    /// Whether the last frame was there.
    ended: bool,
    longest: Duration,
}

impl Taken {
    /// What a client hears that was given up.
    fn farewell(&self) -> Option<Handed> {
        let message =
            format!("the client took nothing for {} s; begin again after the last position", self.longest.as_secs());
        let status = refused(ErrorClass::Unavailable, message);
        let mut trailers = HeaderMap::new();
        Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
    }
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Handed>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(self.frames.poll_recv(context)).or_else(|| self.farewell());
        self.ended = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        Poll::Ready(frame)
    }
}
