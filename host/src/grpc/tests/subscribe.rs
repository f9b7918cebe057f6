use futures::FutureExt as _;
use tokio::sync::watch;

use super::super::message::SubscribeRequest;
use super::super::subscribe::Following;
use super::*;

fn follow(store: &AsyncStore, request: SubscribeRequest) -> (Following, watch::Sender<bool>) {
    let (closing, closed) = watch::channel(false);
    (Following::new((store, &anyone()), request, closed).unwrap(), closing)
}

async fn next(following: &mut Following) -> Vec<u64> {
    positions(&following.next().await.unwrap().unwrap().events)
}

#[tokio::test]
async fn what_is_there_comes_first_and_then_what_comes() {
    let store = store();
    appended(&store, request(vec![event("A", &[]), event("B", &[]), event("A", &[]), event("A", &[])])).await;
    let types = query(vec![item(&["A"], &[])]);
    let asked = SubscribeRequest { query: types, after: Some(1), batch_size: Some(1) };
    let (mut following, _closing) = follow(&store, asked);
    assert_eq!(next(&mut following).await, [3], "after is exclusive");
    assert_eq!(next(&mut following).await, [4]);
    assert!(following.next().now_or_never().is_none(), "nothing else is there");
    appended(&store, request(vec![event("B", &[])])).await;
    assert!(following.next().now_or_never().is_none(), "nothing that matches");
    appended(&store, request(vec![event("A", &[]), event("A", &[])])).await;
    assert_eq!(next(&mut following).await, [6]);
    assert_eq!(next(&mut following).await, [7]);
}

#[tokio::test]
async fn it_ends_when_the_server_does() {
    let store = store();
    let (mut following, closing) = follow(&store, SubscribeRequest::default());
    let ended = tokio::spawn(async move { following.next().await.unwrap() });
    closing.send_replace(true);
    assert_eq!(ended.await.unwrap(), None);
}

#[tokio::test]
async fn nothing_comes_after_the_last_position() {
    let (mut following, _closing) =
        follow(&store(), SubscribeRequest { after: Some(u64::MAX), ..SubscribeRequest::default() });
    assert_eq!(following.next().await.unwrap(), None);
}
