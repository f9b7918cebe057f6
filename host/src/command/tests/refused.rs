//! What is refused, by whom, and what that leaves behind.

use super::history::instead;
use super::*;
use crate::command::decision::Proposed;
use crate::command::shard::Source;

#[tokio::test]
async fn a_pinned_version_and_a_condition_are_held() {
    let world = World::new(never());
    let pinned = |id, version| Command { expected: ExpectedVersion::Exact(Version(version)), ..command(id, "Add", 1) };
    world.send(pinned("a", 0)).await.unwrap();
    let error = world.send(pinned("b", 0)).await.unwrap_err();
    assert!(
        matches!(error, CommandError::Append(AppendError::WrongExpectedVersion { actual: Version(1), .. })),
        "{error}"
    );
    world.send(pinned("b", 1)).await.unwrap();
    let filter = Filter { types: vec![Pattern::new("Added").unwrap()], ..Filter::default() };
    let condition = |after| {
        let fail_if_match = Query::from(filter.clone());
        Some(AppendCondition { fail_if_match, after: Position(after) })
    };
    let error = world.send(Command { condition: condition(1), ..command("c", "Add", 1) }).await.unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::ConditionFailed { .. })), "{error}");
    world.send(Command { condition: condition(2), ..command("c", "Add", 1) }).await.unwrap();
    assert!(world.send(pinned("a", 0)).await.unwrap().repeated, "it has its outcome, though the stream has moved");
    for other in [pinned("a", 3), command("a", "Add", 1), Command { condition: condition(9), ..command("c", "Add", 1) }]
    {
        let error = world.send(other).await.unwrap_err();
        assert!(matches!(error, CommandError::IdTaken { for_now: false, .. }), "{error}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_leaves_nothing_behind_and_the_next_command_is_decided() {
    let world = World::new(never());
    world.send(command("a", "Add", 1)).await.unwrap();
    for (id, what, fault) in [
        ("trap", "Trap", "trap"),
        ("steal", "Steal", "denied"),
        ("flood", "Flood", "bad_reply"),
        ("forge", "Forge", "bad_reply"),
    ] {
        for _ in 0..2 {
            let error = world.send(command(id, what, 1)).await.unwrap_err();
            assert_eq!(error.fault(), Some((fault, Stage::Decide)), "{error}");
        }
        assert_eq!(world.commands.status(id).await.unwrap(), None, "{what}");
    }
    assert_eq!(world.store.head(), Position(1));
    assert_eq!(world.send(command("b", "Take", 1)).await.unwrap().version, Version(2));
    world.append("Melted", "1").await;
    let error = world.send(command("c", "Add", 1)).await.unwrap_err();
    assert!(matches!(&error, CommandError::Misfit { version: Version(3), .. }), "{error}");
    assert!(error.to_string().contains("version 3 of stream purse-1: what is Melted?"), "{error}");
    let denied: Allow = Arc::new(|_: &AppendRequest| Err(crate::access::Denied::NoKey));
    let other = Command { key: "2".into(), ..command("d", "Add", 1) };
    let error = world.commands.send(other.clone(), denied).await.unwrap_err();
    assert!(matches!(error, CommandError::Denied(_)) && world.events("purse-2").is_empty(), "{error}");
    world.send(other).await.unwrap();
}

#[tokio::test]
async fn who_decides_on_an_event_that_it_may_not_append_is_told_what_to_mend() {
    let world = World::new(never());
    let patterns = |texts: [&str; 2]| texts.map(|text| Pattern::new(text).unwrap()).into();
    for (granted, cure) in [
        (["Added", "Stol*"], "its manifest grants that: name \"Stolen\" in its `describe`"),
        (["Added", "*Lost"], "in [grants]: append = ['Added', '*Lost', 'Stolen'] (and name it in `describe`"),
    ] {
        let append = Permit { allowed: patterns(["Added", "Taken"]), granted: patterns(granted) };
        let thief = instead(&world, |setup| AggregateSetup { append, ..setup });
        let told = thief.send(command("steal", "Steal", 1)).await.unwrap_err().to_string();
        assert!(told.starts_with("plugin purses may not append \"Stolen\"; ") && told.contains(cure), "{told}");
    }
}

#[tokio::test]
async fn malformed_commands_are_refused() {
    let world = World::new(never());
    let long = "x".repeat(300);
    for (bad, what) in [
        (Command { id: String::new(), ..command("a", "Add", 1) }, "command id is empty"),
        (Command { id: long.clone(), ..command("a", "Add", 1) }, "command id has 300 bytes"),
        (Command { command_type: String::new(), ..command("a", "Add", 1) }, "command type is empty"),
        (Command { key: String::new(), ..command("a", "Add", 1) }, "aggregate id is empty"),
        (Command { key: "*".into(), ..command("a", "Add", 1) }, "stream name"),
        (Command { data: vec![b'1'; (1 << 20) + 1], ..command("a", "Add", 1) }, "1048577 bytes"),
        (Command { metadata: BTreeMap::from([("$x".into(), "y".into())]), ..command("a", "Add", 1) }, "\"$x\""),
        (
            Command {
                metadata: (0..61).map(|key| (key.to_string(), String::new())).collect(),
                ..command("a", "Add", 1)
            },
            "61 metadata",
        ),
    ] {
        let error = world.send(bad).await.unwrap_err();
        assert!(matches!(error, CommandError::Invalid(_)) && error.to_string().contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_costs_nothing_of_the_aggregate() {
    let world = World::new(never());
    for (id, version, holds) in [("a", 0, true), ("b", 0, false), ("c", 9, false), ("d", 1, true)] {
        let pinned = Command { expected: ExpectedVersion::Exact(Version(version)), ..command(id, "Add", 1) };
        assert_eq!(world.send(pinned).await.is_ok(), holds, "{id}");
    }
    assert_eq!(world.code.made.load(Ordering::Relaxed), 1, "it stays in memory");
}

#[tokio::test]
async fn metadata_of_a_command_counts_on_each_event_before_it_is_there() {
    let world = World::new(never());
    let metadata = |entries: usize| (0..entries).map(|key| (key.to_string(), "x".repeat(4096))).collect();
    let sent = |id: &str, what: &str, amount, entries| {
        world.send(Command { metadata: metadata(entries), ..command(id, what, amount) })
    };
    let error = sent("a", "Many", 1000, 60).await.unwrap_err();
    assert!(
        matches!(error, CommandError::Invalid(InvalidCommand::TooMuchForEvents { events: 1000, bytes }) if bytes > 200 << 20),
        "{error}"
    );
    let error = sent("b", "Label", 10, 60).await.unwrap_err();
    assert!(matches!(error, CommandError::Invalid(InvalidCommand::TooManyForEvent { index: 0, count: 74 })), "{error}");
    let error = sent("c", "Label", 61, 0).await.unwrap_err();
    assert!(matches!(&error, CommandError::Faulted { .. }) && error.to_string().contains("65 metadata"), "{error}");
    assert!(world.events("purse-1").is_empty());
    for (id, what, amount, entries) in [("a", "Many", 10, 60), ("b", "Label", 10, 50), ("c", "Label", 60, 0)] {
        sent(id, what, amount, entries).await.unwrap();
    }
}

#[tokio::test]
async fn events_that_no_append_takes_together_are_the_fault_of_who_decided_on_them() {
    let world = World::new(never());
    let (setup, stream) = (setup("purses", &world.code, &world.policy), StreamName::new("purse-1").unwrap());
    let source = Source { setup: &setup, store: &*world.store, stream: &stream, key: "1", awaited: None };
    let error = Proposed::Events(Vec::new()).refused(&source, AppendError::TooMuchToCheck { count: 3 });
    assert_eq!(error.fault(), Some(("bad_reply", Stage::Decide)), "{error}");
    assert!(error.to_string().contains("the first 3 events of its decision"), "{error}");
}
