//! `Append`, and how far a source was followed.

use tonic::Status;

use super::access;
use super::convert;
use super::message::{self, TrackingRequest, TrackingResponse};
use super::status::{of_append, of_store, refused};
use crate::access::Action;
use crate::error::ErrorClass;
use crate::gate::Caller;
use crate::store::{
    AppendCondition, AppendError, AppendRequest, Appended, AppendedEvent, AsyncStore, ReadRequest, StoreError,
};

/// Appends events; answers the position of the last.
///
/// Events that are stored already answer where they stand, whatever has come since: the client lost the answer
/// and sends the append again. But when they are guarded, and the guard lets them through, they are appended again,
/// as events of their own: then it was not them that the client guarded against.
pub(super) async fn append(
    store: AsyncStore,
    caller: Caller,
    request: message::AppendRequest,
) -> Result<message::AppendResponse, Status> {
    let events = request.events.into_iter().enumerate().map(convert::new_event).collect::<Result<Vec<_>, _>>()?;
    let condition = request.condition.map(|condition| convert::condition(condition, store.head())).transpose()?;
    let tracking = request.tracking_info.map(convert::tracking);
    let request = AppendRequest { condition: condition.clone(), tracking, ..AppendRequest::unconditional(events) };
    caller.may(&Action::Append).and_then(|()| caller.may_append(&request)).map_err(access::denied)?;
    if request.events.is_empty() && request.tracking.is_none() {
        // There is nothing to do but to tell whether it might have been done.
        check_condition(&store, condition.as_ref(), None).await?;
        return Ok(message::AppendResponse { position: 0 });
    }
    let tracked = request.tracking.is_some();
    let mut appended = caller.append(&store, request).await.map_err(|error| of_append(&error))?;
    if appended.repeated {
        let guarded = condition.is_some() && !tracked;
        if guarded && check_condition(&store, condition.as_ref(), None).await.is_ok() {
            appended = append_again(&store, &appended, condition).await?;
        } else {
            check_repeated(&store, &appended, condition.as_ref()).await?;
        }
    }
    Ok(message::AppendResponse { position: appended.last_position().0 })
}

/// Appends stored events once more, under new ids.
async fn append_again(
    store: &AsyncStore,
    appended: &Appended,
    condition: Option<AppendCondition>,
) -> Result<Appended, Status> {
    let ids: Vec<_> = appended.events.iter().map(|event| event.id).collect();
    let stored = store.run(move |store| {
        ids.into_iter().filter_map(|id| store.event(id).transpose()).collect::<Result<Vec<_>, StoreError>>()
    });
    let stored = stored.await.map_err(|error| of_store(&error))?;
    let events = stored.into_iter().map(convert::again).collect();
    let request = AppendRequest { condition, ..AppendRequest::unconditional(events) };
    store.append(request).await.map_err(|error| of_append(&error))
}

/// Checks that stored events can be of this append: next to each other in its order, and its condition held.
async fn check_repeated(
    store: &AsyncStore,
    appended: &Appended,
    condition: Option<&AppendCondition>,
) -> Result<(), Status> {
    let next = |(one, other): (&AppendedEvent, &AppendedEvent)| one.position.next() == other.position;
    if !appended.events.iter().zip(appended.events.iter().skip(1)).all(next) {
        let message =
            "these events are stored already, but not next to each other in this order; read them and decide anew";
        return Err(refused(ErrorClass::Conflict, message));
    }
    check_condition(store, condition, Some(appended)).await
}

/// Checks a condition now, or as it was before events were appended.
async fn check_condition(
    store: &AsyncStore,
    condition: Option<&AppendCondition>,
    appended: Option<&Appended>,
) -> Result<(), Status> {
    let Some(AppendCondition { fail_if_match, after }) = condition else { return Ok(()) };
    let (query, after) = (fail_if_match.clone(), *after);
    let before = appended.map(Appended::first_position);
    let request = ReadRequest { query, after, before, limit: 1, ..ReadRequest::default() };
    let page = store.read(request).await.map_err(|error| of_store(&error))?;
    match page.events.first() {
        None => Ok(()),
        Some(event) => Err(of_append(&AppendError::ConditionFailed { position: event.position, after })),
    }
}

/// How far a source was followed.
pub(super) async fn tracking(
    store: AsyncStore,
    caller: Caller,
    request: TrackingRequest,
) -> Result<TrackingResponse, Status> {
    caller.may(&Action::Head).map_err(access::denied)?;
    let position = store.tracking(request.source).await.map_err(|error| of_store(&error))?;
    Ok(TrackingResponse { position })
}
