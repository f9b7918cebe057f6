//! Which operation a request names.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::ready;
use futures::stream::try_unfold;
use futures::{Stream, TryFutureExt as _};
use prost::Message;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::access;
use super::append;
use super::message::{HeadRequest, HeadResponse, ReadRequest, ReadResponse, SubscribeRequest, SubscribeResponse};
use super::read::Reading;
use super::removed;
use super::subscribe::Following;
use crate::access::Action;
use crate::config::Limits;
use crate::event::Position;
use crate::gate::{Caller, Gate};
use crate::store::AsyncStore;

/// The protocol's service over a store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dcb {
    store: AsyncStore,
    gate: Arc<Gate>,
    closing: watch::Receiver<bool>,
    body_bytes_max: usize,
}

impl fmt::Debug for Dcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dcb").field("store", &self.store).finish_non_exhaustive()
    }
}

impl NamedService for Dcb {
    const NAME: &'static str = "umadb.v1.DCB";
}

impl Dcb {
    /// Serves a store until `closing` turns true; then subscriptions end.
    pub(super) fn new(store: AsyncStore, gate: Arc<Gate>, closing: watch::Receiver<bool>, limits: &Limits) -> Self {
        Self { store, gate, closing, body_bytes_max: limits.max_body_bytes }
    }

    fn head(&self, caller: &Caller) -> Result<HeadResponse, Status> {
        caller.may(&Action::Head).map_err(access::denied)?;
        let head = self.store.head();
        Ok(HeadResponse { position: (head != Position::START).then_some(head.0) })
    }

    pub(super) fn read(
        &self,
        caller: &Caller,
        request: Request<ReadRequest>,
    ) -> Result<Response<impl Stream<Item = Result<ReadResponse, Status>> + use<>>, Status> {
        let complete = removed::wants_all(request.metadata())?;
        caller.may(&Action::Read).map_err(access::denied)?;
        let (store, message) = (self.store.clone(), request.into_inner());
        let reading = Reading::new((store, caller), message, complete)?;
        let removed_before = reading.removed_before();
        let messages =
            try_unfold(reading, async |mut reading| Ok(reading.next().await?.map(|message| (message, reading))));
        Ok(removed::tell(messages, removed_before))
    }

    pub(super) fn subscribe(
        &self,
        caller: &Caller,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<impl Stream<Item = Result<SubscribeResponse, Status>> + use<>>, Status> {
        caller.may(&Action::Read).map_err(access::denied)?;
        let (message, closing) = (request.into_inner(), self.closing.clone());
        let following = Following::new((&self.store, caller), message, closing)?;
        let removed_before = following.removed_before;
        let messages = try_unfold(following, async |mut following| {
            Ok(following.next().await?.map(|message| (message, following)))
        });
        Ok(removed::tell(messages, removed_before))
    }

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let store = self.store.clone();
        let caller = match self.gate.admit(request.headers(), "a gRPC call") {
            Ok(caller) => caller,
            Err(refused) => return access::unknown(refused).into_http(),
        };
        let (watched, bytes_max) = (caller.clone(), self.body_bytes_max);
        match request.uri().path() {
            "/umadb.v1.DCB/Append" => {
                unary(bytes_max, request, move |message| append::append(store.clone(), caller.clone(), message)).await
            }
            "/umadb.v1.DCB/Head" => unary(bytes_max, request, move |HeadRequest {}| ready(self.head(&caller))).await,
            "/umadb.v1.DCB/GetTrackingInfo" => {
                unary(bytes_max, request, move |message| append::tracking(store.clone(), caller.clone(), message)).await
            }
            "/umadb.v1.DCB/Read" => access::revocable(
                streaming(bytes_max, request, move |message| self.read(&caller, message)).await,
                watched,
            ),
            "/umadb.v1.DCB/Subscribe" => access::revocable(
                streaming(bytes_max, request, move |message| self.subscribe(&caller, message)).await,
                watched,
            ),
            path => Status::unimplemented(format!("there is no {path}")).into_http(),
        }
    }
}

/// Answers a request with one message.
async fn unary<Q, A, F>(bytes_max: usize, request: http::Request<Body>, answer: impl Fn(Q) -> F) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, Status>>,
{
    let answer = service_fn(|request: Request<Q>| answer(request.into_inner()).map_ok(Response::new));
    grpc(bytes_max).unary(answer, request).await
}

/// Answers a request with a stream of messages.
async fn streaming<Q, A, S>(
    bytes_max: usize,
    request: http::Request<Body>,
    open: impl Fn(Request<Q>) -> Result<Response<S>, Status>,
) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
{
    let open = service_fn(|request| ready(open(request)));
    grpc(bytes_max).server_streaming(open, request).await
}

fn grpc<Q, A>(bytes_max: usize) -> Grpc<ProstCodec<A, Q>>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(bytes_max), None)
}

impl Service<http::Request<Body>> for Dcb {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}
