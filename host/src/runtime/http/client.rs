//! One request over one connection of its own: resolve, check, connect, send.
//!
//! The address that was checked is the one that is connected to, so a name that resolves otherwise a moment
//! later leads nowhere else. Connections are not kept: a plugin never meets what another left behind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::address::{AddressGrant, is_allowed};
use super::body::Bounded;
use super::lookup::lookup;
use super::trust::Trust;
use super::url::Origin;
use crate::runtime::limits::Limits;

/// Most bytes of a response's status line and headers.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Most headers of a response.
const HEADERS_MAX: usize = 128;
/// Longest that connecting may take, resolving the name, the wait for that and agreeing on keys included.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A response, and the task that moves its bytes.
pub(super) type Exchanged = (Response<WasiBody>, AbortOnDropJoinHandle<()>);

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Unsent {
    /// None of the host's addresses may be reached: these.
    Inside(Vec<IpAddr>),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A byte stream to a server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request that was allowed. The whole exchange, the response's body included, ends within the
/// plugin's HTTP time.
pub(super) async fn send(
    request: Request<WasiBody>,
    origin: Origin,
    (private, trust): (&[AddressGrant], &Trust),
    limits: &Limits,
    options: RequestOptions,
) -> Result<Exchanged, Unsent> {
    let mut deadline = Box::pin(tokio::time::sleep(limits.http_time()));
    let (response, connection) = tokio::select! {
        // In order: a server that is always ready does not outrun the time.
        biased;
        () = &mut deadline => return Err(Error::HttpResponseTimeout.into()),
        exchanged = exchange(request, &origin, (private, trust), options) => exchanged?,
    };
    let (response_bytes, idle) = (limits.http_response_bytes, options.between_bytes_timeout);
    let response = response.map(|body| {
        let body = body.map_err(|error| failed(&error));
        Bounded::new(body, response_bytes, || Error::HttpResponseBodySize(None)).within(deadline, idle).boxed_unsync()
    });
    Ok((response, connection))
}

async fn exchange(
    mut request: Request<WasiBody>,
    origin: &Origin,
    believed: (&[AddressGrant], &Trust),
    options: RequestOptions,
) -> Result<(Response<hyper::body::Incoming>, AbortOnDropJoinHandle<()>), Unsent> {
    let connect_max = options.connect_timeout.map_or(CONNECT_MAX, |asked| asked.min(CONNECT_MAX));
    let stream = timeout(connect_max, connect(origin, believed)).await.map_err(|_| Error::ConnectionTimeout)??;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // How the connection ends shows in the response or in its body.
    let connection = spawn(async { drop(connection.await) });
    *request.uri_mut() = origin_form(request.uri())?;
    let response = sender.send_request(request);
    let response = match options.first_byte_timeout {
        Some(first_byte) => timeout(first_byte, response).await.map_err(|_| Error::ConnectionReadTimeout)?,
        None => response.await,
    };
    Ok((response.map_err(|error| failed(&error))?, connection))
}

/// The request target when talking to the server itself: path and query (RFC 9112, 3.2.1).
fn origin_form(uri: &Uri) -> Result<Uri, Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().path_and_query(path).build().map_err(|_| Error::HttpRequestUriInvalid)
}

async fn connect(origin: &Origin, (private, trust): (&[AddressGrant], &Trust)) -> Result<Box<dyn Stream>, Unsent> {
    let stream = reach(&resolve(origin, private).await?).await?;
    if !origin.https {
        return Ok(Box::new(stream));
    }
    let config = trust.config().ok_or(Error::ConfigurationError)?;
    let name = ServerName::try_from(origin.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| tls_failed(&error))?))
}

/// The addresses of a server that may be connected to.
async fn resolve(origin: &Origin, private: &[AddressGrant]) -> Result<Vec<SocketAddr>, Unsent> {
    let found = lookup(&origin.host, origin.port).await;
    let found = found.map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    if found.is_empty() {
        return Err(Error::DestinationNotFound.into());
    }
    let (allowed, inside): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address: &SocketAddr| is_allowed(address.ip(), private));
    if allowed.is_empty() { Err(Unsent::Inside(inside.iter().map(SocketAddr::ip).collect())) } else { Ok(allowed) }
}

/// Connects to the first address that answers.
async fn reach(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(address).await {
            // Small requests go out at once; without it they only go out later.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Error::ConnectionRefused)
}

/// A failure of the protocol in the contract's words.
fn failed(error: &hyper::Error) -> Error {
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(u32::try_from(HEADER_BYTES_MAX).ok());
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Error::ConnectionTerminated;
    }
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::HttpRequestBodySize(bytes)) => Error::HttpRequestBodySize(*bytes),
        _ => Error::HttpProtocolError,
    }
}

fn tls_failed(error: &std::io::Error) -> Error {
    let certificate = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<tokio_rustls::rustls::Error>())
        .is_some_and(|error| matches!(error, tokio_rustls::rustls::Error::InvalidCertificate(_)));
    if certificate { Error::TlsCertificateError } else { Error::TlsProtocolError }
}

/// A request's body, bounded.
pub(super) fn bounded_request(body: WasiBody, bytes_max: u64) -> WasiBody {
    Bounded::new(body, bytes_max, || Error::HttpRequestBodySize(None)).boxed_unsync()
}
