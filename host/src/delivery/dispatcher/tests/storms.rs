//! Plugins that feed themselves and each other: what multiplies ends.

use super::*;
use crate::delivery::SetAside;

/// A plugin that appends so many of what it listens to, and may append `max` because of one first cause.
fn feeding(name: &str, fan_out: usize, max: u64) -> Setup {
    let handle = move |event: &RecordedEvent, effects: &mut Effects| {
        let appended = effects.append_all(event.position, vec![echo(event); fan_out]);
        appended.map_err(|error| (Verdict::Retry { after_ms: None }, error.to_string()))
    };
    let setup = setup(handle);
    let policy = Policy { causation_events_max: max, ..setup.policy };
    Setup { plugin: PluginName::new(name).unwrap(), subscription: only("Echoed"), policy, ..setup }
}

const fn is_halted(status: &Status) -> bool {
    matches!(status.state, State::Halted { .. })
}

#[tokio::test]
async fn what_multiplies_halts_at_its_limit_names_its_first_cause_and_may_go_on_when_it_is_resumed() {
    for (fan_out, max) in [(2, 100), (1000, 2500)] {
        let store = store();
        append(&store, "Echoed", 0..1).await;
        let first = echoes(&store)[0].id.to_string();
        let dispatcher = start(feeding("p", fan_out, max), &store);
        let status = until(&dispatcher, is_halted).await;
        let State::Halted { reason } = &status.state else { panic!("{status:?}") };
        let raise = format!("in [limits]: causation_events = {}", max * 2);
        assert!(reason.contains(&first) && reason.contains(&raise), "{reason}");
        let emitted = echoes(&store).len() as u64 - 1;
        assert!((1..=max).contains(&emitted), "{emitted} of {max}");
        assert!(echoes(&store)[1..].iter().all(|event| event.metadata["causation_root"] == first));
        assert_eq!(status.set_aside, SetAside::default(), "nothing is lost, and nothing set aside");
        dispatcher.resume().await.unwrap();
        until(&dispatcher, |status| status.counters.halted == 2 && is_halted(status)).await;
        let again = echoes(&store).len() as u64 - 1;
        assert!((emitted + 1..=2 * max).contains(&again), "{again}");
        // What is written down of it outlives the process, and another component goes on.
        dispatcher.stop().await;
        let dispatcher = start(feeding("p", fan_out, max), &store);
        until(&dispatcher, is_halted).await;
        assert_eq!(echoes(&store).len() as u64 - 1, again);
        dispatcher.swap(Setup { component_digest: "mended".into(), ..feeding("p", 0, max) }).await.unwrap();
        until(&dispatcher, |status| status.state == State::Running && status.checkpoint.0 == again + 1).await;
    }
}

#[tokio::test]
async fn plugins_that_multiply_only_together_end_too() {
    let store = store();
    append(&store, "Echoed", 0..1).await;
    let plugins = ["p", "q"].map(|name| start(feeding(name, 1, 60), &store));
    for plugin in &plugins {
        until(plugin, is_halted).await;
    }
    let emitted = echoes(&store).len() - 1;
    assert!((61..=120).contains(&emitted), "{emitted}");
}

#[tokio::test]
async fn first_causes_that_each_lead_to_little_are_no_storm() {
    let store = store();
    append(&store, "N", 0..300).await;
    let setup = Setup { subscription: only("N"), ..feeding("p", 3, 3) };
    let dispatcher = start(setup, &store);
    let status = until(&dispatcher, |status| status.counters.handled == 300).await;
    assert_eq!((status.counters.emitted, status.counters.halted), (900, 0));
}
