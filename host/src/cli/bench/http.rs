//! A connection that is kept alive, for one request after the other.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

use super::wire::Wire;
use crate::cli::client::{ClientError, Refusal, connection};
use crate::cli::server_url::ServerUrl;

/// What requests send.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct HttpConnection {
    sender: SendRequest<Body>,
    authority: String,
    authorization: Option<HeaderValue>,
}

fn broken(error: impl std::error::Error) -> ClientError {
    ClientError::Connection { reason: crate::error::with_sources(&error) }
}

impl HttpConnection {
    /// Connects to a server.
    pub(super) async fn connect(wire: &Wire, url: &ServerUrl) -> Result<Self, ClientError> {
        let stream = wire.connect(url, b"http/1.1").await.map_err(|error| connection(&error))?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // How it ends is told to whoever waits for an answer.
        tokio::spawn(async { drop(driver.await) });
        Ok(Self { sender, authority: url.authority(), authorization: wire.authorization.clone() })
    }

    /// Asks for a body as it comes.
    pub(super) async fn open(&mut self, path: &str) -> Result<Incoming, ClientError> {
        let request = self.request(Method::GET, path, None);
        Ok(self.send(request, Full::<Bytes>::default().boxed_unsync()).await?.into_body())
    }

    /// Asks for a whole body.
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, ClientError> {
        whole(self.open(path).await?).await
    }

    /// Posts a body; answers the whole answer.
    pub(super) async fn post(&mut self, path: &str, content_type: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let request = self.request(Method::POST, path, Some(content_type));
        whole(self.send(request, Full::new(body).boxed_unsync()).await?.into_body()).await
    }

    /// Posts a body that is made while it is sent; answers the whole answer.
    pub(super) async fn post_made(
        &mut self,
        path: &str,
        content_type: &str,
        pieces: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> Result<Bytes, ClientError> {
        let request = self.request(Method::POST, path, Some(content_type));
        let body = StreamBody::new(futures::stream::iter(pieces.map(|piece| Ok(Frame::data(piece)))));
        whole(self.send(request, body.boxed_unsync()).await?.into_body()).await
    }

    fn request(&self, method: Method, path: &str, content_type: Option<&str>) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        let request = match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        };
        match content_type {
            Some(content_type) => request.header(CONTENT_TYPE, content_type),
            None => request,
        }
    }

    /// Sends a request; an error when it is refused.
    async fn send(&mut self, request: http::request::Builder, body: Body) -> Result<Response<Incoming>, ClientError> {
        let request = request.body(body).map_err(|error| ClientError::Unreadable { reason: error.to_string() })?;
        self.sender.ready().await.map_err(broken)?;
        let response = self.sender.send_request(request).await.map_err(broken)?;
        match response.status().as_u16() {
            status @ 400.. => Err(ClientError::Refused(Refusal::of(status, &whole(response.into_body()).await?))),
            _ => Ok(response),
        }
    }
}

async fn whole(body: Incoming) -> Result<Bytes, ClientError> {
    Ok(body.collect().await.map_err(broken)?.to_bytes())
}
