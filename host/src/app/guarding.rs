//! What is asked of who comes in: keys and TLS, as the options want them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::access::Policy;
use crate::config::{AccessOptions, Limits};
use crate::error::ErrorClass;
use crate::gate::{Gate, Incoming, KeysFile, KeysFileError, Protocol, Reloading, Tls, TlsError, TlsFiles};

/// Why nobody is let in.
#[derive(Debug, Error)]
pub enum GuardError {
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeysFileError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Of certificate and private key one is not told.
    #[error("{given} is given without {missing}: TLS needs both, as flags, variables or in the file of settings")]
    HalfTls {
        /// The flag that is told.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Other machines would be let in without a key.
    #[error(
        "{flag} {address} can be reached from other machines, but no key is asked for: whoever reaches it could read, \
         append and administer; make a key (tidemill keys new NAME --scope admin --keys {keys}), listen on 127.0.0.1, or \
         accept that with --insecure-listen"
    )]
    Exposed {
        /// The flag that told the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// Where keys are looked for.
        keys: String,
    },
    /// The system does not let the process hear signals.
    #[error("signals cannot be listened for")]
    Signals(#[source] std::io::Error),
}

impl GuardError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Keys(error) => error.class(),
            Self::Tls(error) => error.class(),
            Self::HalfTls { .. } | Self::Exposed { .. } => ErrorClass::Invalid,
            Self::Signals(_) => ErrorClass::Unavailable,
        }
    }
}

/// Keys and certificate of a server, as their files are.
#[derive(Debug)]
pub(super) struct Guarding {
    gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
    _reloading: Reloading,
}

impl Guarding {
    /// Reads both, and looks after them from then on. `addresses` are those that are to be listened on, each with the
    /// flag that told it.
    pub(super) fn start(
        options: &AccessOptions,
        data: &Path,
        addresses: &[(&'static str, SocketAddr)],
    ) -> Result<Self, GuardError> {
        let file = KeysFile::at(options.keys_file(data));
        let policy = match file.read()? {
            Some(keys) => Policy::of_keys(keys),
            // Who names a file wants keys to be asked for, even before the first is made.
            None if options.keys.is_some() => Policy::of_keys(crate::access::Keys::default()),
            None => Policy::open(),
        };
        let keys = file.path().display().to_string();
        let reached = addresses.iter().find(|(_, address)| !address.ip().is_loopback());
        match reached {
            Some((flag, address)) if policy.is_open() && !options.insecure_listen => {
                return Err(GuardError::Exposed { flag, address: *address, keys });
            }
            _ => {}
        }
        let tls = match (&options.tls_cert, &options.tls_key) {
            (Some(cert), Some(key)) => Some(Tls::load(TlsFiles { cert: cert.clone(), key: key.clone() })?),
            (None, None) => None,
            (Some(_), None) => return Err(GuardError::HalfTls { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => return Err(GuardError::HalfTls { given: "--tls-key", missing: "--tls-cert" }),
        };
        tell(&policy, &keys, reached.is_some(), tls.is_some());
        let gate = Gate::new(policy).reached_by_others(reached.is_some());
        let (gate, tls) = (Arc::new(gate), tls.map(Arc::new));
        let reloading = Reloading::start(Arc::clone(&gate), file, tls.clone()).map_err(GuardError::Signals)?;
        Ok(Self { gate, tls, _reloading: reloading })
    }

    /// Who lets in.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// How URLs of the server begin.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The connections of a listener.
    pub(super) fn incoming(
        &self,
        limits: &Limits,
        listener: TcpListener,
        protocol: Protocol,
    ) -> Result<Incoming, GuardError> {
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor(protocol)).transpose()?;
        Ok(Incoming::within(limits, listener, acceptor))
    }
}

/// Says what somebody should know who starts a server.
fn tell(policy: &Policy, keys: &str, reached: bool, encrypted: bool) {
    match (policy.is_open(), reached, encrypted) {
        (true, true, _) => warn!(
            keys,
            "NO KEY IS ASKED FOR, and other machines can reach this server: whoever does may read, append and administer"
        ),
        (true, false, _) => warn!(
            keys,
            "no key is asked for: every program on this machine may read, append and administer; make one by \
             `tidemill keys new`"
        ),
        (false, true, false) => warn!(
            keys,
            "keys and events cross the network in the clear, unless TLS ends before this server: give --tls-cert and \
             --tls-key"
        ),
        (false, _, _) => info!(keys, "keys are asked for"),
    }
}
