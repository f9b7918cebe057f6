//! Serves the API on a socket until told to stop.
//!
//! A connection is served by a task of its own. One that has no whole request header for a while is closed,
//! so that clients which send slowly, or nothing, hold no sockets.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::router::router;
use super::state::ApiState;
use crate::gate::Incoming;

/// How long requests in flight may take once the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// Serves until `shutdown` resolves; then takes no more connections, ends subscriptions, and waits for
/// the requests in flight, at most five minutes.
pub async fn serve(mut incoming: Incoming, state: ApiState, shutdown: impl Future<Output = ()> + Send + 'static) {
    let router = router(state.clone());
    let header_time_max = Duration::from_secs(state.limits().header_time);
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            Some(stream) = incoming.next() => {
                tokio::spawn(serve_connection(stream, header_time_max, router.clone(), connections.watcher()));
            }
            () = &mut shutdown => break,
        }
    }
    drop(incoming);
    state.close();
    if tokio::time::timeout(DRAIN_MAX, connections.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_MAX.as_secs(), "requests in flight did not end in time; leaving them");
    }
}

/// Serves one connection until either side ends it, or all are to end.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    header_time_max: Duration,
    router: Router,
    ending: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = ending.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::api::NoPlugins;
    use crate::clock::ManualClock;
    use crate::event::{EventType, NewEvent};
    use crate::store::memory::MemoryStore;
    use crate::store::{AppendRequest, Store};

    /// Longest that something may take that must come.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// A client that has sent something to a server that waits a moment for a header.
    async fn client(store: &Arc<MemoryStore>, sent: &str) -> DuplexStream {
        let router = router(ApiState::new(store.clone(), Arc::new(NoPlugins)));
        let (mut client, server) = duplex(4096);
        tokio::spawn(async move {
            let connections = GracefulShutdown::new();
            serve_connection(server, Duration::from_millis(20), router, connections.watcher()).await;
        });
        client.write_all(sent.as_bytes()).await.unwrap();
        client
    }

    /// Reads up to `end`, or to the end of the connection.
    async fn read(client: &mut DuplexStream, end: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(end) {
            let mut buffer = [0; 512];
            let read = tokio::time::timeout(DEADLINE, client.read(&mut buffer)).await.expect("more").unwrap();
            if read == 0 {
                break;
            }
            seen += std::str::from_utf8(&buffer[..read]).unwrap();
        }
        seen
    }

    #[tokio::test]
    async fn a_connection_without_a_whole_header_is_closed_and_an_answer_is_waited_for() {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
        let mut subscriber = client(&store, "GET /v1/events/subscribe HTTP/1.1\r\nhost: t\r\n\r\n").await;
        let answer = read(&mut subscriber, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for begun in ["", "GET /livez HTTP/1.1\r\nhost: t\r\n"] {
            let mut slow = client(&store, begun).await;
            assert_eq!(read(&mut slow, "never").await, "", "{begun:?}");
        }
        let event = NewEvent::json(EventType::new("T").unwrap(), "1");
        store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
        assert!(read(&mut subscriber, "id: 1\n").await.contains("id: 1\n"), "it is served as before");
    }
}
