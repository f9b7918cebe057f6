//! The server: a host with its faces in front of it: HTTP, and gRPC if that is asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::retention::RetentionTask;
use super::showing::Showing;
use super::{Host, HostError, HostOptions};
use crate::api::{self, ApiState};
use crate::config::{ServeOptions, TwoPolicies};
use crate::error::ErrorClass;
use crate::grpc;
use crate::store::Store;

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
    #[error("{address} cannot be listened on; give another {flag}, or port 0 for a free one")]
    Listen {
        /// The flag that told it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The system does not let the process hear signals.
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
    /// The gRPC listener failed while it served.
    #[error("gRPC can no longer be served")]
    Grpc(#[source] io::Error),
}

impl ServeError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Host(error) => error.class(),
            Self::Options(_) => ErrorClass::Invalid,
            Self::Listen { .. } | Self::Signals(_) | Self::Grpc(_) => ErrorClass::Unavailable,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then drains: requests in flight are answered, plugins stop at their
/// batch boundary, the store closes. `listening` is told the addresses: of HTTP, and of gRPC if it is served.
///
/// # Errors
/// When the store does not open, an address is taken, or gRPC can no longer be served.
pub async fn serve(
    options: ServeOptions,
    listening: impl FnOnce(SocketAddr, Option<SocketAddr>),
) -> Result<(), ServeError> {
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    options.check_retention()?;
    let (listener, address) = listen("--listen", options.listen).await?;
    let (grpc_listener, grpc) = match options.grpc_listen {
        Some(wanted) => listen("--grpc-listen", wanted).await.map(|(listener, bound)| (Some(listener), Some(bound)))?,
        None => (None, None),
    };
    let plugins = options.plugins_dir();
    let (data, compiler) = (options.data.clone(), options.compiler.clone());
    let host = Host::start(HostOptions { data, plugins: Some(plugins.clone()), compiler }).await?;
    let head = host.store().head().0;
    info!(%address, ?grpc, data = %options.data.display(), plugins = %plugins.display(), head, "serving");
    listening(address, grpc);
    let retention = RetentionTask::start(host.clone(), options.retention, host.clock());
    let state = ApiState::maintained(host.store(), Arc::new(Showing(host.clone())), host.maintenance());
    let state = state.with_retention(retention.status()).with_clock(host.clock());
    let (stop, stopped) = watch::channel(false);
    let told = async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        info!("draining: requests in flight are answered, plugins stop at their batch boundary");
        stop.send_replace(true);
        Ok::<(), ServeError>(())
    };
    let faces = serve_faces((listener, state), grpc_listener.map(|listener| (listener, host.store())), stopped);
    let served = tokio::try_join!(told, faces).map(|((), ())| ());
    drop(retention);
    host.shutdown().await;
    info!("closed");
    served
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves what there is a listener for, until told to stop or one of them fails.
async fn serve_faces(
    (listener, state): (TcpListener, ApiState),
    grpc: Option<(TcpListener, Arc<dyn Store>)>,
    stopped: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let told = |mut stopped: watch::Receiver<bool>| async move {
        // That the sender is gone means the same.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let http = async {
        api::serve(listener, state, told(stopped.clone())).await;
        Ok(())
    };
    let grpc = async {
        match grpc {
            Some((listener, store)) => {
                grpc::serve(listener, store, told(stopped.clone())).await.map_err(ServeError::Grpc)
            }
            None => Ok(()),
        }
    };
    tokio::try_join!(http, grpc).map(|((), ())| ())
}

fn hear(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(ServeError::Signals)
}
