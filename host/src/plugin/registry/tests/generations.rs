//! Components that build a state before they run, and the way back. What each version handled is in the journal.

use super::*;
use crate::delivery::generations;
use crate::error::ErrorClass;
use crate::event::{Category, EventType, NewEvent, StreamName};
use crate::plugin::GenerationRefused;
use crate::store::AppendRequest;

const ON_CHANGE: &str = "[delivery]\nrebuild = \"on-change\"\nbatch_events_max = 7";

fn digest(fixture: &Fixture) -> String {
    fixture.registry().get(&plugin("p")).and_then(|info| info.running).unwrap().digest
}

/// How often a version handled a position.
fn handled(fixture: &Fixture, label: &str) -> usize {
    fixture.journal().iter().filter(|(by, _)| by == label).count()
}

#[tokio::test]
async fn a_changed_component_builds_first_when_it_says_so_and_takes_over() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", ON_CHANGE);
        fixture.put("p/p.wasm", "v1");
    });
    let last = fixture.append(50).await;
    fixture.until_handled("p", last).await;
    let before = digest(&fixture);
    fixture.put("p/p.wasm", "v2");
    let running = fixture.until_generation("p", 2).await;
    assert_ne!(running.digest, before);
    assert_eq!((handled(&fixture, "p: v1"), handled(&fixture, "p: v2")), (50, 50));
    let known = generations(&plugin("p"), &*fixture.store).unwrap();
    assert_eq!((known.live, known.previous.unwrap().component, known.component), (1, before.clone(), running.digest));
    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    assert_eq!(digest(&fixture), before);
    let last = fixture.append(1).await;
    fixture.until_handled("p", last).await;
    assert_eq!(handled(&fixture, "p: v1"), 51);
    fixture.looks().await;
    assert_eq!(digest(&fixture), before, "what lies in the directory does not run until it changes");
    fixture.put("p/p.wasm", "v3");
    fixture.until("p", |info| info.running.as_ref().is_some_and(|running| running.digest != before)).await;
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().instead, None);
    let is_component = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "wasm");
    let kept =
        || fs::read_dir(fixture.kept.path()).unwrap().filter(|it| is_component(&it.as_ref().unwrap().path())).count();
    wait("the live one, the one before and the probe are kept", || (kept() == 3).then_some(())).await;
}

/// While the state is built, and however often that is begun, nothing handles an event under words that are not its own.
#[tokio::test]
async fn each_component_runs_under_its_own_manifest_while_the_other_is_built() {
    let manifest = |suffix: &str| format!("{ON_CHANGE}\n[grants]\nappend = [\"X\"]\n[config]\nsuffix = \"{suffix}\"");
    let mut fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", &manifest("+1"));
        fixture.put("p/p.wasm", "v1");
    });
    let last = fixture.append(50).await;
    fixture.until_handled("p", last).await;
    let before = digest(&fixture);
    // It is built under a new manifest, and cannot get through; the process ends meanwhile, and begins again.
    fixture.remove("p/p.wasm");
    fixture.put("p/plugin.toml", &manifest("+2").replace('X', "Y"));
    fixture.put("p/p.wasm", "v2 halt");
    let is_built = |info: &PluginInfo| {
        info.running.as_ref().is_some_and(|it| {
            it.digest == before && it.status.rebuild.as_ref().is_some_and(|it| it.reason.contains("replaces"))
        })
    };
    for _ in 0..2 {
        let running = fixture.until("p", is_built).await.running.unwrap();
        assert!(running.grants.append.is_empty(), "what both grant is left to it");
        let last = fixture.append(5).await;
        fixture.until_handled("p", last).await;
        fixture.restart().await;
    }
    fixture.until("p", is_built).await;
    let installed = fixture.registry().installed(&plugin("p")).unwrap();
    assert_eq!(installed.component_path(), fixture.path("p/p.wasm"), "a candidate is promoted to there");
    fixture.put("p/p.wasm", "v3");
    fixture
        .until("p", |info| info.running.as_ref().is_some_and(|it| it.digest != before && it.status.rebuild.is_none()))
        .await;
    let last = fixture.append(1).await;
    fixture.until_handled("p", last).await;
    assert_eq!((handled(&fixture, "p: v1+1"), handled(&fixture, "p: v3+2")), (60, 61));
    assert_eq!((handled(&fixture, "p: v1+2"), handled(&fixture, "p: v3+1")), (0, 0));
    assert_eq!(fixture.registry().get(&plugin("p")).unwrap().running.unwrap().grants.append, ["Y"]);
}

#[tokio::test]
async fn without_that_it_goes_on_with_the_state_there_is_and_the_component_can_go_back() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    let last = fixture.append(5).await;
    fixture.until_handled("p", last).await;
    let refused = fixture.registry().roll_back(&plugin("p")).await.unwrap_err();
    assert!(matches!(refused, GenerationRefused::Delivery(_)) && refused.to_string().contains("nothing to return to"));
    let before = digest(&fixture);
    fixture.put("p.wasm", "v2");
    fixture.until_generation("p", 2).await;
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().live, 0);
    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    assert_eq!((digest(&fixture), handled(&fixture, "p: v2")), (before, 0));
    let refused = fixture.registry().roll_back(&plugin("q")).await.unwrap_err();
    assert!(matches!(refused, GenerationRefused::NotInstalled { .. }), "{refused}");
    let refused = fixture.registry().cancel_rebuild(&plugin("p")).await.unwrap_err();
    assert!(refused.to_string().contains("not being rebuilt"), "{refused}");
}

#[tokio::test]
async fn a_component_that_names_another_schema_builds_first_and_one_that_names_the_same_does_not() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1 schema=1"));
    let last = fixture.append(5).await;
    fixture.until_handled("p", last).await;
    fixture.put("p.wasm", "v2 schema=1");
    fixture.until_generation("p", 2).await;
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().live, 0);
    fixture.put("p.wasm", "v3 schema=2");
    fixture.until_generation("p", 3).await;
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().live, 1);
    let handled =
        ["v1", "v2", "v3"].map(|version| fixture.journal().iter().filter(|(by, _)| by.contains(version)).count());
    assert_eq!(handled, [5, 0, 5]);
}

#[tokio::test]
async fn a_rebuild_by_command_hands_everything_over_again() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    let last = fixture.append(20).await;
    fixture.until_handled("p", last).await;
    fixture.registry().rebuild(&plugin("p"), None, false).await.unwrap();
    fixture.until("p", |info| info.running.as_ref().is_some_and(|running| running.status.generation == 1)).await;
    assert_eq!(handled(&fixture, "p: v1"), 40);
    fixture.registry().rebuild(&plugin("p"), Some(Position(16)), false).await.unwrap();
    fixture.until("p", |info| info.running.as_ref().is_some_and(|running| running.status.generation == 2)).await;
    assert_eq!(handled(&fixture, "p: v1"), 45);
}

#[tokio::test]
async fn what_builds_its_state_in_place_of_what_is_installed_goes_on_whatever_has_it_begin_again() {
    // It cannot get through what the other has handled.
    let mut fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", "");
        fixture.put("p/p.wasm", "v1 halt");
    });
    let last = fixture.append(5).await;
    let before = fixture.until_generation("p", 1).await.digest;
    fixture.put("p/p.wasm", "v2");
    fixture.until_generation("p", 2).await;
    fixture.until_handled("p", last).await;
    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    fixture.registry().rebuild(&plugin("p"), None, false).await.unwrap();
    let is_built = |info: &PluginInfo| {
        let status = info.running.as_ref().filter(|running| running.digest == before).map(|running| &running.status);
        let rebuild = status.and_then(|status| status.rebuild.as_ref());
        rebuild.is_some_and(|rebuild| rebuild.generation == 1 && matches!(rebuild.state, State::Halted { .. }))
    };
    fixture.until("p", is_built).await;
    fixture.restart().await;
    fixture.until("p", is_built).await;
    fixture.registry().reload(&plugin("p"), false).await.unwrap();
    fixture.until("p", is_built).await;
    let loads = fixture.loads().len();
    fixture.put("p/plugin.toml", "[delivery]\nbatch_events_max = 7");
    // What runs has a manifest of its own and stays; what is installed is looked at under the new one.
    wait("the manifest is not taken", || (fixture.loads().len() > loads).then_some(())).await;
    fixture.until("p", |info| !info.loading && is_built(info)).await;
    // What is installed does not wait for it.
    fixture.registry().reload(&plugin("p"), true).await.unwrap();
    let running = fixture.until("p", |info| info.running.is_some()).await.running.unwrap();
    assert!(running.digest != before && running.status.rebuild.is_none(), "{running:?}");
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().building, None);
}

#[tokio::test]
async fn what_an_operator_has_rebuilt_while_a_version_is_loaded_to_replace_it_goes_on() {
    // It cannot get through what the other has handled.
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1 halt slow"));
    fixture.loader.release();
    let last = fixture.append(5).await;
    let before = fixture.until_generation("p", 1).await.digest;
    fixture.put("p.wasm", "v2");
    fixture.until_generation("p", 2).await;
    fixture.until_handled("p", last).await;
    let (name, registry) = (plugin("p"), fixture.registry());
    registry.roll_back(&name).await.unwrap();
    fixture.loader.hold();
    let loads = || fixture.loads().iter().filter(|text| *text == "v1 halt slow").count();
    let loads_before = loads();
    let is_built = |info: &PluginInfo| {
        let status = info.running.as_ref().filter(|running| running.digest == before).map(|running| &running.status);
        let rebuild = status.and_then(|status| status.rebuild.as_ref());
        rebuild.is_some_and(|rebuild| matches!(rebuild.state, State::Halted { .. }))
    };
    let meanwhile = async {
        wait("it is not loaded anew", || (loads() > loads_before).then_some(())).await;
        registry.rebuild(&name, None, false).await.unwrap();
        fixture.until("p", is_built).await;
        fixture.loader.release();
    };
    let (reloaded, ()) = tokio::join!(registry.reload(&name, false), meanwhile);
    reloaded.unwrap();
    fixture.until("p", is_built).await;
    registry.cancel_rebuild(&name).await.unwrap();
}

#[tokio::test]
async fn what_retention_has_cut_is_rebuilt_only_when_that_is_said() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    let event = || NewEvent {
        stream: Some(StreamName::new("old-1").unwrap()),
        ..NewEvent::json(EventType::new("E").unwrap(), "1")
    };
    let events = (0..4).map(|_| event()).collect();
    let last = fixture.store.append(AppendRequest::unconditional(events)).await.unwrap().last_position();
    fixture.until_handled("p", last).await;
    fixture.store.remove(&Category::new("old").unwrap(), Position(3)).unwrap();
    let refused = fixture.registry().rebuild(&plugin("p"), None, false).await.unwrap_err();
    assert_eq!(refused.class(), ErrorClass::Conflict);
    let said = refused.to_string();
    assert!(said.contains("events before position 3") && said.contains("--force") && said.contains("--from"), "{said}");
    let is_live = |info: &PluginInfo, generation: u32, removed_before: Option<Position>| {
        let status = info.running.as_ref().map(|running| &running.status);
        status.is_some_and(|now| now.generation == generation && now.removed_before == removed_before)
    };
    fixture.registry().rebuild(&plugin("p"), None, true).await.unwrap();
    fixture.until("p", |info| is_live(info, 1, Some(Position(3)))).await;
    assert_eq!(handled(&fixture, "p: v1"), 6);
    // From where all are there it lacks nothing that was asked for.
    fixture.registry().rebuild(&plugin("p"), Some(Position(3)), false).await.unwrap();
    fixture.until("p", |info| is_live(info, 2, None)).await;
}
