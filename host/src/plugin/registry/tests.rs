mod deciding;
mod fake;
mod fixture;
mod generations;
mod looks;
mod reload;
mod revocation;

use std::fs;
use std::io::Write;

use tokio::time::timeout;

use super::*;
use crate::delivery::State;
use crate::event::Position;
use crate::runtime::{Engine, EngineOptions};
use crate::store::{Progress, UnitOfWork};
use fixture::{DEADLINE, Fixture, Logged, generation_of, plugin, wait};

#[tokio::test]
async fn what_is_in_the_directory_at_the_start_runs_when_it_is_ready() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("a.wasm", "v1");
        fixture.put("b/plugin.toml", "[subscribe]\ntypes = [\"E\"]\nstart = 3\n[grants]\nappend = [\"X*\"]");
        fixture.put("b/b.wasm", "v1");
        fixture.put("c.wasm", "broken");
    });
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    let list = fixture.registry().list();
    assert_eq!(list.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(list.iter().map(generation_of).collect::<Vec<_>>(), [1, 1, 0]);
    let running = list[1].running.clone().unwrap();
    assert_eq!((running.subscription.types, running.subscription.start), (vec!["E".into()], "after 3".into()));
    assert_eq!(running.grants.append, ["X*"]);
    assert_eq!(list[1].source, fixture.path("b"));
    assert!(fixture.registry().dispatcher(&plugin("a")).is_some());
    assert!(fixture.registry().dispatcher(&plugin("c")).is_none());
    let problem = list[2].problem.clone().unwrap();
    assert_eq!(problem.since_us, 1_000);
    let text = problem.reason.replace(&fixture.directory.path().display().to_string(), "DIR");
    assert!(text.starts_with("DIR/c.wasm cannot be loaded: not WebAssembly: it begins with \"broken\""), "{text}");
    fixture.registry().shutdown().await;
    assert!(fixture.registry().list().is_empty());
}

#[tokio::test]
async fn an_empty_directory_is_ready() {
    let fixture = Fixture::new(|_| {});
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    assert!(fixture.registry().is_ready() && fixture.registry().list().is_empty());
}

#[tokio::test]
async fn a_plugin_is_added_replaced_and_removed_while_events_flow() {
    let fixture = Fixture::new(|_| {});
    let first = fixture.append(3).await;
    fixture.put("orders.wasm", "v1");
    fixture.until_generation("orders", 1).await;
    fixture.until_handled("orders", first).await;
    fixture.put("orders.wasm", "v2");
    fixture.until_generation("orders", 2).await;
    let second = fixture.append(2).await;
    fixture.until_handled("orders", second).await;
    fixture.remove("orders.wasm");
    fixture.until_gone("orders").await;
    let third = fixture.append(1).await;
    assert_eq!(fixture.registry().known_names().unwrap(), [plugin("orders")], "its progress is still there");
    fixture.put("orders.wasm", "v3");
    fixture.until_handled("orders", third).await;
    let labels = ["v1", "v1", "v1", "v2", "v2", "v3"];
    let expected: Vec<_> =
        labels.iter().zip(1..).map(|(label, position)| (format!("orders: {label}"), position)).collect();
    assert_eq!(fixture.journal(), expected);
}

#[tokio::test]
async fn a_changed_manifest_replaces_without_compiling_again() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "v1"));
    fixture.until_generation("orders", 1).await;
    fixture.put("orders.toml", "[config]\nsuffix = \"!\"");
    let running = fixture.until_generation("orders", 2).await;
    assert_eq!(running.digest.len(), 64);
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.journal(), [("orders: v1!".to_owned(), 1)]);
    assert_eq!(fixture.loads(), ["v1"]);
}

#[tokio::test]
async fn a_rewritten_file_of_the_same_content_changes_nothing() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("orders.wasm", "v1");
        fixture.put("orders.toml", "[delivery]\nmax_attempts = 2");
    });
    fixture.until_generation("orders", 1).await;
    fixture.put("orders.wasm", "v1");
    fixture.put("orders.toml", "# a comment\n[delivery]\nmax_attempts = 2");
    fixture.looks().await;
    assert_eq!(fixture.until("orders", |_| true).await.running.unwrap().generation, 1);
    assert_eq!(fixture.loads(), ["v1"]);
}

#[tokio::test]
async fn a_broken_replacement_leaves_the_old_running_and_is_reported_once() {
    let (logged, _guard) = Logged::capture();
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "v1"));
    fixture.until_generation("orders", 1).await;
    fixture.put("orders.wasm", "broken");
    let problem = fixture.until_problem("orders").await;
    fixture.clock.advance_us(1_000_000);
    fixture.looks().await;
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.journal(), [("orders: v1".to_owned(), 1)]);
    let info = fixture.registry().get(&plugin("orders")).unwrap();
    assert_eq!((generation_of(&info), info.problem), (1, Some(problem)));
    assert_eq!(logged.count("cannot be loaded"), 1);
    assert_eq!(fixture.loads(), ["v1", "broken"]);
    fixture.put("orders.wasm", "v2");
    let mended = fixture.until("orders", |info| generation_of(info) == 2).await;
    assert_eq!(mended.problem, None);
}

#[tokio::test]
async fn a_broken_manifest_leaves_the_old_running_and_restoring_it_heals() {
    let (logged, _guard) = Logged::capture();
    let manifest = "[subscribe]\ntypes = [\"E\"]";
    let fixture = Fixture::new(|fixture| {
        fixture.put("orders/orders.wasm", "v1");
        fixture.put("orders/plugin.toml", manifest);
    });
    fixture.until_generation("orders", 1).await;
    fixture.put("orders/plugin.toml", "[subscribe]\ntyps = [\"E\"]");
    let problem = fixture.until_problem("orders").await.reason;
    assert!(
        problem.contains("plugin.toml:2: unknown key \"typs\" in [subscribe]; did you mean \"types\"?"),
        "{problem}"
    );
    fixture.looks().await;
    assert_eq!(logged.count("unknown key"), 1);
    fixture.put("orders/plugin.toml", manifest);
    let healed = fixture.until("orders", |info| info.problem.is_none()).await;
    assert_eq!(generation_of(&healed), 1, "what runs is what is wanted");
}

#[tokio::test]
async fn a_component_that_could_not_be_loaded_is_tried_again_when_it_is_touched() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "broken"));
    fixture.until_problem("orders").await;
    fixture.put("orders.wasm", "broken");
    wait("it was not tried again", || (fixture.loads().len() == 2).then_some(())).await;
}

#[tokio::test]
async fn two_of_one_name_are_a_problem_and_whichever_ran_goes_on() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "bare"));
    fixture.until_generation("orders", 1).await;
    fixture.put("orders/plugin.toml", "");
    fixture.put("orders/orders.wasm", "folder");
    let problem = fixture
        .until("orders", |info| info.problem.as_ref().is_some_and(|problem| problem.reason.contains("is there twice")));
    let problem = problem.await.problem.unwrap().reason;
    assert!(problem.contains("orders.wasm") && problem.contains("remove one of them"), "{problem}");
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    fixture.remove("orders.wasm");
    fixture.until_generation("orders", 2).await;
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.journal(), [("orders: bare".to_owned(), 1), ("orders: folder".to_owned(), 2)]);
}

#[tokio::test]
async fn a_file_that_grows_is_loaded_when_it_is_complete_and_never_before() {
    let fixture = Fixture::new(|_| {});
    // Each write is followed by one more before the file can have stood still for two looks, or the
    // machine was so slow that it did: then what was loaded must have been all there was at that time.
    let mut file = fs::File::create(fixture.path("orders.wasm")).unwrap();
    let mut states = vec![String::new()];
    for part in 0..200 {
        write!(file, "{part} ").unwrap();
        states.push(format!("{}{part} ", states.last().unwrap()));
        tokio::task::yield_now().await;
    }
    drop(file);
    let complete = states.last().unwrap();
    wait("it was never loaded", || fixture.loads().contains(complete).then_some(())).await;
    assert!(fixture.loads().iter().all(|loaded| states.contains(loaded)), "a load of bytes that never stood there");
    assert_eq!(fixture.loads().last(), Some(complete));
}

#[tokio::test]
async fn a_slow_compilation_delays_nobody() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "v1"));
    fixture.until_generation("orders", 1).await;
    fixture.put("orders.wasm", "slow v2");
    fixture.until("orders", |info| info.loading).await;
    fixture.put("payment.wasm", "v1");
    fixture.until_generation("payment", 1).await;
    let position = fixture.append(1).await;
    fixture.until_handled("payment", position).await;
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.until_generation("orders", 1).await.status.checkpoint, position, "the old one runs");
    fixture.loader.release();
    let running = fixture.until("orders", |info| generation_of(info) == 2 && !info.loading).await;
    assert_eq!(running.problem, None);
}

#[tokio::test]
async fn a_plugin_removed_while_it_compiles_never_runs() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "slow"));
    fixture.until("orders", |info| info.loading).await;
    fixture.remove("orders.wasm");
    fixture.until_gone("orders").await;
    fixture.loader.release();
    fixture.looks().await;
    assert!(fixture.registry().get(&plugin("orders")).is_none());
}

#[tokio::test]
async fn a_version_outdated_while_it_compiles_is_skipped() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "slow v1"));
    fixture.until("orders", |info| info.loading).await;
    fixture.put("orders.wasm", "v2");
    fixture.looks().await;
    let position = fixture.append(1).await;
    fixture.loader.release();
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.until("orders", |_| true).await.running.unwrap().generation, 1);
    assert_eq!(fixture.journal(), [("orders: v2".to_owned(), 1)]);
}

#[tokio::test]
async fn an_engine_that_panics_costs_that_component_only() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("a.wasm", "panic");
        fixture.put("b.wasm", "v1");
    });
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    let problem = fixture.until_problem("a").await.reason;
    assert!(problem.contains("a.wasm made the engine panic"), "{problem}");
    assert!(fixture.registry().dispatcher(&plugin("b")).is_some());
}

#[tokio::test]
async fn what_asks_for_more_than_granted_does_not_run_and_names_the_line_to_write() {
    let (logged, _guard) = Logged::capture();
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "asks"));
    let line = "orders.toml, in [grants]: append = ['StockReserved']";
    let problem = fixture.until_problem("orders").await.reason;
    assert!(problem.contains("orders.wasm asks for more than it is granted") && problem.ends_with(line), "{problem}");
    assert!(fixture.registry().dispatcher(&plugin("orders")).is_none());
    fixture.put("orders.toml", "[grants]\nappend = [\"StockReserved\"]");
    fixture.until_generation("orders", 1).await;
    assert_eq!(logged.count("asks for more than it is granted"), 1);
    // The operator takes it back: what runs goes on, and loses it.
    fixture.put("orders.toml", "[grants]\nappend = [\"Other\"]");
    let problem = fixture.until_problem("orders").await.reason;
    assert!(problem.ends_with("in [grants]: append = ['Other', 'StockReserved']"), "{problem}");
    let running = fixture.until("orders", |_| true).await.running.unwrap();
    assert!(running.generation == 1 && running.grants.append.is_empty(), "{:?}", running.grants.append);
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    // What it listens to as well: it cannot go on, and passes nothing over.
    fixture.put("orders.toml", "[grants]\nread = [\"Other\"]");
    fixture.until("orders", |info| info.running.is_none() && info.problem.is_some()).await;
    let position = fixture.append(1).await;
    fixture.put("orders.toml", "[grants]\nappend = [\"StockReserved\"]");
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.journal(), [("orders: asks".to_owned(), 1), ("orders: asks".to_owned(), 2)]);
}

#[tokio::test]
async fn a_grant_that_is_taken_back_is_lost_at_the_next_batch_and_comes_back() {
    let manifest = |append: &str| format!("[subscribe]\ntypes = [\"E\"]\n[grants]\nappend = [{append}]");
    let fixture = Fixture::new(|fixture| {
        fixture.put("orders/plugin.toml", &manifest("\"Stock*\""));
        fixture.put("orders/orders.wasm", "asks emits");
    });
    let emitted = || fixture.store.head().0 - 3;
    let first = fixture.append(3).await;
    fixture.until_handled("orders", first).await;
    wait("it emits", || (emitted() == 3).then_some(())).await;
    fixture.put("orders/plugin.toml", &manifest(""));
    fixture.until_problem("orders").await;
    let denied = fixture.append(1).await;
    fixture.until_handled("orders", denied).await;
    assert_eq!((fixture.store.head(), handled_by(&fixture, "denied")), (denied, vec![denied.0]));
    fixture.put("orders/plugin.toml", &manifest("\"*\""));
    fixture.until("orders", |info| info.problem.is_none()).await;
    let again = fixture.append(1).await;
    wait("it emits again", || (fixture.store.head() == again.next()).then_some(())).await;
    assert_eq!(handled_by(&fixture, "denied"), [denied.0]);
}

/// What a version reports.
fn handled_by(fixture: &Fixture, label: &str) -> Vec<u64> {
    fixture.journal().into_iter().filter(|(by, _)| by == label).map(|(_, position)| position).collect()
}

#[tokio::test]
async fn small_components_do_not_wait_for_large_ones() {
    let fixture = Fixture::new(|fixture| {
        for number in 0..12 {
            fixture.put(&format!("large-{number}.wasm"), &format!("slow {}", "x".repeat(1 << 20)));
        }
        fixture.put("small.wasm", "v1");
    });
    fixture.until_generation("small", 1).await;
    assert!(fixture.registry().dispatcher(&plugin("large-0")).is_none(), "it is still being loaded");
    fixture.loader.release();
    for number in 0..12 {
        fixture.until_generation(&format!("large-{number}"), 1).await;
    }
}

#[tokio::test]
async fn a_halted_plugin_goes_on_with_a_new_version_or_when_it_is_touched() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "halt"));
    fixture.append(1).await;
    let is_halted = |info: &PluginInfo| {
        info.running.as_ref().is_some_and(|running| matches!(running.status.state, State::Halted { .. }))
    };
    fixture.until("orders", is_halted).await;
    fixture.put("orders.wasm", "halt");
    fixture.until("orders", |info| generation_of(info) == 2 && is_halted(info)).await;
    fixture.put("orders.wasm", "v2");
    fixture.until_handled("orders", Position(1)).await;
}

#[tokio::test]
async fn a_missing_directory_is_a_problem_until_it_is_there() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "v1"));
    fixture.until_generation("orders", 1).await;
    let aside = fixture.directory.path().with_extension("aside");
    fs::rename(fixture.directory.path(), &aside).unwrap();
    // A look that is under way finds folders in it away first.
    let reasons = || fixture.registry().problems().into_iter().map(|problem| problem.reason);
    let problem = wait("nobody noticed", || reasons().find(|reason| reason.contains("cannot be listed"))).await;
    assert!(problem.contains("what runs goes on"), "{problem}");
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    fs::rename(&aside, fixture.directory.path()).unwrap();
    wait("the problem stays", || fixture.registry().problems().is_empty().then_some(())).await;
    fixture.put("orders.wasm", "v2");
    fixture.until_generation("orders", 2).await;
}

#[tokio::test]
async fn files_of_no_plugin_are_listed_as_problems() {
    let (logged, _guard) = Logged::capture();
    let fixture = Fixture::new(|fixture| fixture.put("bad name.wasm", "v1"));
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    let problems = fixture.registry().problems();
    assert!(problems.len() == 1 && problems[0].reason.contains("cannot be a plugin"), "{problems:?}");
    fixture.looks().await;
    assert_eq!(logged.count("cannot be a plugin"), 1);
    fixture.remove("bad name.wasm");
    wait("the problem stays", || fixture.registry().problems().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_plugin_that_is_not_installed_is_known_by_what_it_left() {
    let fixture = Fixture::new(|fixture| fixture.put("here.wasm", "v1"));
    let progress = Progress { revision: 1, checkpoint: Position(0), ..Progress::default() };
    let work = UnitOfWork {
        owner: plugin("gone").into(),
        partition: 0,
        progress,
        state: vec![],
        events: vec![],
        dead_letters: vec![],
    };
    fixture.store.commit(work).await.unwrap();
    fixture.until_generation("here", 1).await;
    assert_eq!(fixture.registry().known_names().unwrap(), [plugin("gone"), plugin("here")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_stops_all_even_while_something_compiles() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("a.wasm", "v1");
        fixture.put("b.wasm", "slow");
    });
    fixture.until_generation("a", 1).await;
    fixture.until("b", |info| info.loading).await;
    let dispatcher = fixture.registry().dispatcher(&plugin("a")).unwrap();
    timeout(DEADLINE, fixture.registry().shutdown()).await.unwrap();
    assert_eq!(dispatcher.status().state, State::Stopped);
    assert!(fixture.registry().list().is_empty());
    // A second time has nothing left to do.
    timeout(DEADLINE, fixture.registry().shutdown()).await.unwrap();
    // The test's runtime waits for the compilation.
    fixture.loader.release();
}

#[tokio::test]
async fn what_is_shown_is_json() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "v1"));
    fixture.until_generation("orders", 1).await;
    let info = fixture.until("orders", |info| !info.loading).await;
    let json = serde_json::to_value(info).unwrap();
    assert_eq!(
        (&json["name"], &json["generation"], &json["roles"][0]),
        (&"orders".into(), &1.into(), &"subscriber".into())
    );
    assert_eq!(json["status"]["state"], "running");
    assert_eq!(json["limits"]["memory_bytes"], 64 << 20);
    assert_eq!(json["policy"]["on_exhausted"], "park");
    assert_eq!(json.get("problem"), None);
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_the_engine_and_named() {
    let engine = Arc::new(Engine::new(EngineOptions::default()).unwrap());
    let fixture = Fixture::with_loader(engine, |fixture| {
        fixture.put("garbage.wasm", "garbage");
        fixture.put("empty.wasm", "");
        fixture.put("module.wasm", "\0asm\u{1}\0\0\0");
    });
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    for (name, reason) in [("garbage", "not WebAssembly"), ("empty", "not WebAssembly"), ("module", "a core module")] {
        let problem = fixture.until_problem(name).await.reason;
        assert!(problem.contains(&format!("{name}.wasm cannot be loaded: {reason}")), "{problem}");
    }
}
