//! Certificate authorities to trust, from a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use ureq::tls::{Certificate, PemItem, parse_pem};

/// Why a file names no authorities.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// The system does not let it be read.
    #[error("{flag} {} cannot be read", .path.display())]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// It is not PEM.
    #[error("{flag} {} is no PEM", .path.display())]
    Pem {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ureq::Error,
    },
    /// There is none in it.
    #[error("{flag} {} holds no certificate; it is PEM and begins with -----BEGIN CERTIFICATE-----", .path.display())]
    Nothing {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// The certificates in a file that a flag names; other things in it mean nothing.
///
/// # Errors
/// When it cannot be read, is not PEM, or holds none.
pub fn authorities(flag: &'static str, path: &Path) -> Result<Vec<Certificate<'static>>, AuthoritiesError> {
    let text = fs::read(path).map_err(|source| AuthoritiesError::Read { flag, path: path.to_owned(), source })?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(source) => return Err(AuthoritiesError::Pem { flag, path: path.to_owned(), source }),
        }
    }
    if found.is_empty() {
        return Err(AuthoritiesError::Nothing { flag, path: path.to_owned() });
    }
    Ok(found)
}
