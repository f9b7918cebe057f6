//! Connections that come: how many, and what becomes of handshakes.

use tokio::sync::Semaphore;

use super::*;

/// Longest that something may take that must come.
const DEADLINE: Duration = Duration::from_secs(120);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it comes")
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted_until_another_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let mut incoming = Incoming::within(&limits, listener, None);
    let connections = incoming.connections();
    let mut clients = Vec::new();
    let mut served = Vec::new();
    for _ in 0..2 {
        clients.push(TcpStream::connect(address).await.unwrap());
        served.push(soon(incoming.next()).await.unwrap());
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    assert_eq!(soon(refused.read(&mut [0])).await.unwrap_or(0), 0, "it is closed");
    assert_eq!((connections.open(), connections.refused()), (2, 1));
    served.pop();
    assert_eq!(connections.open(), 1);
    let _client = TcpStream::connect(address).await.unwrap();
    soon(incoming.next()).await.unwrap();
}

/// A connection, and what keeps its other side open.
async fn connection() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stream = Encryption::Plain(listener.accept().await.unwrap().0);
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    (Connection { stream, _place: place }, client)
}

#[tokio::test]
async fn a_handshake_that_was_made_is_not_given_up_and_one_that_is_not_gives_way() {
    let mut handshakes = Handshakes { time_max: DEADLINE, at_a_time_max: 1, begun: VecDeque::new() };
    let (ready, mut connections) = mpsc::channel(1);
    let (given_up, mut seen) = oneshot::channel::<()>();
    let never = async move {
        let _given_up = given_up;
        std::future::pending().await
    };
    handshakes.begin(never, ready.clone());
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (connection, client) = connection().await;
        clients.push(client);
        let (tell, made) = oneshot::channel();
        let handshake = async move {
            let _ = tell.send(());
            Ok(Some(connection))
        };
        handshakes.begin(handshake, ready.clone());
        soon(made).await.unwrap();
    }
    assert!(soon(&mut seen).await.is_err(), "the one that nobody makes is dropped");
    for _ in 0..4 {
        soon(connections.recv()).await.expect("each is served, though nobody took them when they were made");
    }
}
