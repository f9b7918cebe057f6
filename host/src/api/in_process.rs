//! The API without a socket, for reading a data directory while no server runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use super::registry::NoPlugins;
use super::router::router;
use super::state::ApiState;
use crate::clock::Clock;
use crate::store::Store;

/// Answers requests on the caller's thread. Plugins are shown as the store knows them; none runs.
pub struct InProcess {
    router: Router,
    runtime: Runtime,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl InProcess {
    /// An API over a store, by this clock.
    ///
    /// # Errors
    /// When the system gives no resources for an async runtime.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { router: router(ApiState::new(store, Arc::new(NoPlugins)).with_clock(clock)), runtime })
    }

    /// Sends one request without a body; answers the status and the whole body.
    ///
    /// # Errors
    /// When `method` or `path` are not well formed.
    pub fn request(&self, method: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
        self.answer(Request::builder().method(method).uri(path).body(Body::empty()))
    }

    /// Posts a body; answers the status and the whole body.
    ///
    /// # Errors
    /// When `path` or `content_type` are not well formed.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        self.answer(request.body(Body::from(body.to_vec())))
    }

    fn answer(&self, request: Result<Request<Body>, axum::http::Error>) -> io::Result<(u16, Vec<u8>)> {
        let request = request.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let status = response.status().as_u16();
            // The router made the body and bounds it by the page size.
            let body = to_bytes(response.into_body(), usize::MAX).await.map_err(io::Error::other)?;
            Ok((status, body.into()))
        })
    }
}
