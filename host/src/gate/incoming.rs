//! Connections as they come, encrypted or not: what both faces are served on.
//!
//! Handshakes are made beside each other, so that a client which is slow at it holds up nobody. When there are too many
//! that are not made, the oldest is given up for the next one: clients that never make theirs cannot shut the port.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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

/// A connection that is ready to be spoken on.
#[derive(Debug)]
pub enum Connection {
    /// As it came.
    Plain(TcpStream),
    /// Within TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connections of a listener. Dropping it closes the listener.
pub struct Incoming(mpsc::Receiver<Connection>);

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
        let (ready, connections) = mpsc::channel(WAITING_MAX);
        let handshakes = Handshakes {
            time_max: Duration::from_secs(limits.handshake_time),
            at_a_time_max: limits.max_handshakes,
            begun: VecDeque::new(),
        };
        tokio::spawn(async move {
            let gone = ready.clone();
            tokio::select! {
                () = accept(listener, tls, handshakes, ready) => {}
                () = gone.closed() => {}
            }
        });
        Self(connections)
    }

    /// The next connection.
    pub async fn next(&mut self) -> Option<Connection> {
        self.0.recv().await
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

/// Takes connections until nobody wants them.
async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut handshakes: Handshakes,
    ready: mpsc::Sender<Connection>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        // Messages are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        match &tls {
            Some(tls) => handshakes.begin(stream, tls.clone(), ready.clone()),
            None if ready.send(Connection::Plain(stream)).await.is_err() => return,
            None => {}
        }
    }
}

/// The handshakes that are not made yet. They end with it.
struct Handshakes {
    time_max: Duration,
    at_a_time_max: usize,
    /// In the order in which they began; some may have ended.
    begun: VecDeque<AbortHandle>,
}

impl Handshakes {
    /// Begins one, and gives up the oldest if there are too many.
    fn begin(&mut self, stream: TcpStream, tls: TlsAcceptor, ready: mpsc::Sender<Connection>) {
        if self.begun.len() >= self.at_a_time_max {
            self.begun.retain(|handshake| !handshake.is_finished());
        }
        if self.begun.len() >= self.at_a_time_max
            && let Some(oldest) = self.begun.pop_front()
        {
            tracing::debug!("a TLS handshake that was not made gave way to the next one");
            oldest.abort();
        }
        let time_max = self.time_max;
        let handshake = tokio::spawn(async move {
            match tokio::time::timeout(time_max, secured(stream, &tls)).await {
                Ok(Ok(Some(stream))) => {
                    let _ = ready.send(Connection::Tls(Box::new(stream))).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
        self.begun.push_back(handshake.abort_handle());
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.begun.iter().for_each(AbortHandle::abort);
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
async fn secured(mut stream: TcpStream, tls: &TlsAcceptor) -> io::Result<Option<TlsStream<TcpStream>>> {
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
    tls.accept(stream).await.map(Some)
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
