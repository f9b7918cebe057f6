//! Takes up keys and certificates when their files change, or on SIGHUP.
//!
//! The files are looked at a few times a second rather than watched: that costs a call of the system each, and sees
//! what watching misses, such as a link far up the path that is pointed elsewhere. What cannot be used is told, once for
//! each change, and what held before goes on. A keys file that is gone holds no keys: then nobody is let in. Nor is
//! anybody when the first keys that come to be cannot be used: who made them did not want the server open.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};

use super::guard::Gate;
use super::keys_file::KeysFile;
use super::tls::Tls;
use crate::access::{Keys, Policy};
use crate::error::with_sources;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// What tells two states of a file apart: device, inode, bytes, and when it was changed. None if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Keeps a gate and a certificate as their files are. Ends when it is dropped.
#[derive(Debug)]
pub struct Reloading(JoinHandle<()>);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The files, and how they were when they were read.
struct Watched {
    gate: Arc<Gate>,
    keys: KeysFile,
    keys_stamp: Stamp,
    tls: Option<Arc<Tls>>,
    tls_stamp: [Stamp; 2],
}

impl Reloading {
    /// Begins to look after files, of which those of TLS were read already. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let the process hear signals.
    pub fn start(gate: Arc<Gate>, keys: KeysFile, tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let mut watched = Watched { gate, keys, keys_stamp: None, tls, tls_stamp: [None; 2] };
        watched.tls_stamp = watched.stamps_of_tls();
        Ok(Self(tokio::spawn(run(watched, hangup))))
    }
}

async fn run(mut watched: Watched, mut hangup: Signal) {
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => false,
            Some(()) = hangup.recv() => true,
        };
        let looked = spawn_blocking(move || {
            watched.look(asked);
            watched
        });
        match looked.await {
            Ok(back) => watched = back,
            Err(error) => {
                tracing::error!(%error, "keys and certificates are looked after no more");
                return;
            }
        }
    }
}

impl Watched {
    /// Reads what has changed, or everything if that was asked for.
    fn look(&mut self, asked: bool) {
        let stamp = stamp(self.keys.path());
        if asked || stamp != self.keys_stamp {
            self.keys_stamp = stamp;
            self.read_keys();
        }
        let stamps = self.stamps_of_tls();
        if asked || stamps != self.tls_stamp {
            self.tls_stamp = stamps;
            self.read_tls();
        }
    }

    fn read_keys(&self) {
        match self.keys.read() {
            Ok(Some(keys)) => {
                let count = keys.iter().count();
                self.gate.replace(Policy::of_keys(keys));
                tracing::info!(file = %self.keys.path().display(), keys = count, "keys were read");
            }
            Ok(None) if self.gate.is_open() => {}
            Ok(None) => {
                self.gate.replace(Policy::of_keys(Keys::default()));
                tracing::warn!(file = %self.keys.path().display(), "the keys file is gone: nobody is let in");
            }
            Err(error) if self.gate.is_open() => {
                self.gate.replace(Policy::of_keys(Keys::default()));
                tracing::error!(
                    error = with_sources(&error),
                    "there are keys, but not for this server: nobody is let in"
                );
            }
            Err(error) => tracing::error!(error = with_sources(&error), "the keys read before go on"),
        }
    }

    fn read_tls(&self) {
        let Some(tls) = &self.tls else { return };
        match tls.reload() {
            Ok(()) => tracing::info!(file = %tls.files().cert.display(), "the certificate was read"),
            Err(error) => tracing::error!(error = with_sources(&error), "the certificate read before goes on"),
        }
    }

    fn stamps_of_tls(&self) -> [Stamp; 2] {
        self.tls.as_ref().map_or([None; 2], |tls| [stamp(&tls.files().cert), stamp(&tls.files().key)])
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
