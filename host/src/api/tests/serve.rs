//! The server on a socket: it answers, drains and ends.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::gate::Incoming;

#[tokio::test]
async fn a_server_ends_subscriptions_and_itself_when_told_to() {
    let api = Api::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(Incoming::new(listener, None), api.state.clone(), async move {
        let _ = stopped.await;
    }));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = "GET /v1/events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    api.fill("s", &["A"]).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("id: 1\n") {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, client.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "the stream ended early");
        seen.extend_from_slice(&buffer[..read]);
    }
    stop.send(()).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, client.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "it ends in good order");
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("\n: the server is shutting down\n\n"), "{rest}");
    tokio::time::timeout(DEADLINE, server).await.expect("the server ends").unwrap();
}
