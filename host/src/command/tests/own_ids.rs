//! Ids of outcomes and failures: those that strangers take, and those of logs from before they followed from the store.

use uuid::Uuid;

use super::queue::{Later, options};
use super::*;

/// Appends an event of a stranger.
async fn plant(world: &World, id: Uuid) {
    let planted = NewEvent { id, ..NewEvent::json(EventType::new("Planted").unwrap(), "1") };
    world.store.append(AppendRequest::unconditional(vec![planted])).await.unwrap();
}

/// Appends events of the host.
async fn append_own(world: &World, events: Vec<NewEvent>) {
    let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(events) };
    world.store.append(request).await.unwrap();
}

/// Events of a command's outcome with the ids that they had before.
fn as_before(command: &Command, events: Vec<NewEvent>) -> Vec<NewEvent> {
    let with_id = |(index, event)| NewEvent { id: record::event_id_of_before(&command.id, index), ..event };
    events.into_iter().enumerate().map(with_id).collect()
}

fn stamp<'a>(world: &World, digest: &'a str) -> record::Stamp<'a> {
    record::Stamp { ids: world.store.own_ids(), digest }
}

fn purse() -> StreamName {
    StreamName::new("purse-1").unwrap()
}

#[tokio::test]
async fn an_event_of_a_stranger_costs_a_command_only_under_an_id_of_the_stores_own() {
    let world = World::new(never());
    plant(&world, record::event_id(world.store.own_ids(), "known", 0)).await;
    plant(&world, record::event_id_of_before("told", 0)).await;
    let taken = world.send(command("known", "Add", 1)).await.unwrap_err();
    assert!(matches!(taken, CommandError::IdTaken { for_now: false, .. }), "{taken}");
    for repeated in [false, true] {
        let settled = world.send(command("told", "Add", 1)).await.unwrap();
        assert_eq!((settled.repeated, settled.version), (repeated, Version(1)));
    }
}

#[tokio::test]
async fn an_outcome_with_ids_of_before_is_answered_again() {
    let world = World::new(never());
    let (two, none) = (command("two", "AddTwice", 5), command("none", "Take", 100));
    let digests = [&two, &none].map(record::digest);
    let [of_two, of_none] = digests.each_ref().map(|digest| stamp(&world, digest));
    let mut events = vec![NewEvent::json(EventType::new("Added").unwrap(), "5"); 2];
    record::complete(&two, of_two, &purse(), &mut events);
    append_own(&world, as_before(&two, events)).await;
    let rejection = Rejection { code: "TooLittle".into(), reason: "only 10".into(), details: None };
    let kept = record::kept(&none, of_none, (&purse(), Version(2)), Some(&rejection));
    append_own(&world, as_before(&none, vec![kept])).await;

    let again = world.send(two).await.unwrap();
    assert_eq!((again.repeated, again.position, again.version), (true, Position(2), Version(2)));
    let Outcome::Accepted(decided) = &again.outcome else { panic!("{again:?}") };
    let ids: Vec<_> = decided.iter().map(|decided| decided.id).collect();
    assert_eq!(ids, [0, 1].map(|index| record::event_id_of_before("two", index)));
    let again = world.send(none).await.unwrap();
    assert_eq!((again.repeated, again.outcome), (true, Outcome::Rejected(rejection)));
    let other = world.send(command("two", "Add", 7)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { for_now: false, .. }), "{other}");
    assert_eq!((world.store.head(), world.code.decided.load(Ordering::Relaxed)), (Position(3), 0));
}

#[tokio::test]
async fn a_failure_is_noted_whoever_has_the_id_that_it_would_have_had_before() {
    let later = Later::over(World::new(never()), options());
    plant(&later.world, waiting::failed_id_of_before("bad")).await;
    later.accept(command("bad", "Explode", 1)).await.unwrap();
    let _task = later.commands.work(async {});
    let Status::Failed(failure) = later.settled("bad").await else { panic!("it has an outcome") };
    assert_eq!((failure.command_id.as_str(), failure.attempts), ("bad", 3));
}

#[tokio::test]
async fn a_command_that_was_accepted_and_given_up_with_ids_of_before_stays_so() {
    let later = Later::over(World::new(never()), options());
    let bad = command("bad", "Explode", 1);
    let digest = record::digest(&bad);
    let accepted = waiting::event(&bad, stamp(&later.world, &digest), &[]).unwrap();
    append_own(&later.world, vec![NewEvent { id: Uuid::from_u128(1), ..accepted }]).await;
    assert!(later.accept(bad.clone()).await.unwrap().repeated, "it is found by its tag");
    let error = CommandError::Contended { stream: purse(), attempts: 3 };
    let failed = waiting::failed(
        later.world.store.own_ids(),
        &bad,
        &purse(),
        waiting::Why { error: &error, before: None, attempts: 3 },
    );
    append_own(&later.world, vec![NewEvent { id: waiting::failed_id_of_before("bad"), ..failed }]).await;
    let head = later.world.store.head();

    let _task = later.commands.work(async {});
    let Status::Failed(failure) = later.settled("bad").await else { panic!("it has an outcome") };
    assert_eq!((failure.kind.as_str(), failure.attempts), ("unavailable", 3));
    for again in [later.accept(bad.clone()).await, later.send(bad).await] {
        assert!(matches!(again, Err(CommandError::GivenUp(_))), "{again:?}");
    }
    while later.commands.waiting(&*later.world.store).unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((later.world.store.head(), later.world.code.decided.load(Ordering::Relaxed)), (head, 0));
}
