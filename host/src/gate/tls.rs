//! The server's certificate and its key, and what connections are encrypted with.
//!
//! A certificate that is replaced holds for connections from then on; those that there are keep theirs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use super::pem::{Section, sections};
use crate::error::ErrorClass;

/// Where a certificate and its key are, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead from it to its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The system does not let a file be read.
    #[error("{flag} {path} cannot be read")]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{flag} {path}, line {line}: {reason}")]
    Content {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The key is of another certificate.
    #[error("--tls-key {key} is not the key of the first certificate in --tls-cert {cert}")]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The TLS library refuses to work.
    #[error("TLS cannot be served")]
    Library(#[source] rustls::Error),
}

impl TlsError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. } => ErrorClass::Unavailable,
            Self::Content { .. } | Self::Mismatch { .. } => ErrorClass::Invalid,
            Self::Library(_) => ErrorClass::Bug,
        }
    }
}

/// What is spoken within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2, as gRPC does.
    Grpc,
}

/// TLS with a certificate that may be replaced.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    certificate: Arc<Current>,
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// Says which file will not do, and why.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let certificate = Arc::new(Current(RwLock::new(Arc::new(files.read()?))));
        Ok(Self { files, certificate })
    }

    /// Reads both again. If that fails, what was read last goes on.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(self.files.read()?);
        *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Where the files are.
    #[must_use]
    pub const fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// What makes a TLS connection of each that comes in.
    ///
    /// # Errors
    /// When the TLS library refuses.
    pub fn acceptor(&self, protocol: Protocol) -> Result<TlsAcceptor, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Library)?;
        let certificate = Arc::clone(&self.certificate);
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
        config.alpn_protocols = match protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Grpc => vec![b"h2".to_vec()],
        };
        Ok(Arc::new(config).into())
    }
}

/// A file, and what of it will not do.
struct Pem<'a> {
    flag: &'static str,
    path: &'a Path,
}

impl Pem<'_> {
    fn sections(&self) -> Result<Vec<Section>, TlsError> {
        let text = fs::read(self.path);
        let text = text.map_err(|source| TlsError::Read { flag: self.flag, path: self.path.into(), source })?;
        sections(&String::from_utf8_lossy(&text)).map_err(|(line, reason)| self.wrong(line, reason))
    }

    fn wrong(&self, line: usize, reason: impl Into<String>) -> TlsError {
        TlsError::Content { flag: self.flag, path: self.path.into(), line, reason: reason.into() }
    }
}

impl TlsFiles {
    fn read(&self) -> Result<CertifiedKey, TlsError> {
        let (line, certificates) = self.certificates()?;
        let (key_line, key) = self.private_key()?;
        let mismatch = || TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() };
        CertifiedKey::from_der(certificates, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => mismatch(),
            rustls::Error::InvalidCertificate(reason) => {
                self.cert_file().wrong(line, format!("not a certificate: {reason:?}"))
            }
            other => self.key_file().wrong(key_line, format!("not a private key that can be used: {other}")),
        })
    }

    fn cert_file(&self) -> Pem<'_> {
        Pem { flag: "--tls-cert", path: &self.cert }
    }

    fn key_file(&self) -> Pem<'_> {
        Pem { flag: "--tls-key", path: &self.key }
    }

    fn certificates(&self) -> Result<(usize, Vec<CertificateDer<'static>>), TlsError> {
        let file = self.cert_file();
        let mut certificates = Vec::new();
        let mut first = None;
        for Section { label, line, der } in file.sections()? {
            match label.as_str() {
                "CERTIFICATE" => certificates.push(CertificateDer::from(der)),
                _ if label.ends_with("PRIVATE KEY") => {
                    let reason = "a private key, not a certificate; it belongs into --tls-key and nowhere else";
                    return Err(file.wrong(line, reason));
                }
                _ => return Err(file.wrong(line, format!("{label}, not CERTIFICATE"))),
            }
            first = first.or(Some(line));
        }
        let nothing = || file.wrong(1, "no certificate; it is PEM and begins with -----BEGIN CERTIFICATE-----");
        Ok((first.ok_or_else(nothing)?, certificates))
    }

    fn private_key(&self) -> Result<(usize, PrivateKeyDer<'static>), TlsError> {
        const NOTHING: &str = "no private key; it is PEM and begins with -----BEGIN PRIVATE KEY-----";
        let file = self.key_file();
        for Section { label, line, der } in file.sections()? {
            let key = match label.as_str() {
                "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
                "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
                "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
                // What `openssl ecparam` writes before the key.
                "EC PARAMETERS" => continue,
                "ENCRYPTED PRIVATE KEY" => {
                    let reason = "the key is encrypted; write it in the clear, for its owner alone: openssl pkey";
                    return Err(file.wrong(line, reason));
                }
                "CERTIFICATE" => return Err(file.wrong(line, "a certificate, not a private key")),
                _ => return Err(file.wrong(line, format!("{label}, not PRIVATE KEY"))),
            };
            return Ok((line, key));
        }
        Err(file.wrong(1, NOTHING))
    }
}
