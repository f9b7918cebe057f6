//! Connections as they come, encrypted or not: what both faces are served on.
//!
//! Handshakes are made beside each other, so that a client which is slow at it holds up nobody. When there are too many
//! that are not made, the oldest is given up for the next one: clients that never make theirs cannot shut the port. Every
//! connection holds one of the listener's places until it is dropped; one for which there is none is closed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::Connections;
use crate::config::Limits;

/// Connections that wait to be served.
const WAITING_MAX: usize = 64;
/// How long nothing is accepted when the system has no more sockets.
const PAUSE: Duration = Duration::from_secs(1);
/// First byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE_BYTE: u8 = 0x16;
/// Most that is read of what a client sends to the wrong port, in bytes.
const WRONG_BYTES_MAX: u64 = 64 << 10;
/// The answer to who speaks plain HTTP to a port that speaks TLS.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:tidemill:problem:invalid-request\",\"title\":\"The request is malformed\",\"status\":400,\
    \"detail\":\"plain HTTP was sent to a port that speaks TLS; use https://\"}";

/// A connection that is ready to be spoken on, in its place.
#[derive(Debug)]
pub struct Connection {
    stream: Encryption,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Encryption {
    /// As it came.
    Plain(TcpStream),
    /// Within TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connections of a listener. Dropping it closes the listener.
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
    connections: Arc<Connections>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Incoming {
    /// Takes connections from now on; with TLS if there is an acceptor. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        Self::within(&Limits::default(), listener, tls)
    }

    /// The same, with handshakes within limits.
    #[must_use]
    pub fn within(limits: &Limits, listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        let (tell_ready, ready) = mpsc::channel(WAITING_MAX);
        let connections = Arc::new(Connections::new(limits.max_connections));
        let handshakes = Handshakes {
            time_max: Duration::from_secs(limits.handshake_time),
            at_a_time_max: limits.max_handshakes,
            begun: VecDeque::new(),
        };
        let places = Arc::clone(&connections);
        tokio::spawn(async move {
            let gone = tell_ready.clone();
            tokio::select! {
                () = accept(listener, (tls, handshakes), &places, tell_ready) => {}
                () = gone.closed() => {}
            }
        });
        Self { ready, connections }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.connections)
    }

    /// The next connection.
    pub async fn next(&mut self) -> Option<Connection> {
        self.ready.recv().await
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

/// Takes connections until nobody wants them.
async fn accept(
    listener: TcpListener,
    (tls, mut handshakes): (Option<TlsAcceptor>, Handshakes),
    connections: &Connections,
    ready: mpsc::Sender<Connection>,
) {
    let mut told = None;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        let Some(place) = connections.take(&mut told) else { continue };
        // Messages are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        match &tls {
            Some(tls) => handshakes.begin(secured(stream, place, tls.clone()), ready.clone()),
            None => {
                let connection = Connection { stream: Encryption::Plain(stream), _place: place };
                if ready.send(connection).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The handshakes that are not made yet. They end with it.
struct Handshakes {
    time_max: Duration,
    at_a_time_max: usize,
    /// In the order in which they began; dropping one gives it up, and some have been made.
    begun: VecDeque<oneshot::Sender<()>>,
}

impl Handshakes {
    /// Begins one, and gives up the oldest if there are too many.
    fn begin(
        &mut self,
        handshake: impl Future<Output = io::Result<Option<Connection>>> + Send + 'static,
        ready: mpsc::Sender<Connection>,
    ) {
        if self.begun.len() >= self.at_a_time_max {
            self.begun.retain(|handshake| !handshake.is_closed());
        }
        if self.begun.len() >= self.at_a_time_max && self.begun.pop_front().is_some() {
            tracing::debug!("a TLS handshake that was not made gave way to the next one");
        }
        let time_max = self.time_max;
        let (begun, given_up) = oneshot::channel();
        tokio::spawn(async move {
            let made = tokio::select! {
                biased;
                made = tokio::time::timeout(time_max, handshake) => made,
                _ = given_up => return,
            };
            // From here on it is a connection, which nobody gives up.
            match made {
                Ok(Ok(Some(connection))) => {
                    let _ = ready.send(connection).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
        self.begun.push_back(begun);
    }
}

/// Waits a moment unless it is the client who is at fault.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "a connection could not be taken; trying again");
    tokio::time::sleep(PAUSE).await;
}

/// Makes the handshake; none if the client does not speak TLS, which it is told.
async fn secured(
    mut stream: TcpStream,
    place: OwnedSemaphorePermit,
    tls: TlsAcceptor,
) -> io::Result<Option<Connection>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE_BYTE] {
        tracing::debug!("plain HTTP came to a port that speaks TLS");
        stream.write_all(SPEAK_TLS.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with something unread would take the answer back.
        let mut rest = stream.take(WRONG_BYTES_MAX);
        tokio::time::timeout(PAUSE, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await??;
        return Ok(None);
    }
    let stream = Encryption::Tls(Box::new(tls.accept(stream).await?));
    Ok(Some(Connection { stream, _place: place }))
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Encryption::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Encryption::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Encryption::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Encryption::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Encryption::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Encryption::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Encryption::Plain(stream) => stream.is_write_vectored(),
            Encryption::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Encryption::Plain(stream) => Pin::new(stream).poll_flush(context),
            Encryption::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Encryption::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Encryption::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
