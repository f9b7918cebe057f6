//! Commands that are accepted first and decided later.

use super::*;
use crate::delivery::{Backoff, Envelope};

/// A queue with short waits over a store in memory.
struct Later {
    world: World,
    clock: Arc<ManualClock>,
    commands: Commands,
}

fn options() -> QueueOptions {
    QueueOptions { waiting_max: 1000, attempts_max: 3, backoff: Backoff { initial_ms: 1, max_ms: 2, jitter: false } }
}

impl Later {
    fn new(options: QueueOptions) -> Self {
        let world = World::new(never());
        Self::over(world, options)
    }

    fn over(world: World, options: QueueOptions) -> Self {
        let clock = Arc::new(ManualClock::at(3_000_000));
        let (log, claims) = (AsyncStore::new(world.store.clone()), world.commands.claims().clone());
        let commands = Commands::queueing(log, claims, clock.clone(), Arc::default(), options);
        Self { world, clock, commands }
    }

    async fn accept(&self, command: Command) -> Result<Accepted, CommandError> {
        self.commands.accept(command, Vec::new()).await
    }

    /// What a command has come to for good.
    async fn settled(&self, id: &str) -> Status {
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
    assert!(later.accept(command("a5", "Add", 5)).await.unwrap().repeated, "its outcome is known");
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
    assert_eq!(kinds, ["trap", "unavailable", "conflict", "denied"]);
    assert_eq!(later.world.events("purse-1").len(), 1);
    // Counted after it is in the log.
    while later.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let QueueCounts { accepted, settled, failed, retried } = later.commands.queue_counts();
    assert_eq!((accepted, settled, failed, retried), (5, 1, 4, 2));
}

#[tokio::test]
async fn only_so_many_wait_and_what_cannot_be_decided_is_not_accepted() {
    let later = Later::new(QueueOptions { waiting_max: 2, ..options() });
    for id in ["a", "b"] {
        later.accept(command(id, "Add", 1)).await.unwrap();
    }
    let full = later.accept(command("c", "Add", 1)).await.unwrap_err();
    assert!(matches!(full, CommandError::QueueFull { max: 2 }), "{full}");
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
async fn of_two_that_plugins_send_under_one_id_the_first_is_decided_and_the_other_is_no_failure() {
    let later = Later::new(options());
    let envelope = Envelope::new("same".into(), Category::new("purse").unwrap(), "1".into(), "Add".into());
    for number in 1..=2_u128 {
        let mut event = NewEvent::json(EventType::new("x").unwrap(), number.to_string());
        event.metadata.insert("causation_id".into(), number.to_string());
        let event = NewEvent { id: uuid::Uuid::from_u128(number), ..envelope.seal(event).unwrap() };
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
