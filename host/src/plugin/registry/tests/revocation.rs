//! What the manifest that was read last does not grant, nothing does that runs: whatever is refused, built or returned
//! to. And secrets as their files change.

use std::time::Duration;

use super::*;
use crate::projection::Query;

const GRANTED: &str = "[subscribe]\ntypes = [\"E\"]\n[grants]\nappend = [\"StockReserved\"]";
const NARROWED: &str = "[subscribe]\ntypes = [\"E\"]";

/// Appends an event, and waits until it is handled by somebody who may not emit.
async fn is_denied(fixture: &Fixture) {
    let position = fixture.append(1).await;
    fixture.until_handled("p", position).await;
    assert_eq!(fixture.store.head(), position, "nothing was emitted");
    assert_eq!(handled_by(fixture, "denied").last(), Some(&position.0));
}

fn reason(info: &PluginInfo) -> &str {
    info.problem.as_ref().map(|problem| problem.reason.as_str()).unwrap_or_default()
}

/// What a query says.
async fn answer(fixture: &Fixture) -> String {
    let query = Query { name: "config".into(), wait: Duration::from_secs(30), ..Query::default() };
    let answered = fixture.registry().query(&plugin("p"), &query).await.unwrap();
    String::from_utf8(answered.answer.unwrap().body).unwrap()
}

#[tokio::test]
async fn what_is_returned_to_has_no_grant_that_was_taken_back_meanwhile() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", GRANTED);
        fixture.put("p/p.wasm", "v1 emits");
    });
    let first = fixture.append(1).await;
    wait("it emits", || (fixture.store.head() == first.next()).then_some(())).await;
    fixture.put("p/p.wasm", "v2 emits asks");
    fixture.until_generation("p", 2).await;
    // The version that is installed is refused under it; the one before would not be.
    fixture.put("p/plugin.toml", NARROWED);
    fixture.until_problem("p").await;
    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    is_denied(&fixture).await;
    assert_eq!(handled_by(&fixture, "p: v1 emits").len(), 2);
}

#[tokio::test]
async fn a_grant_is_taken_back_by_a_manifest_whose_component_is_not_there() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", GRANTED);
        fixture.put("p/p.wasm", "v1 emits");
    });
    fixture.until_generation("p", 1).await;
    fixture.remove("p/p.wasm");
    let problem = fixture.until_problem("p").await.reason;
    assert!(problem.contains("no .wasm file"), "{problem}");
    fixture.put("p/plugin.toml", NARROWED);
    fixture.until("p", |info| info.running.as_ref().is_some_and(|running| running.grants.append.is_empty())).await;
    is_denied(&fixture).await;
    assert!(reason(&fixture.until("p", |info| info.problem.is_some()).await).contains("no .wasm file"));
    fixture.put("p/plugin.toml", "[grants]\nread = [\"Other\"]");
    // It is stopped before it is told why.
    let is_told = |info: &PluginInfo| reason(info).contains("what ran before is stopped: it may not read");
    fixture.until("p", |info| info.running.is_none() && is_told(info)).await;
}

#[tokio::test]
async fn while_a_manifest_cannot_be_read_what_runs_keeps_its_grants_and_that_is_told() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", GRANTED);
        fixture.put("p/p.wasm", "v1 emits");
    });
    fixture.until_generation("p", 1).await;
    // The grant is taken back, and the file broken, in one edit.
    fixture.put("p/plugin.toml", &format!("{NARROWED}\ntipes = []"));
    let problem = fixture.until_problem("p").await.reason;
    assert!(problem.contains("tipes") && problem.contains("keeps all that it was granted before"), "{problem}");
    let first = fixture.append(1).await;
    wait("it emits still", || (fixture.store.head() == first.next()).then_some(())).await;
    fixture.put("p/plugin.toml", NARROWED);
    fixture.until("p", |info| info.running.as_ref().is_some_and(|running| running.grants.append.is_empty())).await;
    // What was taken back stays so, whatever becomes of the file.
    fixture.put("p/plugin.toml", "[subscribe");
    fixture.until("p", |info| reason(info).contains("keeps all that")).await;
    is_denied(&fixture).await;
}

#[tokio::test]
async fn queries_lose_what_they_may_not_read_any_more() {
    let manifest = |granted: bool| format!("[grants]\nconfig = {granted}\n[config]\nkey = \"told\"");
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", &manifest(true));
        fixture.put("p/p.wasm", "v1 answers");
    });
    fixture.until_generation("p", 1).await;
    assert_eq!(answer(&fixture).await, "told");
    fixture.remove("p/p.wasm");
    fixture.put("p/plugin.toml", &manifest(false));
    fixture.until_problem("p").await;
    assert_eq!(answer(&fixture).await, "");
}

#[tokio::test]
async fn what_becomes_live_while_something_else_is_compiled_stays_so_when_that_is_refused() {
    let manifest = |component: &str, grants: &str| {
        format!("component = \"{component}.wasm\"\n{grants}\n[delivery]\nrebuild = \"on-change\"")
    };
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/one.wasm", "v1 emits");
        fixture.put("p/two.wasm", "v2 emits late");
        fixture.put("p/three.wasm", "v3 slow broken");
        fixture.put("p/plugin.toml", &manifest("one", GRANTED));
    });
    let first = fixture.append(1).await;
    wait("it emits", || (fixture.store.head() == first.next()).then_some(())).await;
    fixture.put("p/plugin.toml", &manifest("two", GRANTED));
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.status.rebuild.is_some())).await;
    // Something else is compiled, and refused when what was built is live.
    fixture.put("p/plugin.toml", &manifest("three", GRANTED));
    fixture.until("p", |info| info.loading).await;
    wait("it compiles", || fixture.loads().contains(&"v3 slow broken".to_owned()).then_some(())).await;
    fixture.loader.open();
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.status.generation == 1)).await;
    fixture.loader.release();
    fixture.until_problem("p").await;
    fixture.put("p/plugin.toml", &manifest("three", NARROWED));
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.grants.append.is_empty())).await;
    is_denied(&fixture).await;
    let by = |label: &str| handled_by(&fixture, label).len();
    assert_eq!((by("p: v1 emits"), by("p: v2 emits late")), (1, 2), "the state is that of the second");
}

#[tokio::test]
async fn what_is_halted_stays_so_when_it_loses_a_grant() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", GRANTED);
        fixture.put("p/p.wasm", "v1 asks halt");
    });
    fixture.append(1).await;
    let halted = |info: &PluginInfo| {
        info.running.as_ref().is_some_and(|running| matches!(running.status.state, State::Halted { .. }))
    };
    fixture.until("p", halted).await;
    fixture.put("p/plugin.toml", NARROWED);
    let info = fixture.until("p", |info| info.problem.is_some()).await;
    let running = info.running.clone().unwrap();
    assert!(halted(&info) && running.grants.append.is_empty(), "{info:?}");
    assert_eq!(running.status.counters.answers.stop, 1, "it was not tried again");
}

#[tokio::test]
async fn what_may_not_go_on_while_another_one_is_built_says_why_it_stands() {
    let manifest = |component: &str, listens: &str| {
        format!(
            "component = \"{component}.wasm\"\n[subscribe]\ntypes = [\"{listens}\"]\n[grants]\nread = [\"{listens}\"]\n\
             [delivery]\nrebuild = \"on-change\""
        )
    };
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/one.wasm", "v1");
        fixture.put("p/two.wasm", "v2");
        fixture.put("p/plugin.toml", &manifest("one", "E"));
    });
    let last = fixture.append(1).await;
    fixture.until_handled("p", last).await;
    // What is installed would build its state first; what ran may not read what it listens to.
    fixture.put("p/plugin.toml", &manifest("two", "F"));
    // It is stopped before what is installed is looked at, which may have to wait.
    let is_told = |info: &PluginInfo| reason(info).contains("in [grants]: read = ['E']");
    fixture.until("p", |info| info.running.is_none() && !info.loading && is_told(info)).await;
}

#[tokio::test]
async fn a_secret_is_taken_up_when_its_file_changes() {
    let manifest = "[grants.secrets]\nsuffix = { file = \"secret\", config = true }";
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", manifest);
        fixture.put("p/p.wasm", "v1");
    });
    let problem = fixture.until_problem("p").await.reason;
    assert!(problem.contains("secret suffix of"), "{problem}");
    fixture.put("p/secret", "+1");
    fixture.until_generation("p", 1).await;
    let first = fixture.append(1).await;
    fixture.until_handled("p", first).await;
    fixture.put("p/secret", "+2");
    fixture.until_generation("p", 2).await;
    let second = fixture.append(1).await;
    fixture.until_handled("p", second).await;
    // One that is gone is a problem; what runs goes on with what it has.
    fixture.remove("p/secret");
    fixture.until_problem("p").await;
    let third = fixture.append(1).await;
    fixture.until_handled("p", third).await;
    fixture.put("p/secret", "+2");
    fixture.until("p", |info| info.problem.is_none()).await;
    let by = |label: &str| handled_by(&fixture, label);
    assert_eq!((by("p: v1+1"), by("p: v1+2")), (vec![1], vec![2, 3]));
    assert_eq!(fixture.loads(), ["v1", "v1"], "the first was refused for want of the secret; then it is loaded once");
}

/// A manifest of a folder with several components.
fn of(component: &str, grants: &str) -> String {
    format!("component = \"{component}.wasm\"\n{grants}\n")
}

#[tokio::test]
async fn what_is_built_loses_what_only_it_was_granted() {
    let of = |component: &str, grants: &str| of(component, grants) + "[delivery]\nrebuild = \"on-change\"";
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/one.wasm", "v1");
        fixture.put("p/two.wasm", "v2 emits asks late");
        fixture.put("p/plugin.toml", &of("one", NARROWED));
    });
    let first = fixture.append(1).await;
    fixture.until_handled("p", first).await;
    fixture.put("p/plugin.toml", &of("two", GRANTED));
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.status.rebuild.is_some())).await;
    // What is installed is refused under it; what is built of it goes on, with less.
    fixture.put("p/plugin.toml", &of("two", NARROWED));
    fixture.looks().await;
    fixture.loader.open();
    let built = crate::plugin::source::digest_of(b"v2 emits asks late");
    let lost =
        |info: &PluginInfo| info.running.as_ref().is_some_and(|it| it.digest == built && it.grants.append.is_empty());
    fixture.until("p", lost).await;
    is_denied(&fixture).await;
}

#[tokio::test]
async fn a_grant_is_lost_while_what_is_installed_is_still_compiled() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/one.wasm", "v1 emits");
        fixture.put("p/two.wasm", "v2 emits slow");
        fixture.put("p/plugin.toml", &of("one", GRANTED));
    });
    let first = fixture.append(1).await;
    wait("it emits", || (fixture.store.head() == first.next()).then_some(())).await;
    fixture.put("p/plugin.toml", &of("two", GRANTED));
    wait("it compiles", || fixture.loads().contains(&"v2 emits slow".to_owned()).then_some(())).await;
    fixture.put("p/plugin.toml", &of("two", NARROWED));
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.grants.append.is_empty())).await;
    is_denied(&fixture).await;
    assert_eq!(handled_by(&fixture, "p: v1 emits").len(), 2);
    fixture.loader.release();
    fixture.until("p", |info| !info.loading && generation_of(info) == 2).await;
    is_denied(&fixture).await;
    assert_eq!(handled_by(&fixture, "p: v2 emits slow").len(), 1);
}

#[tokio::test]
async fn what_was_returned_to_has_a_grant_again_when_it_is_given_back() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("p/plugin.toml", GRANTED);
        fixture.put("p/p.wasm", "v1 emits");
    });
    let first = fixture.append(1).await;
    wait("it emits", || (fixture.store.head() == first.next()).then_some(())).await;
    fixture.put("p/p.wasm", "v2 emits");
    fixture.until_generation("p", 2).await;
    fixture.registry().roll_back(&plugin("p")).await.unwrap();
    fixture.put("p/plugin.toml", NARROWED);
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| it.grants.append.is_empty())).await;
    is_denied(&fixture).await;
    fixture.put("p/plugin.toml", GRANTED);
    fixture.until("p", |info| info.running.as_ref().is_some_and(|it| !it.grants.append.is_empty())).await;
    let again = fixture.append(1).await;
    wait("it emits again", || (fixture.store.head() == again.next()).then_some(())).await;
    fixture.until_handled("p", again).await;
    assert_eq!(handled_by(&fixture, "p: v2 emits").len(), 0);
}
