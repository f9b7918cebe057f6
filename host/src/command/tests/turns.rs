//! Who is served when: order, places, who joins, and who waits for a claim.

use futures::FutureExt as _;
use futures::future::join_all;

use super::*;
use crate::access::Denied;
use crate::schema::{CommandSchemaFile, CommandSchemas};
use crate::store::{heavy_turn, turn_waits};

fn denied() -> Allow {
    Arc::new(|_: &AppendRequest| Err(Denied::NoKey))
}

/// Holds up what needs a gate, all decisions mostly, until it is dropped.
pub(super) struct Shut {
    open: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shut {
    pub(super) async fn of(world: &World) -> Self {
        Self::gate(Arc::clone(&world.code.gate)).await
    }

    pub(super) async fn gate(gate: Arc<Mutex<()>>) -> Self {
        let (open, opened) = std::sync::mpsc::channel::<()>();
        let (shut, is_shut) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _held = gate.lock();
            shut.send(()).unwrap();
            let _ = opened.recv();
        });
        is_shut.await.unwrap();
        Self { open: Some(open), thread: Some(thread) }
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        drop(self.open.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_of_one_aggregate_are_decided_in_the_order_in_which_they_came() {
    let world = World::new(never());
    let sent = join_all((0..100).map(|step| world.send(command(&step.to_string(), "Add", 1)))).await;
    let versions: Vec<_> = sent.into_iter().map(|settled| settled.unwrap().version.0).collect();
    assert_eq!(versions, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_command_is_judged_by_itself() {
    for (first, second, is_served) in
        [(denied(), Commands::allow_all(), true), (Commands::allow_all(), denied(), false)]
    {
        let world = World::new(never());
        let shut = Shut::of(&world).await;
        let sent = |allow: Allow| {
            let commands = world.commands.clone();
            tokio::spawn(async move { commands.send(command("a", "Add", 1), allow).await })
        };
        let first = sent(first);
        while world.commands.status("a").await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let second = sent(second);
        drop(shut);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.is_ok(), second.is_ok()), (!is_served, is_served), "{first:?}, {second:?}");
        let refused = first.err().or(second.err()).unwrap();
        assert!(matches!(refused, CommandError::Denied(_)), "{refused}");
        assert_eq!(world.events("purse-1").len(), 1);
        let later = world.commands.send(command("a", "Add", 1), denied()).await;
        assert!(matches!(later, Err(CommandError::Denied(_))), "{later:?}");
        assert!(world.send(command("a", "Add", 1)).await.unwrap().repeated);
    }
}

/// Sends a command and waits until it is under way, or was.
async fn under_way(world: &World, command: Command) -> tokio::task::JoinHandle<Result<Settled, CommandError>> {
    let (commands, id) = (world.commands.clone(), command.id.clone());
    let sent = tokio::spawn(async move { commands.send(command, Commands::allow_all()).await });
    // One whose deadline passes before it is seen is not under way any more.
    while !sent.is_finished() && world.commands.status(&id).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_command_waits_no_longer_than_its_own_deadline() {
    let world = World::new(never());
    let shut = Shut::of(&world).await;
    let first = under_way(&world, command("a", "Add", 1)).await;
    let late = world.send(Command { deadline_ms: Some(5), ..command("a", "Add", 1) }).await.unwrap_err();
    assert!(matches!(late, CommandError::Expired { deadline_ms: 5, progress: Progress::Joined }), "{late}");
    assert!(late.to_string().contains("under way for another who sent it; that goes on"), "{late}");
    drop(shut);
    first.await.unwrap().unwrap();
    assert_eq!(world.events("purse-1").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_an_outcome_is_answered_with_it_however_late() {
    let world = World::new(never());
    let first = world.send(command("a", "Add", 1)).await.unwrap();
    let shut = Shut::of(&world).await;
    // Until it is told, the next ones wait for their turn longer than they may.
    let busy = under_way(&world, command("busy", "Add", 1)).await;
    let late = |asked: Command| world.send(Command { deadline_ms: Some(5), ..asked });
    let again = late(command("a", "Add", 1)).await.unwrap();
    assert_eq!(again, Settled { repeated: true, ..first });
    let other = late(command("a", "Add", 2)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { for_now: false, .. }), "{other}");
    let fresh = late(command("b", "Add", 1)).await.unwrap_err();
    assert!(matches!(fresh, CommandError::Expired { progress: Progress::Waiting, .. }), "{fresh}");
    drop(shut);
    busy.await.unwrap().unwrap();
    assert_eq!(world.events("purse-1").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_with_an_accepted_command_is_told_that_it_goes_on() {
    let world = World::new(never());
    world.commands.accept(command("a", "Add", 1), Vec::new()).await.unwrap();
    let shut = Shut::of(&world).await;
    let busy = under_way(&world, command("busy", "Add", 1)).await;
    let late = world.send(Command { deadline_ms: Some(5), ..command("a", "Add", 1) }).await.unwrap_err();
    assert!(matches!(late, CommandError::Expired { progress: Progress::Queued, .. }), "{late}");
    assert!(late.to_string().contains("accepted before; that goes on"), "{late}");
    drop(shut);
    busy.await.unwrap().unwrap();
    assert_eq!(world.events("purse-1").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_command_does_not_share_the_deadline_of_who_was_first() {
    let world = World::new(never());
    let shut = Shut::of(&world).await;
    let busy = under_way(&world, command("busy", "Add", 1)).await;
    let first = under_way(&world, Command { deadline_ms: Some(1_000), ..command("a", "Add", 1) }).await;
    let mut second = Box::pin(world.send(command("a", "Add", 1)));
    assert!((&mut second).now_or_never().is_none(), "it waits for the first");
    first.await.unwrap().unwrap_err();
    drop(shut);
    assert!(!second.await.unwrap().repeated);
    busy.await.unwrap().unwrap();
    assert_eq!(world.events("purse-1").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_expects_something_else_does_not_join_and_has_the_id_when_nothing_came_of_the_first() {
    let world = World::new(never());
    let shut = Shut::of(&world).await;
    let busy = under_way(&world, command("busy", "Add", 1)).await;
    let off = Command { expected: ExpectedVersion::Exact(Version(9)), ..command("a", "Add", 1) };
    let first = under_way(&world, off).await;
    let other = world.send(command("a", "Add", 1)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { for_now: true, .. }), "{other}");
    drop(shut);
    first.await.unwrap().unwrap_err();
    assert!(!world.send(command("a", "Add", 1)).await.unwrap().repeated);
    busy.await.unwrap().unwrap();
    assert_eq!(world.events("purse-1").len(), 2);
}

#[tokio::test]
async fn what_is_refused_before_it_is_decided_or_for_who_sent_it_leaves_its_id_free() {
    let world = World::new(never());
    let invalid = Command { command_type: String::new(), ..command("a", "Add", 1) };
    assert!(matches!(world.send(invalid).await, Err(CommandError::Invalid(_))));
    let other = Command { key: "2".into(), ..command("a", "Add", 9) };
    assert!(matches!(world.commands.send(other, denied()).await, Err(CommandError::Denied(_))));
    assert!(matches!(world.send(command("a", "Trap", 1)).await, Err(CommandError::Faulted { .. })));
    assert!(!world.send(command("a", "Add", 1)).await.unwrap().repeated);
}

#[tokio::test]
async fn an_instance_that_decided_what_makes_no_sense_is_not_used_again() {
    let world = World::new(never());
    for (made, what) in (1..).zip(["Steal", "Flood", "Forge", "Trap"]) {
        world.send(command(&format!("{what} before"), "Add", 1)).await.unwrap();
        assert_eq!(world.code.made.load(Ordering::Relaxed), made, "before {what}");
        world.send(command(what, what, 1)).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_that_is_slow_leaves_room_for_others() {
    let world = World::new(never());
    let quick = Arc::new(Purses { schema: 1, ..Purses::default() });
    let category = Category::new("box").unwrap();
    let boxes = AggregateSetup { category: category.clone(), ..setup("boxes", &quick, &world.policy) };
    world.commands.claims().claim(boxes).unwrap();
    let shut = Shut::of(&world).await;
    let slow: Vec<_> = (0..600_u64)
        .map(|number| {
            let commands = world.commands.clone();
            let slow = Command { key: number.to_string(), ..command(&number.to_string(), "Add", 1) };
            tokio::spawn(async move { commands.send(slow, Commands::allow_all()).await })
        })
        .collect();
    while slow.iter().filter(|sent| sent.is_finished()).count() < 88 {
        tokio::task::yield_now().await;
    }
    let busy = world.send(command("more", "Add", 1)).await.unwrap_err();
    assert!(busy.to_string().starts_with("512 commands to purse are under way"), "{busy}");
    world.send(Command { aggregate: category, ..command("box", "Add", 1) }).await.unwrap();
    assert!(world.commands.idle().now_or_never().is_none());
    drop(shut);
    let refused = join_all(slow).await.into_iter().filter(|sent| sent.as_ref().unwrap().is_err()).count();
    assert_eq!(refused, 88);
    world.commands.idle().await;
}

#[tokio::test]
async fn a_claim_that_was_refused_is_heard_of_when_its_holder_goes() {
    let world = World::new(never());
    let (claims, category) = (world.commands.claims(), Category::new("purse").unwrap());
    let mut free = Box::pin(claims.free(&category));
    assert!((&mut free).now_or_never().is_none());
    claims.claim(setup("purses", &world.code, &world.policy)).unwrap();
    assert!((&mut free).now_or_never().is_none());
    claims.release(&PluginName::new("purses").unwrap());
    free.await;
    claims.claim(setup("others", &world.code, &world.policy)).unwrap();
}

struct Agrees;

impl Validate for Agrees {
    fn validate(&self, _: &Subject<'_>) -> Result<Vec<FieldFault>, Faulted> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn who_waits_for_the_turn_of_what_takes_much_to_check_keeps_nobody_from_a_validator() {
    let world = World::new(never());
    let checks = &world.commands.0.checks;
    let [origin, aggregate, command_type] = ["purse.Add.json", "purse", "Add"].map(str::to_owned);
    let text = r##"{"items":{"$ref":"#"},"maxItems":1}"##.to_owned();
    let schemas = CommandSchemas::read(vec![CommandSchemaFile { origin, aggregate, command_type, text }]).unwrap();
    checks.set_schemas(Ok(schemas));
    let validator = Validator { name: "a".into(), commands: Arc::new([Pattern::all()]), code: Arc::new(Agrees) };
    checks.set_validators(Ok(vec![validator]));
    let turn = heavy_turn().await;
    let places = std::thread::available_parallelism().unwrap().get();
    let heavy: Vec<_> = (0..places)
        .map(|number| {
            let commands = world.commands.clone();
            let data = format!("{}1,1{}", "[".repeat(50), "]".repeat(50)).into_bytes();
            let key = format!("heavy{number}");
            let heavy = Command { key: key.clone(), data, ..command(&key, "Add", 1) };
            tokio::spawn(async move { commands.send(heavy, Commands::allow_all()).await })
        })
        .collect();
    turn_waits::until(places).await;
    let light = tokio::spawn({
        let commands = world.commands.clone();
        async move { commands.send(command("light", "Add", 1), Commands::allow_all()).await }
    });
    tokio::time::timeout(std::time::Duration::from_secs(60), light).await.unwrap().unwrap().unwrap();
    assert!(heavy.iter().all(|heavy| !heavy.is_finished()));
    drop(turn);
    for refused in join_all(heavy).await {
        assert!(matches!(refused.unwrap(), Err(CommandError::Refused { .. })));
    }
}
