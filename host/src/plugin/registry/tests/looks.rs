//! Looks at the directory that panic, or take long because a component is compiled within them.

use super::*;

#[tokio::test]
async fn schemas_are_read_again_after_a_look_that_panicked_and_hold_meanwhile() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("schemas/E.1.json", r#"{"x-enforce": true}"#);
        fixture.put("upcasters/u.wasm", "panic");
    });
    let described = || fixture.registry().schemas().of("E").count();
    wait("no look panicked", || fixture.loads().contains(&"panic".to_owned()).then_some(())).await;
    assert_eq!(described(), 1);
    fixture.remove("upcasters/u.wasm");
    fixture.put("schemas/E.2.json", "{}");
    wait("schemas are not read again", || (described() == 2).then_some(())).await;
}

#[tokio::test]
async fn what_lifts_events_goes_on_while_the_directory_is_away() {
    let (logged, _guard) = Logged::capture();
    let rules = "[[upcast]]\ntype = \"E\"\nfrom = 1\nrules = [{ rename = \"/a\", to = \"b\" }]";
    let fixture = Fixture::new(|fixture| fixture.put("upcasters/u.toml", rules));
    let lifts = || fixture.registry().chain().is_ok_and(|chain| !chain.is_empty());
    wait("nothing lifts events", || lifts().then_some(())).await;
    let aside = fixture.directory.path().with_extension("aside");
    fs::rename(fixture.directory.path(), &aside).unwrap();
    for _ in 0..10 {
        // It is answered after a look.
        fixture.registry().reload(&plugin("nobody"), false).await.unwrap_err();
    }
    fs::rename(&aside, fixture.directory.path()).unwrap();
    fixture.looks().await;
    assert!(lifts());
    assert_eq!(logged.count("upcasters taken"), 1);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_look() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("a.wasm", "v1");
        fixture.put("upcasters/u.wasm", "slow");
    });
    wait("no look takes long", || fixture.loads().contains(&"slow".to_owned()).then_some(())).await;
    let shutdown = timeout(DEADLINE / 2, fixture.registry().shutdown()).await;
    // The test's runtime waits for the look.
    fixture.loader.release();
    shutdown.unwrap();
}

#[tokio::test]
async fn while_an_upcaster_is_compiled_new_code_waits_and_what_is_taken_away_does_not() {
    taken_away_while_an_upcaster_is_compiled(false).await;
}

#[tokio::test]
async fn while_an_upcaster_is_compiled_a_replacement_waits_and_what_it_is_not_granted_is_taken_away() {
    taken_away_while_an_upcaster_is_compiled(true).await;
}

async fn taken_away_while_an_upcaster_is_compiled(replaced: bool) {
    let fixture = Fixture::new(|fixture| {
        fixture.put("orders.wasm", "emits asks");
        fixture.put("orders.toml", "[subscribe]\ntypes = [\"E\"]\n[grants]\nappend = [\"StockReserved\"]");
        fixture.put("payment.wasm", "v1");
    });
    fixture.until_generation("orders", 1).await;
    fixture.put("upcasters/u.wasm", "slow");
    wait("it is not compiled", || fixture.loads().contains(&"slow".to_owned()).then_some(())).await;
    fixture.put("stock.wasm", "v3");
    // With another component, which has to wait, or without.
    if replaced {
        fixture.put("orders.wasm", "v4");
    }
    fixture.put("orders.toml", "[subscribe]\ntypes = [\"E\"]");
    fixture.remove("payment.wasm");
    fixture.until_gone("payment").await;
    fixture.until("orders", |info| info.running.as_ref().is_some_and(|it| it.grants.append.is_empty())).await;
    let position = fixture.append(1).await;
    wait("it may still append", || fixture.journal().contains(&("denied".into(), position.0)).then_some(())).await;
    let is_new = |text: &String| text == "v3" || text == "v4";
    assert!(!fixture.loads().iter().any(is_new), "what is new may need what is compiled");
    fixture.loader.release();
    fixture.until_generation("stock", 1).await;
    assert!(fixture.registry().problems().iter().any(|problem| problem.reason.contains("upcaster")));
}

#[tokio::test]
async fn what_is_stopped_while_an_upcaster_is_compiled_says_why_at_once() {
    let manifest = |read: &str| format!("[subscribe]\ntypes = [\"E\"]\n[grants]\nread = [\"{read}\"]");
    let fixture = Fixture::new(|fixture| {
        fixture.put("orders.wasm", "v1");
        fixture.put("orders.toml", &manifest("E"));
    });
    fixture.until_generation("orders", 1).await;
    fixture.put("upcasters/u.wasm", "slow");
    wait("it is not compiled", || loaded(&fixture, |text| text == "slow")).await;
    fixture.put("orders.toml", &manifest("F"));
    let why = "what ran before is stopped: it may not read any more what it listens to";
    let is_told = |info: &PluginInfo| info.problem.as_ref().is_some_and(|problem| problem.reason.starts_with(why));
    fixture.until("orders", |info| info.running.is_none() && is_told(info)).await;
    fixture.put("orders.toml", &manifest("E"));
    fixture.loader.release();
    let info = fixture.until("orders", |info| info.running.is_some()).await;
    assert_eq!(info.problem, None);
}

/// Waits until the directory has been looked at so often that what was put there before has stood still.
async fn until_it_stands_still(fixture: &Fixture) {
    fixture.remove("gone.wasm");
    fixture.until_gone("gone").await;
}

/// When something was loaded first, in the order of loads.
fn loaded(fixture: &Fixture, is_it: impl Fn(&str) -> bool) -> Option<usize> {
    fixture.loads().iter().position(|text| is_it(text))
}

#[tokio::test]
async fn what_is_new_waits_for_an_upcaster_that_came_while_another_one_was_compiled() {
    let fixture = Fixture::new(|fixture| fixture.put("gone.wasm", "v1"));
    fixture.until_generation("gone", 1).await;
    fixture.put("upcasters/u.wasm", "slow");
    wait("it is not compiled", || loaded(&fixture, |text| text == "slow")).await;
    // It is compiled before the other one, which is none, by the order of their names.
    fixture.put("upcasters/a.wasm", "lifts");
    fixture.put("stock.wasm", "v2");
    until_it_stands_still(&fixture).await;
    assert_eq!(fixture.loads(), ["v1", "slow"]);
    fixture.loader.release();
    fixture.until_generation("stock", 1).await;
    assert_eq!(fixture.loads(), ["v1", "slow", "lifts", "v2"]);
}

#[tokio::test]
async fn what_is_new_waits_for_upcasters_that_do_not_stand_still() {
    let fixture = Fixture::new(|fixture| fixture.put("gone.wasm", "v1"));
    fixture.until_generation("gone", 1).await;
    fixture.put("upcasters/u.wasm", "lifts");
    fixture.put("stock.wasm", "v2");
    fixture.remove("gone.wasm");
    let mut writes = 0;
    let still_written = || {
        writes += 1;
        fixture.put("upcasters/u.wasm", &format!("lifts {writes}"));
        fixture.registry().get(&plugin("gone")).is_none().then_some(())
    };
    wait("it never went", still_written).await;
    fixture.until_generation("stock", 1).await;
    // The machine may have been so slow that the files stood still before.
    let (lifts, stock) = (loaded(&fixture, |text| text.starts_with("lifts")), loaded(&fixture, |text| text == "v2"));
    assert!(lifts.is_some() && lifts < stock, "{:?}", fixture.loads());
}

#[tokio::test]
async fn a_manifest_waits_for_what_is_compiled_as_a_component_does() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("gone.wasm", "v1");
        fixture.put("orders/plugin.toml", "[subscribe]\ntypes = [\"E\"]");
        fixture.put("orders/orders.wasm", "v2");
    });
    fixture.until_generation("orders", 1).await;
    fixture.put("upcasters/u.wasm", "slow");
    wait("it is not compiled", || loaded(&fixture, |text| text == "slow")).await;
    fixture.put("orders/plugin.toml", "[subscribe]\ntypes = [\"F\"]");
    until_it_stands_still(&fixture).await;
    let position = fixture.append(1).await;
    fixture.until_handled("orders", position).await;
    assert_eq!(fixture.until_generation("orders", 1).await.subscription.types, ["E"]);
    fixture.loader.release();
    assert_eq!(fixture.until_generation("orders", 2).await.subscription.types, ["F"]);
    assert_eq!(fixture.journal(), [("orders: v2".to_owned(), position.0)]);
}

#[tokio::test]
async fn the_start_is_not_over_while_what_commands_are_held_to_is_compiled() {
    let fixture = Fixture::new(|fixture| {
        fixture.put("a.wasm", "v1");
        fixture.put("validators/v.wasm", "slow");
    });
    wait("it is not compiled", || fixture.loads().contains(&"slow".to_owned()).then_some(())).await;
    // Many more looks than the start waits for while files do not stand still.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!fixture.registry().is_ready());
    assert_eq!(fixture.loads(), ["slow"]);
    fixture.loader.release();
    timeout(DEADLINE, fixture.registry().ready()).await.unwrap();
    fixture.until_generation("a", 1).await;
}
