//! Serves the API on a socket until told to stop.
//!
//! A connection is served by a task of its own. One that has no whole request header for a while is closed,
//! so that clients which send slowly, or nothing, hold no sockets. So is one whose client takes nothing of its answer.

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
use super::written::Written;
use crate::config::Limits;
use crate::gate::Incoming;

/// How long requests in flight may take once the server is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// Serves until `shutdown` resolves; then takes no more connections, ends subscriptions, and waits for
/// the requests in flight, at most five minutes.
pub async fn serve(mut incoming: Incoming, state: ApiState, shutdown: impl Future<Output = ()> + Send + 'static) {
    let router = router(state.clone());
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            Some(stream) = incoming.next() => {
                tokio::spawn(serve_connection(stream, Times::of(state.limits()), router.clone(), connections.watcher()));
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

/// How long a client is waited for.
#[derive(Clone, Copy)]
struct Times {
    /// For the header of its next request.
    header: Duration,
    /// For it to take something.
    write: Duration,
}

impl Times {
    /// A subscriber is told within `write_time` that it is too slow, and has another quarter to hear of it.
    const fn of(limits: &Limits) -> Self {
        let write = Duration::from_millis(limits.write_time.saturating_mul(1250));
        Self { header: Duration::from_secs(limits.header_time), write }
    }
}

/// Serves one connection until either side ends it, or all are to end.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    times: Times,
    router: Router,
    ending: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.header)
        .serve_connection(TokioIo::new(Written::within(times.write, stream)), TowerToHyperService::new(router));
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
    const DEADLINE: Duration = Duration::from_secs(120);

    /// A client that has sent something to a server that waits a moment for a header.
    async fn client(store: &Arc<MemoryStore>, sent: &str) -> DuplexStream {
        let router = router(ApiState::new(store.clone(), Arc::new(NoPlugins)));
        let (mut client, server) = duplex(4096);
        tokio::spawn(async move {
            let connections = GracefulShutdown::new();
            let times = Times { header: Duration::from_millis(20), write: DEADLINE };
            serve_connection(server, times, router, connections.watcher()).await;
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
        let mut subscriber = client(&store, "GET /v1/events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = read(&mut subscriber, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for begun in ["", "GET /livez HTTP/1.1\r\nhost: localhost\r\n"] {
            let mut slow = client(&store, begun).await;
            assert_eq!(read(&mut slow, "never").await, "", "{begun:?}");
        }
        let event = NewEvent::json(EventType::new("T").unwrap(), "1");
        store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
        assert!(read(&mut subscriber, "id: 1\n").await.contains("id: 1\n"), "it is served as before");
    }

    /// More than what is buffered anywhere on the way to a client that does not read.
    async fn fill(store: &Arc<MemoryStore>) {
        for _ in 0..8 {
            let data = format!("\"{}\"", "x".repeat(900_000));
            let event = NewEvent::json(EventType::new("T").unwrap(), data);
            store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_holds_its_place_until_its_client_is_given_up() {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
        fill(&store).await;
        let limits = Limits { max_requests: 1, ..Limits::default() };
        let state = ApiState::new(store.clone(), Arc::new(NoPlugins)).with_limits(limits);
        let connections = GracefulShutdown::new();
        let open = |write: Duration| {
            let (client, server) = duplex(4096);
            let (router, times) = (router(state.clone()), Times { header: DEADLINE, write });
            tokio::spawn(serve_connection(server, times, router, connections.watcher()));
            client
        };
        let events = b"GET /v1/events?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut slow = open(DEADLINE);
        slow.write_all(events).await.unwrap();
        assert!(read(&mut slow, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut other = open(DEADLINE);
        other.write_all(events).await.unwrap();
        assert!(read(&mut other, "\r\n\r\n").await.starts_with("HTTP/1.1 429 "), "its place is taken");
        let mut alive = open(DEADLINE);
        alive.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(read(&mut alive, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut buffer = vec![0; 1 << 16];
        while state.places().requests.taken() > 0 {
            tokio::time::timeout(DEADLINE, slow.read(&mut buffer)).await.expect("more").unwrap();
        }
        let mut stuck = open(Duration::from_millis(20));
        stuck.write_all(events).await.unwrap();
        assert!(read(&mut stuck, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let given_up = async {
            while state.places().requests.taken() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, given_up).await.expect("its place is free");
    }
}
