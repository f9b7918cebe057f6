//! A connection that is kept alive, for one request after the other.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::client::{ClientError, Refusal};
use crate::cli::server_url::ServerUrl;

/// What requests send.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct HttpConnection {
    sender: SendRequest<Body>,
    authority: String,
}

/// `HOST:PORT` of a server.
pub(super) fn authority(url: &ServerUrl) -> String {
    let url = url.to_string();
    let host = url.rsplit("//").next().unwrap_or_default();
    let has_port = host.rsplit(']').next().unwrap_or_default().contains(':');
    if has_port { host.to_owned() } else { format!("{host}:80") }
}

fn broken(error: impl std::error::Error) -> ClientError {
    ClientError::Connection { reason: crate::error::with_sources(&error) }
}

impl HttpConnection {
    /// Connects to a server, without TLS.
    pub(super) async fn connect(url: &ServerUrl) -> Result<Self, ClientError> {
        let authority = authority(url);
        let socket = TcpStream::connect(&authority).await.map_err(broken)?;
        // A request is small: waiting to fill a packet would only delay it.
        socket.set_nodelay(true).map_err(broken)?;
        let (sender, driver) = handshake(TokioIo::new(socket)).await.map_err(broken)?;
        // How it ends is told to whoever waits for an answer.
        tokio::spawn(async { drop(driver.await) });
        Ok(Self { sender, authority })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_there_or_is_that_of_http() {
        for (url, expected) in
            [("http://h:1", "h:1"), ("http://h", "h:80"), ("http://[::1]", "[::1]:80"), ("http://[::1]:9", "[::1]:9")]
        {
            assert_eq!(authority(&url.parse().unwrap()), expected);
        }
    }
}
