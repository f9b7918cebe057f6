//! How much is taken on of each kind of call, and how long a client is waited for.
//!
//! A call with one answer holds its place until the answer is there; a stream until it has ended, which a client that
//! takes nothing brings about. Who asks for health needs no key, and so has places apart.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::ready;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};

use super::arriving::arriving;
use super::limits::HEALTH_MAX;
use super::status::refused;
use super::taken::taken;
use crate::config::Limits;
use crate::error::ErrorClass;

/// The places of a face, and how long it waits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bounds {
    calls: Place,
    streams: Place,
    health: Place,
    body_seconds: u64,
    write_time: Duration,
}

#[derive(Clone)]
struct Place {
    what: &'static str,
    max: usize,
    free: Arc<Semaphore>,
}

impl Place {
    fn new(what: &'static str, max: usize) -> Self {
        Self { what, max, free: Arc::new(Semaphore::new(max)) }
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let message = format!("there are {} {} already; try again later", self.max, self.what);
            refused(ErrorClass::Unavailable, message)
        })
    }
}

impl Bounds {
    /// All places free.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            calls: Place::new("calls", limits.max_requests),
            streams: Place::new("reads and subscriptions", limits.max_grpc_streams),
            health: Place::new("questions for health", HEALTH_MAX),
            body_seconds: limits.body_time,
            write_time: Duration::from_secs(limits.write_time),
        }
    }

    /// The places for what a path names, and whether its answer is a stream.
    fn of(&self, path: &str) -> (&Place, bool) {
        match path {
            "/umadb.v1.DCB/Read" | "/umadb.v1.DCB/Subscribe" => (&self.streams, true),
            "/grpc.health.v1.Health/Watch" => (&self.health, true),
            _ if path.starts_with("/grpc.health.v1.Health/") => (&self.health, false),
            _ => (&self.calls, false),
        }
    }
}

/// A service within bounds.
#[derive(Clone)]
pub(super) struct Bounded<S> {
    service: S,
    bounds: Bounds,
}

impl<S> fmt::Debug for Bounded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").finish_non_exhaustive()
    }
}

impl<S> Bounded<S> {
    pub(super) const fn new(service: S, bounds: Bounds) -> Self {
        Self { service, bounds }
    }
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (places, streams) = self.bounds.of(request.uri().path());
        let place = match places.take() {
            Ok(place) => place,
            Err(status) => return Box::pin(ready(Ok(status.into_http()))),
        };
        let (body_seconds, write_time) = (self.bounds.body_seconds, self.bounds.write_time);
        let answer = self.service.call(request.map(|body| arriving(body, body_seconds)));
        Box::pin(async move {
            let answer = answer.await?;
            // Who is refused at once has the code in the head, and no body.
            if !streams || Status::from_header_map(answer.headers()).is_some() {
                return Ok(answer);
            }
            Ok(answer.map(|body| taken(body, write_time, place)))
        })
    }
}
