//! Serves the face on a socket until told to stop.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use tokio::sync::watch;
use tonic::server::NamedService as _;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::layer::layer_fn;

use super::arriving::Begun;
use super::bounded::{Bounded, Bounds};
use super::counted::Counted;
use super::limits::{
    CONNECTION_STREAMS_MAX, CONNECTION_WINDOW_BYTES, DRAIN_MAX, PING_AFTER, PING_MAX, STREAM_WINDOW_BYTES,
};
use super::service::Dcb;
use crate::config::Limits;
use crate::gate::{Gate, Incoming, Requests};
use crate::store::{AsyncStore, Store};

/// What the health service is asked about: the server, and its one service.
const SERVICES: [&str; 2] = ["", Dcb::NAME];

/// What is served, and how.
pub struct Face {
    store: Arc<dyn Store>,
    gate: Arc<Gate>,
    limits: Limits,
    requests: Arc<Requests>,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Face {
    /// A store, for those whom a gate lets in.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, gate: Arc<Gate>) -> Self {
        Self { store, gate, limits: Limits::default(), requests: Arc::default() }
    }

    /// The same, taking on no more than this.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where its requests are counted.
    #[must_use]
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }
}

/// Serves until `shutdown` resolves; then takes no more connections, ends subscriptions, and waits for the
/// requests in flight, at most five minutes.
///
/// # Errors
/// When the server fails.
pub async fn serve(
    incoming: Incoming,
    face: Face,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Face { store, gate, limits, requests } = face;
    let (closing, closed) = watch::channel(false);
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in SERVICES {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let header_time = Duration::from_secs(limits.header_time);
    let incoming = incoming.map_ok(move |connection| Begun::within(header_time, connection));
    let dcb = Dcb::new(AsyncStore::new(store), gate, closed.clone(), &limits);
    let counted = layer_fn(move |service| Counted::new(service, Arc::clone(&requests)));
    let bounds = Bounds::new(&limits);
    let bounded = layer_fn(move |service| Bounded::new(service, bounds.clone()));
    let server = builder().layer(counted).layer(bounded).add_service(health).add_service(dcb);
    let served = server.serve_with_incoming_shutdown(incoming, async move {
        shutdown.await;
        close(&reporter).await;
        closing.send_replace(true);
    });
    tokio::select! {
        served = served => served.map_err(io::Error::other),
        () = drained_too_long(closed) => {
            tracing::warn!(seconds = DRAIN_MAX.as_secs(), "gRPC requests in flight did not end in time; leaving them");
            Ok(())
        }
    }
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(CONNECTION_STREAMS_MAX)
        .http2_keepalive_interval(Some(PING_AFTER))
        .http2_keepalive_timeout(Some(PING_MAX))
}

/// Tells who watches that the end is near, and ends their watching.
async fn close(reporter: &HealthReporter) {
    for service in SERVICES {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
    for service in SERVICES {
        reporter.clone().clear_service_status(service).await;
    }
}

async fn drained_too_long(mut closed: watch::Receiver<bool>) {
    if closed.wait_for(|closed| *closed).await.is_err() {
        // The server ended before it was told to.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_MAX).await;
}
