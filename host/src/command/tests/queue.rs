//! Commands that are accepted first and decided later.

use super::turns::Shut;
use super::*;
use crate::command::queue::Job;
use crate::delivery::{Backoff, Envelope};
use crate::event::COMMAND_DEADLINE_MS_MAX;

/// A deadline that passes only where a test says so, the longest there is: a command that is being decided is held to it by
/// the clock of the machine, however slow that is.
const LONG_MS: u64 = COMMAND_DEADLINE_MS_MAX;

/// A queue with short waits over a store in memory.
pub(super) struct Later {
    pub(super) world: World,
    clock: Arc<ManualClock>,
    pub(super) commands: Commands,
}

pub(super) fn options() -> QueueOptions {
    QueueOptions { waiting_max: 1000, attempts_max: 3, backoff: Backoff { initial_ms: 1, max_ms: 2, jitter: false } }
}

impl Later {
    fn new(options: QueueOptions) -> Self {
        let world = World::new(never());
        Self::over(world, options)
    }

    pub(super) fn over(world: World, options: QueueOptions) -> Self {
        let clock = Arc::new(ManualClock::at(3_000_000));
        let (log, claims) = (AsyncStore::new(world.store.clone()), world.commands.claims().clone());
        let commands = Commands::queueing(log, claims, clock.clone(), Arc::default(), options);
        Self { world, clock, commands }
    }

    pub(super) async fn accept(&self, command: Command) -> Result<Accepted, CommandError> {
        match self.commands.accept(command, Vec::new()).await? {
            TakenUp::Waits(accepted) => Ok(accepted),
            TakenUp::Settled(settled) => panic!("it has an outcome: {settled:?}"),
        }
    }

    /// Waits until nothing waits.
    async fn empty(&self) {
        // Counted after it is in the log.
        while self.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Sends a command that does not wait.
    pub(super) async fn send(&self, command: Command) -> Result<Accepted, CommandError> {
        let Settled { id, stream, position, repeated, .. } = self.commands.send(command, Commands::allow_all()).await?;
        Ok(Accepted { id, stream, position, repeated })
    }

    /// What a command has come to for good.
    pub(super) async fn settled(&self, id: &str) -> Status {
        loop {
            match self.commands.status(id).await.unwrap().expect("it was accepted") {
                Status::Queued { .. } | Status::UnderWay(_) => tokio::task::yield_now().await,
                settled => return settled,
            }
        }
    }

    fn waiting(&self) -> u64 {
        self.commands.waiting(&*self.world.store).unwrap()
    }
}

#[tokio::test]
async fn what_was_accepted_is_decided_once_in_its_order_also_after_a_restart() {
    let mut later = Later::new(options());
    for number in 0..20 {
        later.accept(command(&format!("a{number}"), "Add", number)).await.unwrap();
    }
    let first = later.accept(command("a0", "Add", 0)).await.unwrap();
    assert!(first.repeated);
    let other = later.accept(command("a0", "Add", 1)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { .. }), "{other}");
    assert!(matches!(later.commands.status("a3").await.unwrap(), Some(Status::Queued { .. })));
    assert_eq!(later.waiting(), 20);
    let sent = later.world.send(command("a7", "Add", 7)).await.unwrap();
    assert_eq!(sent.version, Version(1), "who does not wait overtakes");
    for round in 0..2 {
        let task = later.commands.work(async {});
        for number in 0..20 {
            let Status::Settled(settled) = later.settled(&format!("a{number}")).await else { panic!("{number}") };
            assert!(matches!(settled.outcome, Outcome::Accepted(_)));
        }
        while later.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        let amounts: Vec<i64> =
            later.world.events("purse-1").iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
        let mut expected: Vec<i64> = (0..20).filter(|number| *number != 7).collect();
        expected.insert(0, 7);
        assert_eq!(amounts, expected, "round {round}");
        drop(task);
        let world = later.world.restarted();
        later = Later::over(world, options());
    }
    let again = later.commands.accept(command("a5", "Add", 5), Vec::new()).await.unwrap();
    assert!(matches!(again, TakenUp::Settled(settled) if settled.repeated), "its outcome is known");
    let other = later.accept(command("a5", "Add", 6)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { .. }), "{other}");
}

#[tokio::test]
async fn one_that_never_works_is_given_up_with_its_evidence_and_holds_nobody_for_ever() {
    let later = Later::new(options());
    later.accept(command("bad", "Explode", 1)).await.unwrap();
    later.accept(Command { deadline_ms: Some(5), ..command("late", "Add", 1) }).await.unwrap();
    later.accept(Command { expected: ExpectedVersion::Exact(Version(9)), ..command("off", "Add", 1) }).await.unwrap();
    later.accept(command("good", "Add", 2)).await.unwrap();
    later.commands.accept(command("far", "Add", 3), vec![Pattern::new("Taken").unwrap()]).await.unwrap();
    later.clock.advance_us(5_000_000);
    let _task = later.commands.work(async {});
    let Status::Settled(_) = later.settled("good").await else { panic!("it was given up") };
    let mut kinds = Vec::new();
    for (id, attempts) in [("bad", 3), ("late", 1), ("off", 1), ("far", 1)] {
        let Status::Failed(failure) = later.settled(id).await else { panic!("{id} has an outcome") };
        assert_eq!((failure.command_id.as_str(), failure.attempts), (id, attempts), "{failure:?}");
        kinds.push(failure.kind.clone());
        assert_eq!(failure.stderr_tail == "last words", id == "bad", "{failure:?}");
    }
    assert_eq!(kinds, ["trap", "deadline-passed", "wrong-expected-version", "denied"]);
    assert_eq!(later.world.events("purse-1").len(), 1);
    // Counted after it is in the log.
    while later.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let QueueCounts { accepted, settled, failed, retried } = later.commands.queue_counts();
    assert_eq!((accepted, settled, failed, retried), (5, 1, 4, 2));
    for again in [later.accept(command("bad", "Explode", 1)).await, later.send(command("bad", "Explode", 1)).await] {
        let Err(error) = again else { panic!("it has an outcome") };
        assert!(error.to_string().starts_with("command \"bad\" was given up after 3 attempts: "), "{error}");
        let CommandError::GivenUp(failure) = error else { panic!("{error}") };
        assert_eq!((failure.command_id.as_str(), failure.stderr_tail.as_str()), ("bad", "last words"));
    }
    for other in [later.accept(command("bad", "Add", 1)).await, later.send(command("bad", "Add", 1)).await] {
        assert!(matches!(other, Err(CommandError::IdTaken { .. })), "{other:?}");
    }
}

#[tokio::test]
async fn one_that_fails_until_its_deadline_is_given_up_with_what_it_failed_at() {
    let later = Later::new(QueueOptions { attempts_max: u32::MAX, ..options() });
    later.accept(Command { deadline_ms: Some(LONG_MS), ..command("bad", "Explode", 1) }).await.unwrap();
    let _task = later.commands.work(async {});
    while later.commands.queue_counts().retried < 2 {
        tokio::task::yield_now().await;
    }
    later.clock.advance_us(LONG_MS * 1_000);
    let Status::Failed(failure) = later.settled("bad").await else { panic!("it has an outcome") };
    assert_eq!((failure.kind.as_str(), failure.stderr_tail.as_str()), ("trap", "last words"), "{failure:?}");
    let failures = format!("its deadline passed after it had failed so often: {}", failure.attempts - 1);
    assert!(failure.reason.contains("it trapped") && failure.reason.contains(&failures), "{failure:?}");
}

#[tokio::test]
async fn one_whose_failure_cannot_be_stored_is_given_up_all_the_same_also_after_a_restart() {
    let later = Later::new(options());
    let planted = NewEvent::json(EventType::new("Planted").unwrap(), "1");
    let planted = NewEvent { id: waiting::failed_id(later.world.store.own_ids(), "bad"), ..planted };
    later.world.store.append(AppendRequest::unconditional(vec![planted])).await.unwrap();
    later.accept(command("bad", "Explode", 1)).await.unwrap();
    later.accept(command("good", "Add", 1)).await.unwrap();
    let task = later.commands.work(async {});
    later.empty().await;
    assert!(matches!(later.settled("good").await, Status::Settled(_)));
    assert_eq!((later.commands.queue_counts().failed, later.world.code.decided.load(Ordering::Relaxed)), (1, 4));
    while Commands::first_waiting(&*later.world.store).unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    drop(task);
    let later = Later::over(later.world.restarted(), options());
    let _task = later.commands.work(async {});
    later.accept(command("next", "Add", 1)).await.unwrap();
    assert!(matches!(later.settled("next").await, Status::Settled(_)));
    assert_eq!(later.world.code.decided.load(Ordering::Relaxed), 1, "the one that was given up is not decided again");
}

#[tokio::test]
async fn what_waits_or_was_given_up_is_told_so_before_it_is_held_to_what_there_is_by_now() {
    let later = Later::new(options());
    let far = Command { key: "2".into(), ..command("far", "Add", 1) };
    later.accept(command("bad", "Explode", 1)).await.unwrap();
    let task = later.commands.work(async {});
    let Status::Failed(_) = later.settled("bad").await else { panic!("it has an outcome") };
    drop(task);
    later.accept(far.clone()).await.unwrap();
    let policy = AggregatePolicy { commands: Some(vec!["Take".into()]), ..never() };
    let world = World { policy, ..later.world }.reclaimed();
    for is_claimed in [true, false] {
        let again = world.send(command("bad", "Explode", 1)).await.unwrap_err();
        assert!(matches!(again, CommandError::GivenUp(_)), "{again}");
        for other in [command("bad", "Add", 1), Command { data: b"2".to_vec(), ..far.clone() }] {
            let other = world.send(other).await.unwrap_err();
            assert!(matches!(other, CommandError::IdTaken { for_now: false, .. }), "{other}");
        }
        let unfit = world.send(far.clone()).await.unwrap_err();
        assert_eq!(matches!(unfit, CommandError::UnknownType { .. }), is_claimed, "{unfit}");
        assert_eq!(matches!(unfit, CommandError::UnknownAggregate { .. }), !is_claimed, "{unfit}");
        world.commands.claims().release(&PluginName::new("purses").unwrap());
    }
}

#[tokio::test]
async fn only_so_many_wait_and_what_cannot_be_decided_is_not_accepted() {
    let later = Later::new(QueueOptions { waiting_max: 2, ..options() });
    for id in ["a", "b"] {
        later.accept(command(id, "Add", 1)).await.unwrap();
    }
    let full = later.accept(command("c", "Add", 1)).await.unwrap_err();
    assert!(matches!(full, CommandError::QueueFull { max: 2, .. }), "{full}");
    assert!(later.accept(command("a", "Add", 1)).await.unwrap().repeated, "what is in it is answered");
    let task = later.commands.work(async {});
    while later.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    later.accept(command("c", "Add", 1)).await.unwrap();
    let nobody = Command { aggregate: Category::new("nobody").unwrap(), ..command("d", "Add", 1) };
    let unknown = later.accept(nobody).await.unwrap_err();
    assert!(matches!(unknown, CommandError::UnknownAggregate { .. }), "{unknown}");
    drop(task);
}

#[tokio::test]
async fn a_kind_of_which_as_many_wait_as_may_is_refused_and_no_other() {
    let later = Later::new(QueueOptions { waiting_max: 2, ..options() });
    let claims = later.commands.claims().clone();
    let category = Category::new("order").unwrap();
    let orders = AggregateSetup { category: category.clone(), ..setup("orders", &later.world.code, &never()) };
    claims.claim(orders).unwrap();
    let order = |id: &str| Command { aggregate: category.clone(), ..command(id, "Add", 1) };
    for id in ["a", "b"] {
        later.accept(order(id)).await.unwrap();
    }
    claims.release(&PluginName::new("orders").unwrap());
    let _task = later.commands.work(async {});
    // Before they are read it is not known of which kind they are.
    while matches!(later.accept(command("c", "Add", 1)).await, Err(CommandError::QueueFull { .. })) {
        tokio::task::yield_now().await;
    }
    assert!(matches!(later.settled("c").await, Status::Settled(_)));
    let full = later.accept(order("d")).await.unwrap_err();
    assert!(matches!(&full, CommandError::QueueFull { aggregate, max: 2 } if *aggregate == category), "{full}");
}

#[tokio::test]
async fn kinds_that_nobody_decides_for_do_not_hold_all_places() {
    let backoff = Backoff { initial_ms: 50, max_ms: 1000, jitter: true };
    let later = Later::new(QueueOptions { backoff, ..options() });
    let mut events = Vec::new();
    for number in 0..12 * 130 {
        let (id, category) = (format!("lost-{number}"), format!("lost{}", number / 130));
        let lost = Envelope::new(id, Category::new(category).unwrap(), number.to_string(), "Add".into());
        let event = NewEvent::json(EventType::new("x").unwrap(), "1");
        events.push(lost.seal(event, later.world.store.own_ids()).unwrap());
    }
    while !events.is_empty() {
        let some = events.split_off(events.len().saturating_sub(130));
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(some) };
        later.world.store.append(request).await.unwrap();
    }
    sent_by_plugin(&later, "purse", 1).await;
    let _task = later.commands.work(async {});
    assert!(matches!(later.settled("purse").await, Status::Settled(_)));
}

#[tokio::test]
async fn of_two_that_plugins_send_under_one_id_the_first_is_decided_and_the_other_is_no_failure() {
    let later = Later::new(options());
    let envelope = Envelope::new("same".into(), Category::new("purse").unwrap(), "1".into(), "Add".into());
    for number in 1..=2_u128 {
        let mut event = NewEvent::json(EventType::new("x").unwrap(), number.to_string());
        event.metadata.insert("causation_id".into(), number.to_string());
        let event = NewEvent {
            id: uuid::Uuid::from_u128(number),
            ..envelope.seal(event, later.world.store.own_ids()).unwrap()
        };
        let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
        later.world.store.append(request).await.unwrap();
    }
    assert!(matches!(later.commands.status("same").await.unwrap(), Some(Status::Queued { .. })));
    let _task = later.commands.work(async {});
    while later.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let Some(Status::Settled(settled)) = later.commands.status("same").await.unwrap() else { panic!("no outcome") };
    assert_eq!(settled.version, Version(1));
    assert_eq!((later.world.events("purse-1").len(), later.commands.queue_counts().failed), (1, 0));
}

/// Appends what a plugin sends, under an id that it gives.
async fn sent_by_plugin(later: &Later, id: &str, amount: u128) {
    let envelope = Envelope::new(id.into(), Category::new("purse").unwrap(), "1".into(), "Add".into());
    let event = NewEvent::json(EventType::new("x").unwrap(), amount.to_string());
    let event = envelope.seal(event, later.world.store.own_ids()).unwrap();
    let event = NewEvent { id: uuid::Uuid::from_u128(amount), ..event };
    let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![event]) };
    later.world.store.append(request).await.unwrap();
}

#[tokio::test]
async fn what_a_plugin_sends_is_not_lost_silently_to_a_client() {
    let later = Later::new(options());
    later.world.send(command("mine", "Add", 5)).await.unwrap();
    sent_by_plugin(&later, "mine", 7).await;
    let _task = later.commands.work(async {});
    later.empty().await;
    assert_eq!((later.world.events("purse-1").len(), later.commands.queue_counts().failed), (1, 1));
    let squats = command("$p/5/0", "Add", 1);
    for refused in [later.accept(squats.clone()).await, later.send(squats).await] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("\"$p/5/0\" is the host's own"), "{told}");
    }
    sent_by_plugin(&later, "$p/5/0", 8).await;
    later.empty().await;
    assert!(matches!(later.settled("$p/5/0").await, Status::Settled(_)), "the plugin's own is decided");
}

#[tokio::test]
async fn an_accepted_command_has_its_id_before_it_is_decided_whoever_sent_it() {
    let later = Later::new(options());
    later.accept(command("a", "Add", 1)).await.unwrap();
    sent_by_plugin(&later, "b", 2).await;
    let pinned =
        |version| Command { expected: ExpectedVersion::Exact(Version(version)), ..command("pinned", "Add", 3) };
    later.accept(pinned(2)).await.unwrap();
    assert!(later.accept(pinned(2)).await.unwrap().repeated);
    for other in
        [later.send(pinned(1)).await, later.accept(pinned(1)).await, later.accept(command("pinned", "Add", 3)).await]
    {
        assert!(matches!(other, Err(CommandError::IdTaken { .. })), "{other:?}");
    }
    for id in ["a", "b"] {
        for other in [later.send(command(id, "Add", 9)).await, later.accept(command(id, "Add", 9)).await] {
            assert!(matches!(other, Err(CommandError::IdTaken { .. })), "{other:?}");
        }
    }
    let _task = later.commands.work(async {});
    for id in ["a", "b", "pinned"] {
        let Status::Settled(settled) = later.settled(id).await else { panic!("{id} was given up") };
        assert!(matches!(settled.outcome, Outcome::Accepted(_)));
    }
    let amounts: Vec<_> = later.world.events("purse-1").into_iter().map(|event| event.data).collect();
    assert_eq!(
        (amounts, later.commands.queue_counts().failed),
        (["1", "2", "3"].map(|cents| cents.as_bytes().to_vec()).to_vec(), 0)
    );
}

#[tokio::test]
async fn the_outcome_of_before_what_it_expects_counted_settles_an_accepted_command_and_is_not_told_to_others() {
    let later = Later::new(options());
    let pinned = Command { expected: ExpectedVersion::NoStream, ..command("pinned", "Add", 1) };
    later.accept(pinned.clone()).await.unwrap();
    let (stream, digest) = (StreamName::new("purse-1").unwrap(), record::digest(&command("pinned", "Add", 1)));
    let stamp = record::Stamp { ids: later.world.store.own_ids(), digest: &digest };
    let outcome = record::kept(&pinned, stamp, (&stream, Version(0)), None);
    let request = AppendRequest { by_host: true, ..AppendRequest::unconditional(vec![outcome]) };
    later.world.store.append(request).await.unwrap();
    let _task = later.commands.work(async {});
    later.empty().await;
    assert!(matches!(later.settled("pinned").await, Status::Settled(_)));
    let QueueCounts { failed, .. } = later.commands.queue_counts();
    assert_eq!((failed, later.world.code.decided.load(Ordering::Relaxed)), (0, 0));
    for again in [later.accept(pinned.clone()).await, later.send(pinned).await] {
        assert!(matches!(again, Err(CommandError::IdTaken { .. })), "whether it asks the same is not known: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_not_accepted_with_another_body() {
    let later = Later::new(options());
    let shut = Shut::of(&later.world).await;
    let commands = later.commands.clone();
    let first = tokio::spawn(async move { commands.send(command("a", "Add", 1), Commands::allow_all()).await });
    while later.commands.status("a").await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let other = later.accept(command("a", "Add", 2)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { for_now: true, .. }), "{other}");
    assert!(!later.accept(command("a", "Add", 1)).await.unwrap().repeated, "the same may be sent in both ways");
    drop(shut);
    first.await.unwrap().unwrap();
    let _task = later.commands.work(async {});
    later.empty().await;
    assert_eq!((later.world.events("purse-1").len(), later.commands.queue_counts().failed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_being_decided_for_another_who_sent_it_is_not_given_up_meanwhile() {
    let later = Later::new(options());
    later.accept(command("a", "Add", 1)).await.unwrap();
    let shut = Shut::of(&later.world).await;
    let commands = later.commands.clone();
    let sent = tokio::spawn(async move { commands.send(command("a", "Add", 1), Commands::allow_all()).await });
    while !matches!(later.commands.status("a").await.unwrap(), Some(Status::UnderWay(_))) {
        tokio::task::yield_now().await;
    }
    let (commands, stream) = (later.commands.clone(), StreamName::new("purse-1").unwrap());
    let job = Job::of(&later.world.events("$commands-accepted")[0]).unwrap();
    let given_up = tokio::spawn(async move {
        let late = CommandError::Expired { deadline_ms: 5, progress: Progress::Waiting };
        commands.give_up(&job, &stream, waiting::Why { error: &late, before: None, attempts: 1 }).await
    });
    let stream = StreamName::new("purse-1").unwrap();
    while later.commands.0.lanes.waiting(&stream) == 0 && !given_up.is_finished() {
        tokio::task::yield_now().await;
    }
    drop(shut);
    assert!(!sent.await.unwrap().unwrap().repeated);
    given_up.await.unwrap().unwrap();
    assert!(waiting::find_failure(&*later.world.store, "a").unwrap().is_none());
    assert_eq!((later.world.events("purse-1").len(), later.commands.queue_counts().failed), (1, 0));
}

#[tokio::test]
async fn one_that_was_settled_in_time_is_no_failure_however_late_that_is_found() {
    let later = Later::new(options());
    let timely = Command { deadline_ms: Some(LONG_MS), ..command("timely", "Add", 1) };
    later.accept(timely.clone()).await.unwrap();
    later.world.send(timely).await.unwrap();
    later.clock.advance_us(LONG_MS * 1_000);
    let _task = later.commands.work(async {});
    later.empty().await;
    assert!(matches!(later.settled("timely").await, Status::Settled(_)));
    assert_eq!(later.commands.queue_counts().failed, 0);
}

#[tokio::test]
async fn while_nobody_decides_commands_wait_until_their_deadline() {
    let later = Later::new(options());
    later.accept(command("patient", "Add", 1)).await.unwrap();
    let late = Command { key: "2".into(), deadline_ms: Some(LONG_MS), ..command("late", "Add", 1) };
    later.accept(late).await.unwrap();
    let claims = later.commands.claims().clone();
    claims.release(&PluginName::new("purses").unwrap());
    let _task = later.commands.work(async {});
    while later.commands.queue_counts().retried < 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(later.waiting(), 2);
    later.clock.advance_us(LONG_MS * 1_000);
    let Status::Failed(failure) = later.settled("late").await else { panic!("it has an outcome") };
    assert_eq!(failure.kind, "deadline-passed", "{failure:?}");
    claims.claim(setup("purses", &later.world.code, &never())).unwrap();
    assert!(matches!(later.settled("patient").await, Status::Settled(_)));
}

#[tokio::test]
async fn what_waits_is_known_to_retention_and_its_checkpoint_is_no_snapshot() {
    let later = Later::new(options());
    let first_waiting = || Commands::first_waiting(&*later.world.store).unwrap();
    assert_eq!(first_waiting(), None);
    let first = later.accept(command("a", "Add", 1)).await.unwrap();
    later.accept(command("b", "Add", 1)).await.unwrap();
    assert_eq!(first_waiting(), Some(first.position));
    let task = later.commands.work(async {});
    while first_waiting().is_some() {
        tokio::task::yield_now().await;
    }
    drop(task);
    let queue = StreamName::new("$commands-accepted").unwrap();
    assert!(!later.commands.drop_snapshot(&queue, false).await.unwrap());
    assert!(later.commands.snapshots(String::new(), None, 10).await.unwrap().snapshots.is_empty());
    assert_eq!(first_waiting(), None, "it is still there");
}

#[tokio::test]
async fn a_damaged_checkpoint_decides_nothing_until_it_is_dropped_by_force() {
    let later = Later::new(options());
    later.accept(command("a", "Add", 1)).await.unwrap();
    let task = later.commands.work(async {});
    while Commands::first_waiting(&*later.world.store).unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    drop(task);
    let queue = StreamName::new("$commands-accepted").unwrap();
    later.world.store.damage(snapshot::owner(), queue.as_str());
    let later = Later::over(later.world.restarted(), options());
    let says_how = |error: &dyn std::fmt::Display| error.to_string().contains("drop --force '$commands-accepted'");
    let _task = later.commands.work(async {});
    let refused = later.accept(command("b", "Add", 1)).await.unwrap_err();
    assert!(says_how(&refused), "{refused}");
    let of_retention = Commands::first_waiting(&*later.world.store).unwrap_err();
    assert!(says_how(&of_retention), "nothing is removed meanwhile: {of_retention}");
    let page = later.commands.snapshots(String::new(), None, 10).await.unwrap();
    assert_eq!((page.snapshots.len(), page.damaged.len()), (0, 1));
    assert!(page.damaged[0].stream == queue && says_how(&page.damaged[0].reason), "{page:?}");
    let refused = later.commands.drop_snapshot(&queue, false).await.unwrap_err();
    assert!(says_how(&refused), "{refused}");
    assert!(later.commands.drop_snapshot(&queue, true).await.unwrap());
    assert!(!later.commands.drop_snapshot(&queue, true).await.unwrap(), "what is whole stays");
    later.accept(command("b", "Add", 1)).await.unwrap();
    assert!(matches!(later.settled("b").await, Status::Settled(_)));
    assert_eq!(later.world.code.decided.load(Ordering::Relaxed), 1, "what has an outcome is not decided again");
}

#[tokio::test]
async fn what_the_queue_knows_to_be_settled_is_noted_again_when_that_is_dropped_while_it_works() {
    let later = Later::new(options());
    later.accept(command("a", "Add", 1)).await.unwrap();
    let _task = later.commands.work(async {});
    let version = later.world.events("$commands-accepted")[0].version;
    let is_noted = || queue_checkpoint::read(&*later.world.store).is_ok_and(|noted| noted.is_settled(version));
    while !is_noted() {
        tokio::task::yield_now().await;
    }
    let queue = StreamName::new("$commands-accepted").unwrap();
    later.world.store.damage(snapshot::owner(), queue.as_str());
    assert!(!is_noted());
    assert!(later.commands.drop_snapshot(&queue, true).await.unwrap());
    while !is_noted() {
        tokio::task::yield_now().await;
    }
}

/// Holds that a command which added 1 is known to be settled, though its outcome is removed.
async fn is_gone(later: &Later, id: &str) {
    assert_eq!(later.commands.status(id).await.unwrap(), None);
    for again in [later.accept(command(id, "Add", 1)).await, later.send(command(id, "Add", 1)).await] {
        let Err(CommandError::OutcomeGone { id: gone, .. }) = again else { panic!("{again:?}") };
        assert_eq!(gone, id);
    }
    let other = later.accept(command(id, "Add", 2)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { .. }), "{other}");
}

#[tokio::test]
async fn what_was_settled_is_not_decided_again_when_its_outcome_was_removed() {
    let later = Later::new(options());
    later.accept(Command { key: "2".into(), ..command("waits", "Explode", 1) }).await.unwrap();
    later.accept(command("a", "Add", 1)).await.unwrap();
    let patient = QueueOptions { attempts_max: u32::MAX, ..options() };
    let later = Later::over(later.world, patient);
    let task = later.commands.work(async {});
    assert!(matches!(later.settled("a").await, Status::Settled(_)));
    let version = later.world.events("$commands-accepted")[1].version;
    while !queue_checkpoint::read(&*later.world.store).unwrap().is_settled(version) {
        tokio::task::yield_now().await;
    }
    drop(task);
    let head = later.world.store.head();
    later.world.store.remove(&Category::new("purse").unwrap(), head.next()).unwrap();
    is_gone(&later, "a").await;
    let later = Later::over(later.world.restarted(), options());
    let _task = later.commands.work(async {});
    assert!(matches!(later.settled("waits").await, Status::Failed(_)));
    is_gone(&later, "a").await;
    assert_eq!(later.world.store.head(), head.next(), "only the failure was appended");
}

#[tokio::test]
async fn what_is_too_much_to_keep_is_told_with_its_size() {
    let later = Later::new(options());
    let items = vec![Filter::stream(&StreamName::new("s".repeat(200)).unwrap()); 40];
    let condition = Some(AppendCondition { fail_if_match: Query { items }, after: Position(0) });
    let told = later.accept(Command { condition, ..command("a", "Add", 1) }).await.unwrap_err();
    assert!(matches!(told, CommandError::TooMuchToKeep { bytes } if bytes > 8000), "{told}");
    assert!(told.to_string().contains("condition") && told.to_string().contains("event types"), "{told}");
}
