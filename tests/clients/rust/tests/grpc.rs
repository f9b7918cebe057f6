//! The gRPC face as the Rust client `umadb-client` sees it, over a socket.
#![expect(clippy::unwrap_used, reason = "an unexpected error is a failed test")]

use std::path::Path;
use std::process::Stdio;

use futures::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use umadb_client::{AsyncUmaDbClient, ServingStatus};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync as _, DcbQuery, DcbQueryItem, DcbSequencedEvent,
    TrackingInfo,
};
use uuid::Uuid;

/// The server's process and a client of it.
struct Served {
    client: AsyncUmaDbClient,
    url: String,
    server: Child,
    /// Held, so that the server has somebody to talk to.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Served {
    async fn on(directory: &Path) -> Self {
        let binary = std::env::var_os("TIDEMILL").expect("TIDEMILL names the binary; tests/clients/run sets it");
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(directory);
        command.args(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let url = loop {
            let line = said.next_line().await.unwrap().expect("the server tells its addresses");
            if let Some(url) = line.strip_prefix("grpc ") {
                break url.to_owned();
            }
        };
        Self { client: connect(&url).await, url, server, _said: said }
    }

    /// Ends the server in order: requests in flight are answered, the store is closed.
    async fn end(mut self) {
        drop(self.client);
        let process = self.server.id().unwrap().to_string();
        assert!(Command::new("kill").arg(process).status().await.unwrap().success());
        assert!(self.server.wait().await.unwrap().success());
    }
}

async fn connect(url: &str) -> AsyncUmaDbClient {
    AsyncUmaDbClient::connect(url.to_owned(), None, None, None).await.unwrap()
}

fn event(event_type: &str, tags: &[&str]) -> DcbEvent {
    DcbEvent::new().event_type(event_type).data(b"data".to_vec()).tags(tags.iter().copied())
}

fn tagged(tag: &str) -> DcbQuery {
    DcbQuery::with_items([DcbQueryItem::new().tags([tag])])
}

fn positions(events: &[DcbSequencedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_store_is_empty_then_holds_what_is_appended() {
    let place = tempfile::tempdir().unwrap();
    let served = Served::on(place.path()).await;
    let client = &served.client;
    assert_eq!(client.head().await.unwrap(), None);
    assert_eq!(client.read_with_head(None, None, false, None).await.unwrap().1, None);
    let id = Uuid::from_u128(7);
    let given = event("Placed", &["b", "a"]).uuid(id).metadata([("actor", "me")]);
    assert_eq!(client.append(vec![given, event("Paid", &["a"])], None, None).await.unwrap(), 2);
    let (found, head) = client.read_with_head(Some(tagged("a")), None, true, None).await.unwrap();
    assert_eq!((positions(&found), head, client.head().await.unwrap()), (vec![2, 1], Some(2), Some(2)));
    let first = &found.last().unwrap().event;
    assert_eq!(
        (first.uuid, &first.tags, &first.data[..]),
        (Some(id), &vec!["b".to_owned(), "a".to_owned()], &b"data"[..])
    );
    assert_eq!(first.metadata, [("actor".to_owned(), "me".to_owned())]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_clients_types() {
    let place = tempfile::tempdir().unwrap();
    let served = Served::on(place.path()).await;
    let client = &served.client;
    let id = event("A", &["x"]).uuid(Uuid::from_u128(1));
    let guard = || Some(DcbAppendCondition::new(tagged("x")));
    assert_eq!(client.append(vec![id.clone()], guard(), None).await.unwrap(), 1);
    assert_eq!(client.append(vec![id], guard(), None).await.unwrap(), 1, "sent again");
    let failed = client.append(vec![event("A", &["x"])], guard(), None).await.unwrap_err();
    assert!(matches!(failed, DcbError::IntegrityError(_)), "{failed:?}");
    let invalid = client.append(vec![event("", &[])], None, None).await.unwrap_err();
    assert!(matches!(invalid, DcbError::InvalidArgument(_)), "{invalid:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tracked_survives_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let at = |position| Some(TrackingInfo { source: "upstream".to_owned(), position });
    let served = Served::on(place.path()).await;
    assert_eq!(served.client.get_tracking_info("upstream").await.unwrap(), None);
    served.client.append(vec![event("A", &[])], None, at(5)).await.unwrap();
    served.end().await;
    let served = Served::on(place.path()).await;
    assert_eq!(served.client.get_tracking_info("upstream").await.unwrap(), Some(5));
    let back = served.client.append(vec![event("A", &[])], None, at(5)).await.unwrap_err();
    assert!(matches!(back, DcbError::IntegrityError(_)), "{back:?}");
    let (found, _) = served.client.read_with_head(None, None, false, None).await.unwrap();
    assert_eq!(found.first().unwrap().tracking_info, at(5));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_get_everything_once_in_order() {
    let place = tempfile::tempdir().unwrap();
    let served = Served::on(place.path()).await;
    let mut subscriptions = Vec::new();
    for after in [None, Some(10), Some(500)] {
        let client = connect(&served.url).await;
        let subscription = client.subscribe(Some(tagged("x")), after).await.unwrap();
        subscriptions.push((client, after.unwrap_or_default(), subscription));
    }
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let url = served.url.clone();
            tokio::spawn(async move {
                let client = connect(&url).await;
                for _ in 0..50 {
                    client.append(vec![event("A", &["x"]); 5], None, None).await.unwrap();
                }
            })
        })
        .collect();
    for (_client, after, mut subscription) in subscriptions {
        for expected in after + 1..=1000 {
            assert_eq!(subscription.next().await.unwrap().unwrap().position, expected);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_is_read_in_pieces_by_clients_that_come_and_go() {
    let place = tempfile::tempdir().unwrap();
    let served = Served::on(place.path()).await;
    let large = || event("A", &[]).data(vec![0xFF; 100 << 10]);
    for _ in 0..8 {
        served.client.append((0..50).map(|_| large()).collect(), None, None).await.unwrap();
    }
    let too_large = served.client.append(vec![event("A", &[]).data(vec![0; 2 << 20])], None, None).await.unwrap_err();
    assert!(matches!(too_large, DcbError::InvalidArgument(_)), "{too_large:?}");
    // Some read a little and leave.
    for _ in 0..20 {
        let mut read = served.client.read(None, None, false, None).await.unwrap();
        assert_eq!(read.next().await.unwrap().unwrap().position, 1);
    }
    let (found, head) = served.client.read_with_head(None, None, true, None).await.unwrap();
    assert_eq!((positions(&found), head), ((1..=400).rev().collect(), Some(400)));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_and_streams_end_with_the_server() {
    let place = tempfile::tempdir().unwrap();
    let served = Served::on(place.path()).await;
    for service in ["", "umadb.v1.DCB"] {
        assert_eq!(served.client.check_health(service).await.unwrap(), ServingStatus::Serving);
    }
    let client = connect(&served.url).await;
    let mut subscription = client.subscribe(None, None).await.unwrap();
    let waiting = tokio::spawn(async move { subscription.next().await.is_none() });
    served.end().await;
    assert!(waiting.await.unwrap(), "the subscription ends by itself");
}
