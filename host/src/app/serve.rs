//! The server: a host with its faces in front of it: HTTP, and gRPC if that is asked for.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::guarding::{GuardError, Guarding};
use super::notify::{self, Notifier};
use super::otlp::Sending;
use super::reload;
use super::retention::RetentionTask;
use super::showing::Showing;
use super::{Host, HostError, HostOptions};
use crate::api::{self, ApiState, Pulse};
use crate::config::{AuthoritiesError, ServeOptions, TwoPolicies};
use crate::error::ErrorClass;
use crate::gate::{Incoming, Protocol};
use crate::grpc;
use crate::runtime::Trust;

/// Why serving did not begin, or ended by itself.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The host did not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] TwoPolicies),
    /// Nobody can be let in as the options want it.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The authorities that plugins are to believe cannot be read.
    #[error("--http-ca {path}: {reason}")]
    HttpCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody vouches for the OTLP receiver.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
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
            Self::Options(_) | Self::Authorities(_) => ErrorClass::Invalid,
            Self::Guard(error) => error.class(),
            Self::HttpCa { .. } => ErrorClass::Invalid,
            Self::Listen { .. } | Self::Signals(_) | Self::Grpc(_) => ErrorClass::Unavailable,
        }
    }
}

/// Which servers plugins believe.
fn trust(http_ca: Option<&Path>) -> Result<Trust, ServeError> {
    let Some(path) = http_ca else { return Ok(Trust::default()) };
    let read = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"));
    let trust = read.and_then(|pem| Trust::with(&pem));
    trust.map_err(|reason| ServeError::HttpCa { path: path.to_owned(), reason })
}

/// Serves until SIGTERM or SIGINT, then drains for as long as the options let it: writes are refused, subscriptions
/// end, commands under way are settled, plugins stop at their batch boundary, requests in flight are answered, the store closes. `listening` is told how its URLs begin,
/// and the addresses: of HTTP, and of gRPC if it is served.
///
/// # Errors
/// When the store does not open, an address is taken, or gRPC can no longer be served.
pub async fn serve(
    options: ServeOptions,
    listening: impl FnOnce(&str, SocketAddr, Option<SocketAddr>),
) -> Result<(), ServeError> {
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let hangup = options.reload.as_ref().map(|_| hear(SignalKind::hangup())).transpose()?;
    options.check_retention()?;
    let wanted: Vec<_> = [("--listen", Some(options.listen)), ("--grpc-listen", options.grpc_listen)]
        .into_iter()
        .filter_map(|(flag, address)| Some((flag, address?)))
        .collect();
    let guarding = Guarding::start(&options.access, &options.data, &wanted)?;
    let (listener, address) = listen("--listen", options.listen).await?;
    let (grpc_listener, grpc) = match options.grpc_listen {
        Some(wanted) => listen("--grpc-listen", wanted).await.map(|(listener, bound)| (Some(listener), Some(bound)))?,
        None => (None, None),
    };
    let trust = trust(options.http_ca.as_deref())?;
    let plugins = options.plugins_dir();
    let (data, compiler) = (options.data.clone(), options.compiler.clone());
    let sending = Sending::start(&options)?;
    let queue = options.queue.options();
    let host = Host::start(HostOptions { data, plugins: Some(plugins.clone()), compiler, trust, queue }).await?;
    let head = host.store().head().0;
    info!(%address, ?grpc, data = %options.data.display(), plugins = %plugins.display(), head, "serving");
    listening(guarding.scheme(), address, grpc);
    let retention = RetentionTask::start(host.clone(), options.retention, host.clock());
    let reloading = hangup
        .zip(options.reload)
        .map(|(hangup, reload)| tokio::spawn(reload::on(hangup, reload, retention.policies())));
    let state = ApiState::maintained(host.store(), Arc::new(Showing(host.clone())), host.maintenance());
    let pulse = Arc::new(Pulse::start(host.maintenance()));
    let state = state.with_retention(retention.status()).with_clock(host.clock()).with_pulse(Arc::clone(&pulse));
    let state = state.with_gate(guarding.gate()).with_limits(options.limits.clone()).with_commands(host.commands());
    let state = match &sending {
        Some(sending) => sending.of(state, host.clock()),
        None => state,
    };
    let notifier = Arc::new(Notifier::new(options.supervisor.as_ref()));
    let watchdog = options.supervisor.and_then(|supervisor| supervisor.watchdog);
    let reporting = notify::report(Arc::clone(&notifier), (host.clone(), pulse), watchdog);
    let (phase, seen) = watch::channel(Phase::Serving);
    let incoming = guarding.incoming(&options.limits, listener, Protocol::Http)?;
    let mut connections = vec![("http", incoming.connections())];
    let (state, grpc_face) = match grpc_listener {
        Some(listener) => {
            let incoming = guarding.incoming(&options.limits, listener, Protocol::Grpc)?;
            connections.push(("grpc", incoming.connections()));
            let face = grpc::Face::new(host.store(), guarding.gate()).within(options.limits.clone());
            (state.with_grpc(face.requests()), Some((incoming, face)))
        }
        None => (state, None),
    };
    let state = state.with_connections(connections);
    let mut faces = pin!(serve_faces((incoming, state.clone()), grpc_face, seen));
    let served = tokio::select! {
        failed = &mut faces => failed,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!(seconds = options.drain_time, "draining: plugins finish their batch, requests in flight are answered");
    notifier.tell("STOPPING=1");
    state.close();
    phase.send_replace(Phase::Draining);
    let stopping = async {
        // What decides them is a plugin.
        state.commands_settled().await;
        host.clone().shutdown().await;
        phase.send_replace(Phase::Ending);
    };
    let still_serving = served.is_ok();
    let drain = async { tokio::join!(stopping, async { if still_serving { faces.await } else { Ok(()) } }).1 };
    let drained = tokio::time::timeout(Duration::from_secs(options.drain_time), drain).await;
    if let Some(sending) = sending {
        sending.end(&state, host.clock()).await;
    }
    drop((retention, state));
    reporting.abort();
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    let drained = drained.unwrap_or_else(|_| {
        warn!(seconds = options.drain_time, "not everything in flight ended within --drain-time; leaving it");
        Ok(())
    });
    info!("closed");
    served.and(drained)
}

/// How far serving has come. Until the end HTTP answers reads, and says that it is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Ending,
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves what there is a listener for, until told to stop or one of them fails.
async fn serve_faces(
    (incoming, state): (Incoming, ApiState),
    grpc: Option<(Incoming, grpc::Face)>,
    phase: watch::Receiver<Phase>,
) -> Result<(), ServeError> {
    let told = |mut phase: watch::Receiver<Phase>, wanted| async move {
        // That the sender is gone means the same.
        let _ = phase.wait_for(|phase| *phase >= wanted).await;
    };
    let http = async {
        api::serve(incoming, state, told(phase.clone(), Phase::Ending)).await;
        Ok(())
    };
    let grpc = async {
        match grpc {
            Some((incoming, face)) => {
                let draining = told(phase.clone(), Phase::Draining);
                grpc::serve(incoming, face, draining).await.map_err(ServeError::Grpc)
            }
            None => Ok(()),
        }
    };
    tokio::try_join!(http, grpc).map(|((), ())| ())
}

fn hear(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(ServeError::Signals)
}
