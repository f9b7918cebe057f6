//! Counts requests by method and by the code that they end with, which is known when their answer has ended.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Code, Status};

use crate::clock::Stopwatch;
use crate::gate::{InFlight, Requests, Route};

/// A service whose requests are counted.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    requests: Arc<Requests>,
}

impl<S> fmt::Debug for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}

impl<S> Counted<S> {
    pub(super) const fn new(service: S, requests: Arc<Requests>) -> Self {
        Self { service, requests }
    }
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Answer>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let route = self.requests.route(method(request.uri().path()));
        let mut ending = Ending { route: Some(route), _in_flight: self.requests.begin() };
        let (began, answer) = (Stopwatch::start(), self.service.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(route) = &ending.route {
                route.took(began.elapsed_ns());
            }
            // Who is refused at once has the code in the head.
            if let Some(status) = Status::from_header_map(answer.headers()) {
                ending.with(status.code());
            }
            Ok(answer.map(|body| Answer { body, ending }))
        })
    }
}

/// A request until its answer has ended; dropped before, its client has left.
struct Ending {
    /// None when it is counted.
    route: Option<Arc<Route>>,
    _in_flight: InFlight,
}

impl Ending {
    fn with(&mut self, code: Code) {
        if let Some(route) = self.route.take() {
            route.count(name(code));
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.with(Code::Cancelled);
    }
}

/// The body of an answer, whose end is counted.
pub(super) struct Answer {
    body: Body,
    ending: Ending,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.ending.with(Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code()));
                }
            }
            Some(Err(error)) => self.ending.with(error.code()),
            None => self.ending.with(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The method that a path names, of those that there are.
fn method(path: &str) -> &'static str {
    const METHODS: [(&str, &str); 7] = [
        ("/umadb.v1.DCB/Append", "Append"),
        ("/umadb.v1.DCB/Read", "Read"),
        ("/umadb.v1.DCB/Subscribe", "Subscribe"),
        ("/umadb.v1.DCB/Head", "Head"),
        ("/umadb.v1.DCB/GetTrackingInfo", "GetTrackingInfo"),
        ("/grpc.health.v1.Health/Check", "Health/Check"),
        ("/grpc.health.v1.Health/Watch", "Health/Watch"),
    ];
    METHODS.iter().find(|(of, _)| *of == path).map_or("none", |(_, name)| name)
}

/// A code as the specification of gRPC spells it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
