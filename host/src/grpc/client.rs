//! A client of the protocol over one connection: what `tidemill bench` measures servers with, whoever made them.
//!
//! It keeps nothing and tries nothing again: who measures wants to see what happens.

use std::io;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::limits::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use super::message::{
    AppendCondition, AppendRequest, AppendResponse, Event, HeadRequest, HeadResponse, Query, QueryItem, ReadRequest,
    ReadResponse, SubscribeRequest, SubscribeResponse,
};

/// Largest message that is taken, in bytes: servers send what they like.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Why a request has no good answer.
#[derive(Debug, Error)]
pub(crate) enum DcbError {
    /// The server cannot be reached.
    #[error("the server cannot be reached")]
    Connect(#[source] io::Error),
    /// It does not speak HTTP/2.
    #[error("the connection failed")]
    Connection(#[source] hyper::Error),
    /// The address is not one.
    #[error("the address is not understood")]
    Address(#[source] http::uri::InvalidUri),
    /// It answered with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Box<Status>),
}

impl DcbError {
    /// Whether the server wants another key.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied))
    }

    /// Whether it is the server's answer: a connection that failed has a cause.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Refused(status) if std::error::Error::source(&**status).is_none())
    }
}

impl From<Status> for DcbError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// An event to append; the server gives it an id.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// Its type.
    pub(crate) event_type: &'static str,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// Its payload.
    pub(crate) data: Vec<u8>,
}

/// A connection to a server.
#[derive(Clone, Debug)]
pub(crate) struct DcbClient(Grpc<Connection>);

/// How many events each message of an answer has.
pub(crate) type Counts = BoxStream<'static, Result<usize, DcbError>>;

impl DcbClient {
    /// Speaks over a connection to a server, `http://HOST:PORT` or `https://HOST:PORT`, with what each request says of
    /// who asks.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        origin: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, DcbError> {
        let origin = origin.parse().map_err(DcbError::Address)?;
        let builder = &mut Builder::new(TokioExecutor::new());
        let builder = builder.initial_stream_window_size(STREAM_WINDOW_BYTES);
        let builder = builder.initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(DcbError::Connection)?;
        // How it ends is told to whoever waits for an answer.
        tokio::spawn(async { drop(driver.await) });
        let grpc = Grpc::with_origin(Connection { sender, authorization }, origin);
        Ok(Self(grpc.max_decoding_message_size(MESSAGE_BYTES_MAX)))
    }

    /// Position of the last event; 0 when there is none.
    pub(crate) async fn head(&mut self) -> Result<u64, DcbError> {
        let answer: HeadResponse = self.unary("/umadb.v1.DCB/Head", HeadRequest {}).await?;
        Ok(answer.position.unwrap_or(0))
    }

    /// Appends events, unless an event carries the tag; answers the position of the last.
    pub(crate) async fn append(&mut self, events: Vec<Proposal>, unless_tag: Option<String>) -> Result<u64, DcbError> {
        let event = |Proposal { event_type, tags, data }| Event {
            event_type: str::to_owned(event_type),
            tags,
            data,
            ..Event::default()
        };
        let condition = unless_tag.map(|tag| AppendCondition { fail_if_events_match: query(tag), after: None });
        let request = AppendRequest { events: events.into_iter().map(event).collect(), condition, tracking_info: None };
        let answer: AppendResponse = self.unary("/umadb.v1.DCB/Append", request).await?;
        Ok(answer.position)
    }

    /// Reads the first events of the log.
    pub(crate) async fn read(&mut self, limit: u32) -> Result<Counts, DcbError> {
        let request = ReadRequest { limit: Some(limit), ..ReadRequest::default() };
        let answer: Streaming<ReadResponse> = self.streaming("/umadb.v1.DCB/Read", request).await?;
        Ok(answer.map_ok(|message| message.events.len()).map_err(DcbError::from).boxed())
    }

    /// Waits for events with a tag, after a position.
    pub(crate) async fn subscribe(&mut self, tag: String, after: u64) -> Result<Counts, DcbError> {
        let request = SubscribeRequest { query: query(tag), after: Some(after), batch_size: None };
        let answer: Streaming<SubscribeResponse> = self.streaming("/umadb.v1.DCB/Subscribe", request).await?;
        Ok(answer.map_ok(|message| message.events.len()).map_err(DcbError::from).boxed())
    }

    async fn unary<Q, A>(&mut self, path: &'static str, message: Q) -> Result<A, DcbError>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.0.ready().await.map_err(DcbError::Connection)?;
        let (codec, path) = (ProstCodec::<Q, A>::default(), PathAndQuery::from_static(path));
        Ok(self.0.unary(Request::new(message), path, codec).await.map(Response::into_inner)?)
    }

    async fn streaming<Q, A>(&mut self, path: &'static str, message: Q) -> Result<Streaming<A>, DcbError>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.0.ready().await.map_err(DcbError::Connection)?;
        let (codec, path) = (ProstCodec::<Q, A>::default(), PathAndQuery::from_static(path));
        Ok(self.0.server_streaming(Request::new(message), path, codec).await.map(Response::into_inner)?)
    }
}

fn query(tag: String) -> Option<Query> {
    Some(Query { items: vec![QueryItem { types: Vec::new(), tags: vec![tag] }] })
}

/// An HTTP/2 connection as the service that requests are sent by.
#[derive(Clone, Debug)]
struct Connection {
    sender: SendRequest<Body>,
    authorization: Option<HeaderValue>,
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, hyper::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        Box::pin(self.sender.send_request(request))
    }
}
