//! Reports to the service manager: ready, alive, stopping (`sd_notify(3)`).
//!
//! It is told that the process is alive only while that is so where it matters: this task runs, so the async runtime
//! does, and the log's writer has answered lately.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Host;
use crate::api::Pulse;
use crate::config::Supervisor;

/// How long telling may take when it listens to nothing.
const TELL_MAX: Duration = Duration::from_secs(1);
/// How often it is told so within the time it lets pass.
const TELLS: u32 = 3;
/// Shortest time between two tellings.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Somebody to report to, if there is one.
#[derive(Debug, Default)]
pub(super) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Reports to a service manager; a socket that is none is logged, and nobody is reported to.
    pub(super) fn new(supervisor: Option<&Supervisor>) -> Self {
        let Some(supervisor) = supervisor else { return Self::default() };
        let opened = address(supervisor).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(TELL_MAX))?;
            Ok((socket, address))
        });
        opened.map_or_else(
            |error| {
                tracing::warn!(socket = ?supervisor.socket, %error, "NOTIFY_SOCKET cannot be used; nobody is notified");
                Self::default()
            },
            |opened| Self(Some(opened)),
        )
    }

    /// Tells one thing.
    pub(super) fn tell(&self, what: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            tracing::warn!(%error, what, "the service manager could not be notified");
        }
    }
}

fn address(supervisor: &Supervisor) -> io::Result<SocketAddr> {
    match supervisor.socket.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&supervisor.socket),
    }
}

/// Tells when the plugins are loaded or known to be broken, and from then on that the process is alive while it is. Must
/// be called within a tokio runtime.
pub(super) fn report(
    notifier: Arc<Notifier>,
    (host, pulse): (Host, Arc<Pulse>),
    watchdog: Option<Duration>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        host.plugins_loaded().await;
        notifier.tell("READY=1");
        let Some(watchdog) = watchdog else { return };
        let mut ticks = tokio::time::interval((watchdog / TELLS).max(PAUSE_MIN));
        loop {
            ticks.tick().await;
            if pulse.is_answering() {
                notifier.tell("WATCHDOG=1");
            }
        }
    })
}
