//! Sends requests of the API: to a server over HTTP, or to a store in this process.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_rustls::rustls;
use ureq::http::header::AUTHORIZATION;
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Method, Request, Response};
use ureq::tls::{Certificate, TlsConfig};
use ureq::{Agent, Body};

use super::error::{CliError, Exit};
use super::identity::Identity;
use super::query::Query;
use super::retrying;
use super::server_url::ServerUrl;
use crate::api::{BYTES_HEADER, InProcess};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may be silent within an answer: longer than its heartbeat.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer in bytes: a page of the largest payload bytes, with room for JSON around it.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What to do where nobody that is trusted vouches for the other side.
pub(super) const OWN_AUTHORITY: &str = "a certificate of your own authority is trusted by --tls-ca FILE";

/// Whom the commands ask.
#[derive(Debug)]
pub(super) enum Client {
    Server(Server),
    Directory(InProcess),
}

/// Why there is no good answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The request was answered with an error.
    Refused(Refusal),
    /// The connection failed before, or while, the answer came.
    Connection { reason: String },
    /// The server is not who it should be, or does not speak as the URL says.
    Untrusted { reason: String },
    /// The answer is not what this program understands.
    Unreadable { reason: String },
}

/// An error as the API tells it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) problem: ProblemFields,
}

/// The fields of a problem that commands look at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ProblemFields {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) detail: String,
    /// The code of a rejection.
    pub(super) code: Option<String>,
    /// Line of a bad event in an NDJSON body, from 1.
    pub(super) line: Option<usize>,
    /// Whether a plugin was not there that may be among those that are being loaded.
    #[serde(default)]
    pub(super) loading: bool,
}

impl Refusal {
    /// Whether the problem is of this kind.
    pub(super) fn is(&self, slug: &str) -> bool {
        self.problem.kind.rsplit(':').next() == Some(slug)
    }

    /// Takes what a body tells.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        let problem = serde_json::from_slice(body).unwrap_or_default();
        Self { status, problem }
    }
}

/// Who takes appends.
pub(super) trait Appends {
    /// Posts a body; answers the body of a good answer.
    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ClientError>;

    /// Says what went wrong, and what to do.
    fn explain(&self, error: ClientError) -> CliError;
}

impl Appends for Server {
    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        Self::post(self, path, content_type, body)
    }

    fn explain(&self, error: ClientError) -> CliError {
        Self::explain(self, error)
    }
}

impl Appends for Client {
    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        match self {
            Self::Server(server) => server.post(path, content_type, body),
            Self::Directory(api) => answered(api.post(path, content_type, body)),
        }
    }

    fn explain(&self, error: ClientError) -> CliError {
        Self::explain(self, error)
    }
}

/// The body of a good answer of a store in this process.
fn answered(answer: io::Result<(u16, Vec<u8>)>) -> Result<Vec<u8>, ClientError> {
    let (status, body) = answer.map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
    if status >= 400 { Err(ClientError::Refused(Refusal::of(status, &body))) } else { Ok(body) }
}

impl Client {
    /// Asks for one thing.
    pub(super) fn get<T: DeserializeOwned>(&self, query: &Query) -> Result<T, CliError> {
        self.get_path(query.as_str())
    }

    /// Follows a link of an answer.
    pub(super) fn get_path<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let body = self.send(&Method::GET, path).map_err(|error| self.explain(error))?;
        serde_json::from_slice(&body)
            .map_err(|error| self.explain(ClientError::Unreadable { reason: error.to_string() }))
    }

    /// Sends a request without a body, again while plugins are being loaded; answers the body.
    pub(super) fn send(&self, method: &Method, path: &str) -> Result<Vec<u8>, ClientError> {
        match self {
            Self::Server(server) => retrying::loaded(|| server.ask(method, path)),
            Self::Directory(api) => answered(api.request(method.as_str(), path)),
        }
    }

    /// The server, for what needs running plugins.
    pub(super) fn server(&self) -> Result<&Server, CliError> {
        match self {
            Self::Server(server) => Ok(server),
            Self::Directory(_) => Err(CliError::usage("only a server runs plugins; leave --data out")),
        }
    }

    /// Says what went wrong, and what to do.
    pub(super) fn explain(&self, error: ClientError) -> CliError {
        match self {
            Self::Server(server) => server.explain(error),
            Self::Directory(_) => explain(error, "the data directory"),
        }
    }
}

fn explain(error: ClientError, who: &str) -> CliError {
    match error {
        ClientError::Refused(Refusal { status, problem }) => {
            let detail = if problem.detail.is_empty() { format!("{who} answered {status}") } else { problem.detail };
            CliError::new(Exit::of_status(status), detail)
        }
        ClientError::Connection { reason } => CliError::new(Exit::Unavailable, format_args!("{who}: {reason}")),
        ClientError::Untrusted { reason } => {
            CliError::new(Exit::Failure, format_args!("no secure connection to {who}: {reason}"))
                .hint(format_args!("{OWN_AUTHORITY}; a server without TLS is at http://"))
        }
        ClientError::Unreadable { reason } => {
            CliError::new(Exit::Failure, format_args!("the answer of {who} is not understood: {reason}"))
                .hint("is it a tidemill server of this release?")
        }
    }
}

/// A server reached over HTTP.
#[derive(Debug)]
pub(super) struct Server {
    url: ServerUrl,
    agent: Agent,
    authorization: Option<HeaderValue>,
    /// None for the public ones.
    authorities: Option<Vec<Certificate<'static>>>,
}

impl Server {
    /// A client of a server. Connects when first asked.
    pub(super) fn new(url: ServerUrl) -> Self {
        Self { url, agent: agent(TlsConfig::default()), authorization: None, authorities: None }
    }

    /// The same, asked by somebody.
    #[must_use]
    pub(super) fn with_identity(self, identity: Identity) -> Self {
        let Identity { authorization, tls, authorities } = identity;
        if authorization.is_some() && self.url.is_in_the_clear() {
            tracing::warn!("the key goes to {} in the clear; use https:// if the server does", self.url);
        }
        Self { agent: agent(tls), authorization, authorities, ..self }
    }

    /// Whom it trusts, and the key it presents.
    pub(super) fn credentials(&self) -> (Option<&[Certificate<'static>]>, Option<HeaderValue>) {
        (self.authorities.as_deref(), self.authorization.clone())
    }

    /// Begins a request.
    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(self.url.join(path));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Sends a request without a body; answers the body of a good answer.
    fn ask(&self, method: &Method, path: &str) -> Result<Vec<u8>, ClientError> {
        let (status, answer) = self.send(method.clone(), path, None)?;
        if status >= 400 { Err(ClientError::Refused(Refusal::of(status, &answer))) } else { Ok(answer) }
    }

    /// Posts a body; answers the body of a good answer.
    pub(super) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (status, answer) = self.send(Method::POST, path, Some((content_type, body)))?;
        if status >= 400 { Err(ClientError::Refused(Refusal::of(status, &answer))) } else { Ok(answer) }
    }

    /// Opens an event stream; answers a reader of its body.
    pub(super) fn stream(&self, path: &str, last_event_id: Option<&str>) -> Result<impl Read + use<>, ClientError> {
        let mut request = self.request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(()).map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
        Self::open(self.agent.run(request))
    }

    /// Asks for a long body; answers how many bytes of files it holds, by its header, and a reader of it.
    pub(super) fn download(&self, path: &str) -> Result<(u64, impl Read + use<>), ClientError> {
        let request = self.request(Method::GET, path).body(());
        let request = request.map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
        let response = self.agent.run(request).map_err(failed)?;
        let header = response.headers().get(BYTES_HEADER).and_then(|bytes| bytes.to_str().ok()?.parse().ok());
        Ok((header.unwrap_or(0), Self::open(Ok(response))?))
    }

    /// Where it is, for messages.
    pub(super) const fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Posts a request, maybe with a body and its type, again while plugins are being loaded; answers a reader of the lines of
    /// its answer.
    pub(super) fn post_for_lines(
        &self,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<impl BufRead + use<>, ClientError> {
        let bytes = body.map_or(&[][..], |(_, bytes)| bytes);
        let lines = retrying::loaded(|| {
            let mut request = self.request(Method::POST, path).header("accept", "application/x-ndjson");
            if let Some((content_type, _)) = body {
                request = request.header("content-type", content_type);
            }
            let request = request.body(bytes).map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
            Self::open(self.agent.run(request))
        })?;
        Ok(BufReader::new(lines))
    }

    /// A reader of the body of a good answer, however long it is.
    fn open(response: Result<Response<Body>, ureq::Error>) -> Result<impl Read + use<>, ClientError> {
        let response = response.map_err(failed)?;
        if response.status().as_u16() >= 400 {
            let (status, body) = read(response)?;
            return Err(ClientError::Refused(Refusal::of(status, &body)));
        }
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    fn send(&self, method: Method, path: &str, body: Option<(&str, &[u8])>) -> Result<(u16, Vec<u8>), ClientError> {
        let response = self.exchange(method, path, body)?;
        Ok((response.status().as_u16(), response.into_body()))
    }

    /// Sends a request; answers whatever the server does, with its header.
    pub(super) fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Response<Vec<u8>>, ClientError> {
        let request = self.request(method, path);
        let malformed = |error: ureq::http::Error| ClientError::Unreadable { reason: error.to_string() };
        let response = match body {
            Some((content_type, body)) => {
                self.agent.run(request.header("content-type", content_type).body(body).map_err(malformed)?)
            }
            None => self.agent.run(request.body(()).map_err(malformed)?),
        };
        let (head, body) = response.map_err(failed)?.into_parts();
        Ok(Response::from_parts(head, whole(body)?))
    }

    /// Says what went wrong, and what to do.
    pub(super) fn explain(&self, error: ClientError) -> CliError {
        match error {
            ClientError::Refused(Refusal { status: 401, problem }) => {
                CliError::new(Exit::Denied, format_args!("{}: {}", self.url, problem.detail))
                    .hint("give the key by TIDEMILL_KEY or --api-key")
            }
            ClientError::Connection { reason } => {
                CliError::new(Exit::Unavailable, format_args!("no server answers at {} ({reason})", self.url)).hint(
                    "start one with `tidemill serve`, name another with --server URL, \
                     or read a data directory without a server by --data DIR",
                )
            }
            other => explain(other, &self.url.to_string()),
        }
    }
}

fn agent(tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .build();
    config.into()
}

fn read(response: Response<Body>) -> Result<(u16, Vec<u8>), ClientError> {
    let status = response.status().as_u16();
    Ok((status, whole(response.into_body())?))
}

fn whole(body: Body) -> Result<Vec<u8>, ClientError> {
    body.into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(failed)
}

/// Whether a connection failed because nobody that is trusted vouches for the other side.
pub(super) fn is_untrusted(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(error) => of_tls(error).is_some(),
        _ => false,
    }
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|error| error.downcast_ref())
}

fn failed(error: ureq::Error) -> ClientError {
    match error {
        ureq::Error::Io(error) => connection(&error),
        ureq::Error::Rustls(error) => ClientError::Untrusted { reason: error.to_string() },
        ureq::Error::Tls(reason) => ClientError::Untrusted { reason: reason.to_owned() },
        ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
            ClientError::Connection { reason: error.to_string() }
        }
        other => ClientError::Unreadable { reason: other.to_string() },
    }
}

/// Why a connection failed; that nobody vouches for the server is told apart.
pub(super) fn connection(error: &io::Error) -> ClientError {
    if let Some(error) = of_tls(error) {
        return ClientError::Untrusted { reason: error.to_string() };
    }
    ClientError::Connection { reason: error.to_string() }
}
