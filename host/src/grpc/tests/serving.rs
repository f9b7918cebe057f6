//! The face on sockets: clients that do not go on, and what is counted.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tonic::body::Body;
use tonic::codegen::{Service as _, http};

use super::*;
use crate::config::Limits;
use crate::gate::{Incoming, Requests};
use crate::grpc::bounded::{Bounded, Bounds};
use crate::grpc::limits::HEALTH_MAX;
use crate::grpc::service::Dcb;
use crate::grpc::taken::taken;
use crate::grpc::{DcbClient, DcbError, Face, Proposal, serve};

/// Longest that something may take that must come.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server; it ends when it is dropped.
struct Served {
    address: SocketAddr,
    requests: Arc<Requests>,
    _stop: oneshot::Sender<()>,
}

impl Served {
    async fn within(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let face = Face::new(Arc::clone(store().store()), Arc::new(Gate::new(Policy::open()))).within(limits);
        let (requests, (stop, stopped)) = (face.requests(), oneshot::channel::<()>());
        tokio::spawn(serve(Incoming::new(listener, None), face, async { stopped.await.unwrap_or_default() }));
        Self { address, requests, _stop: stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn client(&self) -> DcbClient {
        DcbClient::over(self.connect().await, &format!("http://{}", self.address), None).await.unwrap()
    }

    /// The codes that a method ended with, each with how often, once that is as wanted.
    async fn counted(&self, method: &str, wanted: &[(&str, u64)]) {
        let counts = || {
            let routes = self.requests.read();
            let outcomes = routes.into_iter().find(|counts| counts.route == method).map(|counts| counts.outcomes);
            outcomes.unwrap_or_default()
        };
        let wanted: Vec<_> = wanted.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while counts() != wanted {
            assert!(tokio::time::Instant::now() < deadline, "{method}: {:?}, not {wanted:?}", counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until the other side has closed a connection.
async fn closed(mut connection: TcpStream) {
    let mut bytes = [0; 256];
    let ended = async { while connection.read(&mut bytes).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(DEADLINE, ended).await.expect("it is closed");
}

#[tokio::test]
async fn a_connection_on_which_nobody_speaks_is_closed_and_one_that_was_spoken_on_may_be_silent() {
    let served = Served::within(Limits { header_time: 1, ..Limits::default() }).await;
    let mut client = served.client().await;
    assert_eq!(client.head().await.unwrap(), 0);
    for begun in ["", "PRI * HTTP/2.0\r\n"] {
        let mut silent = served.connect().await;
        silent.write_all(begun.as_bytes()).await.unwrap();
        closed(silent).await;
    }
    assert_eq!(client.head().await.unwrap(), 0, "its connection is there");
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_given_up() {
    let (_closing, closed) = watch::channel(false);
    let limits = Limits { body_time: 1, ..Limits::default() };
    let service = Dcb::new(store(), Arc::new(Gate::new(Policy::open())), closed, &limits);
    let mut service = Bounded::new(service, Bounds::new(&limits));
    for method in ["Append", "Read"] {
        let pieces = futures::stream::pending::<Result<Frame<bytes::Bytes>, Status>>();
        let request = http::Request::post(format!("/umadb.v1.DCB/{method}")).header("content-type", "application/grpc");
        let request = request.body(Body::new(StreamBody::new(pieces))).unwrap();
        let answer = tokio::time::timeout(DEADLINE, service.call(request)).await.expect("an answer").unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::DeadlineExceeded, "the request did not arrive within 1 s")
        );
    }
}

#[tokio::test]
async fn one_read_too_many_is_told_to_come_back_later() {
    let served = Served::within(Limits { max_grpc_streams: 1, ..Limits::default() }).await;
    let (mut client, mut other) = (served.client().await, served.client().await);
    let waiting = client.subscribe("t".to_owned(), 0).await.unwrap();
    let refused = other.subscribe("t".to_owned(), 0).await.err();
    let Some(DcbError::Refused(status)) = refused else { panic!("it is refused: {refused:?}") };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("there are 1 reads and subscriptions already"), "{status}");
    drop(waiting);
    served.counted("Subscribe", &[("CANCELLED", 1), ("UNAVAILABLE", 1)]).await;
}

#[tokio::test]
async fn a_request_is_as_large_as_the_setting_says() {
    let served = Served::within(Limits { max_body_bytes: 2048, ..Limits::default() }).await;
    let mut client = served.client().await;
    let event = |bytes| Proposal { event_type: "T", tags: Vec::new(), data: vec![b'1'; bytes] };
    assert_eq!(client.append(vec![event(1000)], None).await.unwrap(), 1);
    let refused = client.append(vec![event(3000)], None).await.err();
    assert!(matches!(&refused, Some(DcbError::Refused(_))), "{refused:?}");
    assert_eq!(client.head().await.unwrap(), 1);
}

#[tokio::test]
async fn requests_are_counted_by_method_and_by_the_code_they_end_with() {
    let served = Served::within(Limits::default()).await;
    let mut client = served.client().await;
    let event = || vec![Proposal { event_type: "T", tags: vec!["t".to_owned()], data: b"1".to_vec() }];
    for _ in 0..2 {
        // The second finds the tag.
        let _ = client.append(event(), Some("t".to_owned())).await;
    }
    served.counted("Append", &[("FAILED_PRECONDITION", 1), ("OK", 1)]).await;
    let read: Vec<_> = client.read(10).await.unwrap().collect().await;
    assert_eq!(read.into_iter().map(Result::unwrap).sum::<usize>(), 1);
    served.counted("Read", &[("OK", 1)]).await;
    assert_eq!(served.requests.in_flight(), 0);
    let mut waiting = client.subscribe("t".to_owned(), 0).await.unwrap();
    assert_eq!(waiting.next().await.unwrap().unwrap(), 1);
    assert_eq!(served.requests.in_flight(), 1);
    drop(waiting);
    served.counted("Subscribe", &[("CANCELLED", 1)]).await;
    assert_eq!(served.requests.in_flight(), 0);
    assert!(served.requests.read().iter().all(|counts| counts.times.count() > 0));
    served.counted("Head", &[]).await;
}

#[tokio::test]
async fn calls_and_questions_for_health_are_bounded_in_number_and_time() {
    let limits = Limits { max_requests: 1, body_time: 1, ..Limits::default() };
    let served = Served::within(limits).await;
    for (path, places) in [("/umadb.v1.DCB/Head", 1), ("/grpc.health.v1.Health/Check", HEALTH_MAX)] {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        // On a slow machine the first of them may be given up before the last one comes: then once more.
        loop {
            let came = one_too_many(&served, path, places).await;
            if came == (1, places) {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{path}: refused and late are {came:?} of {places} and one"
            );
        }
    }
    assert_eq!(served.client().await.head().await.unwrap(), 0, "the place is free again");
}

/// Begins one call more than there are places, none of which ever arrives; answers how many were refused, and how many were
/// given up.
async fn one_too_many(served: &Served, path: &str, places: usize) -> (usize, usize) {
    let stream = served.connect().await;
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let request = || {
        // A message that never comes.
        let pieces = futures::stream::pending::<Result<Frame<bytes::Bytes>, Status>>();
        let request = http::Request::post(format!("http://t{path}")).header("content-type", "application/grpc");
        request.body(Body::new(StreamBody::new(pieces))).unwrap()
    };
    let answers: Vec<_> = (0..=places).map(|_| tokio::spawn(sender.send_request(request()))).collect();
    let (mut refused, mut late) = (0, 0);
    for answer in answers {
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("an answer").unwrap().unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        match status.code() {
            Code::Unavailable if status.message().starts_with(&format!("there are {places} ")) => refused += 1,
            Code::DeadlineExceeded => late += 1,
            other => panic!("{path}: {other}: {status}"),
        }
    }
    (refused, late)
}

#[tokio::test]
async fn a_stream_that_nobody_takes_is_given_up_and_told_so() {
    let place = Arc::new(tokio::sync::Semaphore::new(1));
    let frames = futures::stream::repeat_with(|| Ok::<_, Status>(Frame::data(bytes::Bytes::from_static(b"m"))));
    let held = Arc::clone(&place).try_acquire_owned().unwrap();
    let mut body = taken(Body::new(StreamBody::new(frames)), Duration::from_millis(20), held);
    for _ in 0..3 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
    let free = tokio::time::timeout(DEADLINE, place.acquire()).await;
    drop(free.expect("the place is free").unwrap());
    let mut last = body.frame().await.unwrap().unwrap();
    if last.is_data() {
        last = body.frame().await.unwrap().unwrap();
    }
    let status = Status::from_header_map(last.trailers_ref().unwrap()).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("the client took nothing for 0 s"), "{status}");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_stream_that_waits_for_events_is_not_given_up() {
    let places = Arc::new(tokio::sync::Semaphore::new(1));
    let place = Arc::clone(&places).try_acquire_owned().unwrap();
    let (room, frames) = tokio::sync::mpsc::channel::<Result<Frame<bytes::Bytes>, Status>>(1);
    let frames = futures::stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
    let mut body = taken(Body::new(StreamBody::new(frames)), Duration::from_millis(1), place);
    for _ in 0..3 {
        let idle = tokio::time::timeout(Duration::from_millis(20), body.frame()).await;
        assert!(idle.is_err(), "nothing has come, nobody is slow");
        room.send(Ok(Frame::data(bytes::Bytes::from_static(b"m")))).await.unwrap();
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
    assert_eq!(places.available_permits(), 0);
    drop(body);
    let free = tokio::time::timeout(DEADLINE, places.acquire()).await;
    drop(free.expect("whose client has left, its place is free").unwrap());
}
