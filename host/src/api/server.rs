//! Serves the API on a socket until told to stop.

use std::future::{Future, IntoFuture};
use std::io;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::router::router;
use super::state::ApiState;

/// How long requests in flight may take once the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Serves until `shutdown` resolves; then takes no more connections, ends subscriptions, and waits for
/// the requests in flight, at most 20 seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Answers are small: waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let closing = state.clone();
    let server = axum::serve(listener, router(state.clone())).with_graceful_shutdown(async move {
        shutdown.await;
        closing.close();
    });
    tokio::select! {
        result = server.into_future() => result,
        () = drained_too_long(&state) => {
            tracing::warn!(seconds = DRAIN_MAX.as_secs(), "requests in flight did not end in time; leaving them");
            Ok(())
        }
    }
}

async fn drained_too_long(state: &ApiState) {
    state.closed().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
