//! How two versions are compared.

use super::*;

#[test]
fn a_version_beside_itself_is_clean() {
    let world = World::of("A B:s-1 A Bad:s-1 C:s-1 A");
    let version = || {
        setup(|event, effects| {
            count(event, effects)?;
            effects.append(event.position, new_event("Seen")).unwrap();
            if event.event_type.as_str() == "Bad" { Err(refused(Verdict::Reject)) } else { Ok(()) }
        })
    };
    let report = world.shadow(version(), Setup { component_digest: "other".into(), ..version() });
    assert!(report.clean, "{report:?}");
    assert_eq!((report.events, &*report.live_digest, &*report.candidate_digest), (6, "digest", "other"));
    assert_eq!((report.live_cost.events, report.candidate_cost.events), (4, 4), "one failed, one stood behind");
}

#[test]
fn outcomes_emissions_and_state_are_compared() {
    let world = World::of("A B A Odd A");
    let live = setup(|event, effects| {
        count(event, effects)?;
        effects.append(event.position, new_event("Seen")).unwrap();
        effects.append(event.position, new_event("Told")).unwrap();
        if event.event_type.as_str() == "Odd" { Err(refused(Verdict::Reject)) } else { Ok(()) }
    });
    let candidate = setup(|event, effects| {
        add(effects, event.event_type.as_str(), if event.position == Position(5) { 2 } else { 1 })?;
        let swapped = if event.event_type.as_str() == "B" { ["Told", "Seen"] } else { ["Seen", "Told"] };
        for name in swapped {
            effects.append(event.position, new_event(name)).unwrap();
        }
        if event.position == Position(3) {
            effects.append(event.position, new_event("More")).unwrap();
        }
        if event.event_type.as_str() == "Odd" { Err(trapped()) } else { Ok(()) }
    });
    let report = world.shadow(live, candidate);
    assert!(!report.clean);
    assert_eq!(report.outcomes.count, 1);
    let ended = &report.outcomes.first[0];
    assert_eq!((ended.position, ended.live.kind.as_deref()), (Position(4), Some("reject")));
    assert_eq!(ended.candidate.kind.as_deref(), Some("trap"));
    let emissions: Vec<_> =
        report.emissions.first.iter().map(|it| (it.position.0, it.index, it.live.is_some())).collect();
    assert_eq!(emissions, [(2, 0, true), (2, 1, true), (3, 2, false)]);
    assert_eq!(report.emissions.first[2].candidate.as_ref().unwrap().event_type, "More");
    let state: Vec<_> =
        report.state.first.iter().map(|it| (&*it.key, it.live.as_deref(), it.rehearsed.as_deref())).collect();
    assert_eq!(state, [("A", Some("3"), Some("4"))]);
}

#[test]
fn every_part_of_an_emission_counts() {
    let world = World::of("A");
    let version = |change: fn(&mut NewEvent)| {
        setup(move |event, effects| {
            let mut appended = new_event("Seen");
            change(&mut appended);
            effects.append(event.position, appended).unwrap();
            Ok(())
        })
    };
    let changes: [fn(&mut NewEvent); 6] = [
        |event| event.stream = Some(StreamName::new("s-1").unwrap()),
        |event| event.data = b"{\"n\":1}".into(),
        |event| event.tags = vec![crate::event::Tag::new("a:b").unwrap()],
        |event| drop(event.metadata.insert("actor".into(), "me".into())),
        |event| event.schema_version = 2,
        |event| event.content_type = Some("text/plain".into()),
    ];
    for change in changes {
        assert_eq!(world.shadow(version(|_| ()), version(change)).emissions.count, 1);
    }
    assert!(world.shadow(version(|_| ()), version(|event| event.id = uuid::Uuid::max())).clean, "ids are the host's");
}

#[test]
fn a_candidate_that_listens_to_less_or_stops_shows_so() {
    let world = World::of("A B A");
    let only_a = || {
        let mut version = setup(|_, _| Ok(()));
        version.subscription.filter.types = types(&["A"]);
        version
    };
    let report = world.shadow(setup(|_, _| Ok(())), only_a());
    assert_eq!((report.events, report.outcomes.count), (3, 1));
    assert_eq!(report.outcomes.first[0].candidate.outcome, "not_subscribed");
    let report = world.shadow(only_a(), setup(|_, _| Err(refused(Verdict::Stop))));
    let ended: Vec<_> = report.outcomes.first.iter().map(|it| (it.position.0, &*it.candidate.outcome)).collect();
    assert_eq!(ended, [(1, "stopped"), (2, "not_reached"), (3, "not_reached")]);
}

#[test]
fn it_goes_to_where_live_delivery_is_and_says_what_it_leaves_out() {
    let world = World::of("A A A A A A");
    // An idle partition has written nothing down since.
    world.commit(1, 2, &[], &[]);
    let live = |checkpoints: [u64; 2]| {
        let partition = |checkpoint| PartitionStatus { checkpoint: Position(checkpoint), ..PartitionStatus::default() };
        let partitions = checkpoints.map(partition).to_vec();
        let checkpoint = partitions.iter().map(|partition| partition.checkpoint).min().unwrap();
        Live { status: Status { checkpoint, partitions, ..Status::default() }, ..running(setup(count)) }
    };
    let shadowed = |live, asked| {
        let report = world.unchanged(|stage| shadow(stage, live, setup(count), asked, &mut on).unwrap());
        assert!(report.clean, "{report:?}");
        (report.from.0, report.to.0, report.events, report.ends_before)
    };
    assert_eq!(shadowed(live([5, 5]), Asked::default()), (1, 5, 5, None));
    assert_eq!(shadowed(live([6, 4]), Asked::default()), (1, 4, 4, Some(Position(6))), "one partition is behind");
    assert_eq!(shadowed(live([5, 5]), range(1, 3)), (1, 3, 3, Some(Position(5))));
    assert_eq!(shadowed(live([5, 5]), range(2, 6)), (2, 6, 5, None));
    assert_eq!(shadowed(running(setup(count)), Asked::default()), (1, 2, 2, None), "what is stored is settled");
}
