//! The connections of benchmarks: TCP, within TLS where the URL says so, and the key that goes with requests.

use std::io;
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};
use ureq::http::HeaderValue;
use ureq::tls::Certificate;

use crate::cli::server_url::ServerUrl;

/// The certificate authorities of the Mozilla programme.
static PUBLIC: LazyLock<Arc<RootCertStore>> =
    LazyLock::new(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() }));

/// A byte stream to a server.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whom to trust, and the key.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    roots: Arc<RootCertStore>,
    /// Its value is marked as not to be shown.
    pub(super) authorization: Option<HeaderValue>,
}

impl Default for Wire {
    fn default() -> Self {
        Self { roots: Arc::clone(&PUBLIC), authorization: None }
    }
}

impl Wire {
    /// Trusts these authorities, or without them the public ones, and presents a key.
    ///
    /// # Errors
    /// When a certificate cannot be an authority's.
    pub(super) fn new(
        authorities: Option<&[Certificate<'static>]>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, Error> {
        let Some(authorities) = authorities else { return Ok(Self { authorization, ..Self::default() }) };
        let mut roots = RootCertStore::empty();
        for certificate in authorities {
            roots.add(CertificateDer::from(certificate.der().to_vec()))?;
        }
        Ok(Self { roots: Arc::new(roots), authorization })
    }

    /// The same without the key: for servers that it was not given for.
    #[must_use]
    pub(super) fn without_key(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    /// Connects to a server. Within TLS `protocol` is spoken, as ALPN names it.
    pub(super) async fn connect(&self, url: &ServerUrl, protocol: &[u8]) -> io::Result<Box<dyn Stream>> {
        let socket = TcpStream::connect(url.authority()).await?;
        // A request is small: waiting to fill a packet would only delay it.
        socket.set_nodelay(true)?;
        if !url.is_tls() {
            return Ok(Box::new(socket));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(url.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, socket).await?))
    }
}
