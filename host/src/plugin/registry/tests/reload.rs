//! Loading anew because an operator says so.

use super::*;
use crate::delivery::generations;
use crate::error::{ErrorClass, with_sources};
use crate::plugin::GenerationRefused;

fn running(fixture: &Fixture) -> RunningInfo {
    fixture.registry().get(&plugin("p")).and_then(|info| info.running).unwrap()
}

async fn reload(fixture: &Fixture) -> Result<(), GenerationRefused> {
    timeout(DEADLINE, fixture.registry().reload(&plugin("p"), false)).await.unwrap()
}

#[tokio::test]
async fn the_same_files_are_loaded_anew_and_nothing_is_handled_twice() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    let last = fixture.append(3).await;
    fixture.until_handled("p", last).await;
    reload(&fixture).await.unwrap();
    assert_eq!(running(&fixture).generation, 2, "it has happened when it is answered");
    assert_eq!(fixture.loads(), ["v1", "v1"]);
    let last = fixture.append(2).await;
    fixture.until_handled("p", last).await;
    assert_eq!(fixture.journal().iter().map(|(_, position)| *position).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    fixture.looks().await;
    assert_eq!(running(&fixture).generation, 2, "once");
}

#[tokio::test]
async fn what_was_copied_just_before_is_what_is_loaded() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    fixture.until_generation("p", 1).await;
    for round in 2..6 {
        fixture.put("p.wasm", &format!("v{round}"));
        reload(&fixture).await.unwrap();
        assert_eq!(running(&fixture).digest, crate::plugin::source::digest_of(format!("v{round}").as_bytes()));
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_the_reason_and_what_ran_goes_on() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    fixture.until_generation("p", 1).await;
    fixture.put("p.wasm", "broken");
    let refused = reload(&fixture).await.unwrap_err();
    let text = with_sources(&refused);
    assert!(text.starts_with("plugin p is not reloaded; what ran before goes on: "), "{text}");
    assert!(text.contains("not WebAssembly"), "{text}");
    assert_eq!(refused.class(), ErrorClass::Conflict);
    let last = fixture.append(1).await;
    fixture.until_handled("p", last).await;
    assert!(fixture.until_problem("p").await.reason.contains("not WebAssembly"));
    fixture.put("p.wasm", "v1");
    reload(&fixture).await.unwrap();
    assert_eq!(fixture.until("p", |_| true).await.problem, None);
    let nobody = fixture.registry().reload(&plugin("nobody"), false).await.unwrap_err();
    assert!(matches!(nobody, GenerationRefused::NotInstalled { .. }), "{nobody}");
}

#[tokio::test]
async fn a_plugin_that_never_ran_is_tried_again() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", "[grants.secrets]\nkey = { file = \"key\", config = true }");
        fixture.put("p/p.wasm", "v1");
    });
    fixture.until_problem("p").await;
    let refused = with_sources(&reload(&fixture).await.unwrap_err());
    assert!(refused.contains("secret key of"), "{refused}");
}

#[tokio::test]
async fn a_halt_ends_a_pause_stays_and_so_does_a_rollback() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1 halt"));
    fixture.append(1).await;
    let halted =
        |info: &PluginInfo| info.running.as_ref().is_some_and(|it| matches!(it.status.state, State::Halted { .. }));
    fixture.until("p", halted).await;
    reload(&fixture).await.unwrap();
    assert_eq!(running(&fixture).generation, 2, "its new instances are asked, and halt again");
    fixture.until("p", halted).await;
    fixture.put("p.wasm", "v2");
    fixture.until_handled("p", Position(1)).await;

    let dispatcher = fixture.registry().dispatcher(&plugin("p")).unwrap();
    dispatcher.pause().await.unwrap();
    reload(&fixture).await.unwrap();
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.status.state == State::Paused)).await;
    dispatcher.resume().await.unwrap();

    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    let before = running(&fixture);
    reload(&fixture).await.unwrap();
    let after = running(&fixture);
    assert_eq!((after.digest, after.generation), (before.digest.clone(), before.generation + 1));
    assert!(generations(&plugin("p"), &*fixture.store).unwrap().instead.is_some());
    // Until that is asked for.
    timeout(DEADLINE, fixture.registry().reload(&plugin("p"), true)).await.unwrap().unwrap();
    assert_ne!(running(&fixture).digest, before.digest);
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().instead, None);
}

#[tokio::test]
async fn what_was_not_built_to_its_end_is_built_anew_when_it_is_asked_for() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", "[delivery]\nrebuild = \"on-change\"");
        fixture.put("p/p.wasm", "v1");
    });
    let last = fixture.append(5).await;
    fixture.until_handled("p", last).await;
    let before = running(&fixture);
    let is_built = |info: &PluginInfo| info.running.as_ref().is_some_and(|it| it.status.rebuild.is_some());
    fixture.put("p/p.wasm", "v2 halt");
    fixture.until("p", is_built).await;
    fixture.registry().cancel_rebuild(&plugin("p")).await.unwrap();
    let instead = generations(&plugin("p"), &*fixture.store).unwrap().instead.unwrap();
    assert!(instead.cancelled && instead.run == before.digest, "{instead:?}");
    reload(&fixture).await.unwrap();
    assert!(!is_built(&fixture.registry().get(&plugin("p")).unwrap()));
    assert_eq!(running(&fixture).digest, before.digest);
    timeout(DEADLINE, fixture.registry().reload(&plugin("p"), true)).await.unwrap().unwrap();
    fixture.until("p", is_built).await;
    assert_eq!(generations(&plugin("p"), &*fixture.store).unwrap().instead, None);
}

#[tokio::test]
async fn who_asks_is_not_told_that_it_happened_when_the_registry_stops_instead() {
    let fixture = Fixture::new(|fixture| fixture.put("p.wasm", "v1"));
    fixture.until_generation("p", 1).await;
    fixture.put("p.wasm", "v2 slow");
    let stop = async {
        wait("it compiles", || fixture.loads().contains(&"v2 slow".to_owned()).then_some(())).await;
        fixture.registry().shutdown().await;
    };
    let (refused, ()) = timeout(DEADLINE, async { tokio::join!(reload(&fixture), stop) }).await.unwrap();
    fixture.loader.release();
    let refused = refused.unwrap_err();
    assert!(matches!(refused, GenerationRefused::NotRunning { .. }), "{refused}");
    let refused = reload(&fixture).await.unwrap_err();
    assert!(matches!(refused, GenerationRefused::NotRunning { .. }), "{refused}");
}
