//! The server: a host with the API in front of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::retention::RetentionTask;
use super::showing::Showing;
use super::{Host, HostError, HostOptions};
use crate::api::{self, ApiState};
use crate::config::{ServeOptions, TwoPolicies};
use crate::error::ErrorClass;

/// Why serving did not begin, or ended by itself.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The host did not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] TwoPolicies),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on; give another --listen, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The system does not let the process hear signals.
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
    /// The socket failed.
    #[error("the server's socket failed")]
    Socket(#[source] io::Error),
}

impl ServeError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Host(error) => error.class(),
            Self::Options(_) => ErrorClass::Invalid,
            Self::Listen { .. } | Self::Signals(_) | Self::Socket(_) => ErrorClass::Unavailable,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then drains: requests in flight are answered, plugins stop at their
/// batch boundary, the store closes. `listening` is told the address.
///
/// # Errors
/// When the store does not open, the address is taken, or the socket fails.
pub async fn serve(options: ServeOptions, listening: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let cannot_listen = |source| ServeError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    options.check_retention()?;
    let plugins = options.plugins_dir();
    let (data, compiler) = (options.data.clone(), options.compiler.clone());
    let host = Host::start(HostOptions { data, plugins: Some(plugins.clone()), compiler }).await?;
    info!(%address, data = %options.data.display(), plugins = %plugins.display(), head = host.store().head().0, "serving");
    listening(address);
    let retention = RetentionTask::start(host.clone(), options.retention, host.clock());
    let state = ApiState::maintained(host.store(), Arc::new(Showing(host.clone())), host.maintenance());
    let state = state.with_retention(retention.status()).with_clock(host.clock());
    let told = async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        info!("draining: requests in flight are answered, plugins stop at their batch boundary");
    };
    let served = api::serve(listener, state, told).await.map_err(ServeError::Socket);
    drop(retention);
    host.shutdown().await;
    info!("closed");
    served
}

fn hear(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(ServeError::Signals)
}
