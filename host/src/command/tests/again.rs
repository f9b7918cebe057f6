//! What is decided again, how often, and what of the first time is left.

use futures::FutureExt as _;

use super::queue::{Later, options};
use super::*;
use crate::access::Denied;
use crate::delivery::Backoff;
use crate::error::ErrorClass;

fn policy(retries: u32, retry_on: Option<&[Transient]>) -> AggregatePolicy {
    let backoff = Backoff { initial_ms: 1, max_ms: 2, jitter: false };
    AggregatePolicy { retries, backoff, retry_on: retry_on.map(<[_]>::to_vec), ..never() }
}

/// Appends to the stream between decision and append, so often.
fn meddling(world: &World, times: u64) -> Allow {
    let (store, left) = (Arc::clone(&world.store), AtomicU64::new(times));
    Arc::new(move |_: &AppendRequest| {
        let less = |left: u64| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            let event = NewEvent::json(EventType::new("Added").unwrap(), "5").on(StreamName::new("purse-1").unwrap());
            store.append(AppendRequest::unconditional(vec![event])).now_or_never().unwrap().unwrap();
        }
        Ok(())
    })
}

async fn meddled(world: &World, times: u64, command: Command) -> Result<Settled, CommandError> {
    world.commands.send(command, meddling(world, times)).await
}

/// How often a command was decided again.
fn again(world: &World) -> u64 {
    world.commands.claims().list()[0].counts.decided_again
}

fn decided(world: &World) -> u64 {
    world.code.decided.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_decision_that_does_not_come_to_be_leaves_nothing_in_memory() {
    let denied: Allow = Arc::new(|_: &AppendRequest| Err(Denied::NoKey));
    for (allow, cents) in [(None, 6), (Some(denied), 0)] {
        let world = World::new(never());
        let sly = command("a", "Sly", 1);
        match allow {
            None => assert_eq!(meddled(&world, 1, sly).await.unwrap().version, Version(2)),
            Some(denied) => drop(world.commands.send(sly, denied).await.unwrap_err()),
        }
        let Outcome::Rejected(rejection) = world.send(command("b", "Take", 2000)).await.unwrap().outcome else {
            panic!("it takes what is not there");
        };
        assert_eq!(rejection.reason, format!("only {cents}"));
    }
}

#[tokio::test]
async fn a_rejection_and_a_decision_that_stands_keep_the_aggregate_in_memory() {
    let world = World::new(never());
    for (id, what, amount) in
        [("a", "Add", 1), ("b", "Take", 9), ("c", "Nothing", 0), ("d", "Take", 1), ("e", "Add", 1)]
    {
        world.send(command(id, what, amount)).await.unwrap();
    }
    assert_eq!(world.code.made.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_stream_that_keeps_moving_is_told_after_so_many_attempts() {
    for retries in [0, 3] {
        let world = World::new(policy(retries, None));
        let error = meddled(&world, 100, command("a", "Add", 1)).await.unwrap_err();
        let CommandError::Contended { attempts, .. } = &error else { panic!("{error}") };
        assert_eq!((*attempts, error.class()), (retries + 1, ErrorClass::Unavailable), "{error}");
        assert_eq!((decided(&world), again(&world)), (u64::from(retries) + 1, u64::from(retries)));
        assert_eq!(world.events("purse-1").len(), retries as usize + 1, "nothing of it was appended");
        assert_eq!(world.commands.status("a").await.unwrap(), None);
        let settled = meddled(&world, u64::from(retries), command("a", "Add", 1)).await.unwrap();
        assert_eq!((settled.repeated, again(&world)), (false, 2 * u64::from(retries)));
    }
}

#[tokio::test]
async fn what_is_tried_again_is_what_the_manifest_names() {
    let faulting = World::new(policy(5, Some(&[Transient::Fault])));
    faulting.send(command("a", "Falter", 1)).await.unwrap();
    assert_eq!((decided(&faulting), again(&faulting)), (3, 0));
    let error = meddled(&faulting, 1, command("b", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Contended { attempts: 1, .. }), "{error}");
    let few = World::new(policy(1, Some(&[Transient::Fault])));
    let error = few.send(command("a", "Falter", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Faulted { .. }) && decided(&few) == 2, "{error}");
    let usual = World::new(policy(5, None));
    let error = usual.send(command("a", "Falter", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Faulted { .. }) && decided(&usual) == 1, "{error}");
}

#[tokio::test]
async fn an_accepted_command_is_given_up_at_once_after_what_the_manifest_does_not_name() {
    for (named, attempts) in [(None, 3), (Some(&[Transient::Conflict][..]), 1)] {
        let later = Later::over(World::new(policy(0, named)), options());
        later.accept(command("bad", "Explode", 1)).await.unwrap();
        let _task = later.commands.work(async {});
        let Status::Failed(failure) = later.settled("bad").await else { panic!("it has an outcome") };
        assert_eq!((failure.kind.as_str(), failure.attempts), ("trap", attempts), "{named:?}");
    }
}
