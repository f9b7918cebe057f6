//! A server under measurement, and a connection to it, over either protocol.

use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::http::HttpConnection;
use super::wire::Wire;
use super::workload::{Batch, Workload};
use crate::cli::client::{ClientError, Server};
use crate::cli::error::{CliError, Exit};
use crate::cli::query::Query;
use crate::cli::server_url::ServerUrl;
use crate::grpc::{Counts, DcbClient, DcbError};

/// Events of an append that fills a log over gRPC.
const FILL_EVENTS: usize = 1000;
/// Lines of a piece of an import.
const LINES: usize = 500;
/// The counter of syncs, as `/metrics` has it.
const SYNCS: &str = "tidemill_fsync_seconds_count ";

/// How a server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Face {
    Http,
    Grpc,
}

/// A server, and how it is talked to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: ServerUrl,
    wire: Wire,
    face: Face,
    /// Where its metrics are, if that is known.
    metrics: Option<ServerUrl>,
    is_scratch: bool,
}

impl Target {
    /// A server over HTTP.
    pub(super) fn http(url: &ServerUrl, wire: &Wire) -> Self {
        let metrics = Some(url.clone());
        Self { url: url.clone(), wire: wire.clone(), face: Face::Http, metrics, is_scratch: false }
    }

    /// A server over gRPC.
    pub(super) fn grpc(url: &ServerUrl, wire: &Wire) -> Self {
        Self { url: url.clone(), wire: wire.clone(), face: Face::Grpc, metrics: None, is_scratch: false }
    }

    /// The same, as the own server of a benchmark.
    pub(super) fn scratch(self) -> Self {
        Self { is_scratch: true, ..self }
    }

    /// The same, as that of which the other face is at `http`.
    pub(super) fn scratch_of(self, http: &ServerUrl) -> Self {
        Self { metrics: Some(http.clone()), ..self.scratch() }
    }

    pub(super) const fn face(&self) -> Face {
        self.face
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.face == Face::Grpc
    }

    /// How it is called in tables.
    pub(super) fn name(&self) -> String {
        let face = if self.is_grpc() { "grpc" } else { "http" };
        if self.is_scratch { format!("scratch, {face}") } else { format!("{}, {face}", self.url.authority()) }
    }

    /// Connects; an error that says what went wrong.
    pub(super) async fn connect(&self) -> Result<Connection, CliError> {
        self.try_connect().await.map_err(|error| self.explain(error))
    }

    /// Connects.
    pub(super) async fn try_connect(&self) -> Result<Connection, Failure> {
        Ok(match self.face {
            Face::Http => Connection::Http(HttpConnection::connect(&self.wire, &self.url).await?),
            Face::Grpc => {
                let stream = self.wire.connect(&self.url, b"h2").await.map_err(DcbError::Connect)?;
                let (origin, authorization) = (self.url.to_string(), self.wire.authorization.clone());
                Connection::Grpc(DcbClient::over(stream, &origin, authorization).await?)
            }
        })
    }

    /// Refuses to append to a log that is somebody's, unless that was said.
    pub(super) fn may_append(&self, head: u64, said: bool) -> Result<(), CliError> {
        if self.is_scratch || said || head == 0 {
            return Ok(());
        }
        let what = format!("{} holds {head} events, and what a benchmark appends stays there", self.name());
        Err(CliError::usage(what).hint("give --scratch to measure a server of its own, or --yes to append to this log"))
    }

    /// How often it has synced its log since it started, if it tells.
    pub(super) async fn syncs(&self) -> Option<u64> {
        let mut connection = HttpConnection::connect(&self.wire, self.metrics.as_ref()?).await.ok()?;
        let text = connection.get("/metrics").await.ok()?;
        let text = std::str::from_utf8(&text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(SYNCS))?.trim().parse().ok()
    }

    /// Says what went wrong, with whom.
    pub(super) fn explain(&self, error: impl Into<Failure>) -> CliError {
        match error.into() {
            Failure::Http(error) => Server::new(self.url.clone()).explain(error),
            Failure::Grpc(error) => {
                let (exit, hint) = if error.is_denied() {
                    (Exit::Denied, "the key of TIDEMILL_KEY goes to the host of --server alone")
                } else if error.is_answer() {
                    (Exit::Failure, "is it a server of this protocol?")
                } else {
                    (Exit::Unavailable, "is there a server that speaks umadb.v1.DCB? within TLS it is at https://")
                };
                let what = format!("{}: {}", self.name(), crate::error::with_sources(&error));
                CliError::new(exit, what).hint(hint)
            }
        }
    }
}

/// What went wrong over either protocol.
#[derive(Debug)]
pub(super) enum Failure {
    Http(ClientError),
    Grpc(DcbError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Http(error)
    }
}

impl From<DcbError> for Failure {
    fn from(error: DcbError) -> Self {
        Self::Grpc(error)
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(super) enum Connection {
    Http(HttpConnection),
    Grpc(DcbClient),
}

impl Connection {
    /// Position of the last event.
    pub(super) async fn head(&mut self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Page {
            head: u64,
        }
        match self {
            Self::Http(connection) => {
                let page = connection.get("/v1/events?limit=1").await?;
                let page: Page = serde_json::from_slice(&page)
                    .map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
                Ok(page.head)
            }
            Self::Grpc(client) => Ok(client.head().await?),
        }
    }

    /// Appends a batch, in one request.
    pub(super) async fn append(&mut self, workload: &Workload, batch: &Batch) -> Result<(), Failure> {
        match self {
            Self::Http(connection) => {
                connection.post("/v1/events", "application/json", workload.body(batch)).await?;
            }
            Self::Grpc(client) => {
                let guard = batch.guarded.then(|| batch.tag.clone());
                client.append(workload.proposals(batch), guard).await?;
            }
        }
        Ok(())
    }

    /// Appends many events, as fast as one connection can: lines of one body, or appends of 1,000.
    pub(super) async fn import(&mut self, workload: &Workload, events: usize) -> Result<(), Failure> {
        let tag = workload.tag("import");
        match self {
            Self::Http(connection) => {
                let made = workload.clone();
                let pieces = sizes(events, LINES).map(move |lines| made.lines(&tag, lines));
                let answer = connection.post_made("/v1/events?results=refused", "application/x-ndjson", pieces).await?;
                told(&answer, events)?;
            }
            Self::Grpc(client) => {
                for events in sizes(events, FILL_EVENTS) {
                    let batch = Batch { tag: tag.clone(), events, guarded: false };
                    client.append(workload.proposals(&batch), None).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads the log from its beginning, up to so many events.
    pub(super) async fn read(self, events: u32) -> Result<Arrivals, Failure> {
        match self {
            Self::Http(mut connection) => {
                let body = connection.open("/v1/events/subscribe?after=0").await?;
                Ok(Arrivals::Http { _connection: connection, body, messages: Messages::new() })
            }
            Self::Grpc(mut client) => Ok(Arrivals::Grpc { counts: client.read(events).await?, _client: client }),
        }
    }

    /// Waits for events with a tag, after a position.
    pub(super) async fn subscribe(self, tag: &str, after: u64) -> Result<Arrivals, Failure> {
        match self {
            Self::Http(mut connection) => {
                let path = Query::path(&["v1", "events", "subscribe"]).with("tag", tag).with_some("after", Some(after));
                let body = connection.open(path.as_str()).await?;
                Ok(Arrivals::Http { _connection: connection, body, messages: Messages::new() })
            }
            Self::Grpc(mut client) => {
                Ok(Arrivals::Grpc { counts: client.subscribe(tag.to_owned(), after).await?, _client: client })
            }
        }
    }
}

/// Events as they come.
pub(super) enum Arrivals {
    Http {
        /// It ends with the body.
        _connection: HttpConnection,
        body: Incoming,
        messages: Messages,
    },
    Grpc {
        /// It ends with the messages.
        _client: DcbClient,
        counts: Counts,
    },
}

impl Arrivals {
    /// How many events the next piece brings, maybe none; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<usize>, Failure> {
        match self {
            Self::Http { body, messages, .. } => {
                let Some(frame) = body.frame().await else { return Ok(None) };
                let frame = frame.map_err(|error| ClientError::Connection { reason: error.to_string() })?;
                Ok(Some(frame.data_ref().map_or(0, |piece| messages.count(piece))))
            }
            Self::Grpc { counts, .. } => Ok(counts.next().await.transpose()?),
        }
    }
}

/// Counts the messages of an event stream that are events of the log: they have data, and no name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Messages {
    at_line: bool,
    has_data: bool,
    has_name: bool,
}

impl Messages {
    const fn new() -> Self {
        Self { at_line: true, has_data: false, has_name: false }
    }

    /// How many end in the next piece: each ends with an empty line. Fields are told by their first letter.
    fn count(&mut self, piece: &[u8]) -> usize {
        let mut ended = 0;
        for byte in piece {
            if self.at_line {
                match byte {
                    b'\n' => {
                        ended += usize::from(self.has_data && !self.has_name);
                        *self = Self::new();
                    }
                    b'd' => self.has_data = true,
                    b'e' => self.has_name = true,
                    _ => {}
                }
            }
            self.at_line = *byte == b'\n';
        }
        ended
    }
}

/// A number in parts of at most `part`.
fn sizes(all: usize, part: usize) -> impl Iterator<Item = usize> + Send + 'static {
    (0..all).step_by(part.max(1)).map(move |begin| part.min(all - begin))
}

/// Checks the last line of the answer to an import.
fn told(answer: &[u8], events: usize) -> Result<(), ClientError> {
    #[derive(Deserialize)]
    struct Sum {
        stored: usize,
    }
    let last = answer.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    match serde_json::from_slice::<Sum>(last) {
        Ok(sum) if sum.stored == events => Ok(()),
        _ => {
            let told = String::from_utf8_lossy(last);
            Err(ClientError::Unreadable { reason: format!("not all of {events} lines were stored: {told}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_across_pieces() {
        let mut messages = Messages::new();
        let pieces = [
            "event: removed\ndata: {}\n\nid: 1\ndata: {}\n",
            "\nid: 2\nda",
            "ta: {}\n\n: idle\nid: 3\n\n",
            "id: 4\ndata: \"e\"\n\n",
        ];
        let counts = pieces.map(|piece| messages.count(piece.as_bytes()));
        assert_eq!(counts, [0, 1, 1, 1]);
    }

    #[test]
    fn all_of_an_import_are_in_its_parts() {
        assert_eq!(sizes(1001, 500).collect::<Vec<_>>(), [500, 500, 1]);
        assert_eq!(sizes(0, 500).count(), 0);
        assert!(told(b"{\"stored\":3}\n", 3).is_ok());
        assert!(told(b"{\"stored\":2}\n", 3).is_err() && told(b"", 3).is_err());
    }

    #[test]
    fn a_log_with_events_is_somebodys() {
        let url: ServerUrl = "http://h:1".parse().unwrap();
        let target = Target::http(&url, &Wire::default());
        assert!(target.may_append(0, false).is_ok() && target.may_append(5, true).is_ok());
        assert!(target.clone().scratch().may_append(5, false).is_ok());
        let refused = target.may_append(5, false).unwrap_err();
        assert!(matches!(refused, CliError::Failed { exit: Exit::Usage, hint: Some(_), .. }), "{refused:?}");
        assert_eq!(
            (target.name().as_str(), Target::grpc(&url, &Wire::default()).name().as_str()),
            ("h:1, http", "h:1, grpc")
        );
    }
}
