//! Who decides commands as plugins come, change their role, and go.

use std::fs;

use super::fixture::{Fixture, plugin, wait};
use crate::error::ErrorClass;
use crate::plugin::GenerationRefused;

/// Who decides for `orders`.
fn holder(fixture: &Fixture) -> Option<String> {
    let claimed = fixture.claims.list().into_iter().find(|claimed| claimed.category.as_str() == "orders");
    claimed.map(|claimed| claimed.plugin.to_string())
}

#[tokio::test]
async fn what_decides_goes_on_until_what_replaces_it_in_another_role_runs() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "decides v1"));
    fixture.until("orders", |info| info.deciding.is_some()).await;
    assert_eq!(holder(&fixture).as_deref(), Some("orders"));
    // Nothing can be kept there, so the next version cannot run.
    let kept = fixture.kept.path();
    let _ = fs::remove_dir_all(kept);
    fs::write(kept, "no folder").unwrap();
    fixture.put("orders.wasm", "v2");
    fixture.until_problem("orders").await;
    let info = fixture.until("orders", |info| !info.loading).await;
    assert!(info.deciding.is_some() && info.running.is_none(), "{info:?}");
    assert_eq!(holder(&fixture).as_deref(), Some("orders"));

    fs::remove_file(kept).unwrap();
    fixture.put("orders.wasm", "v3");
    let info = fixture.until("orders", |info| info.running.is_some()).await;
    assert!(info.problem.is_none(), "{info:?}");
    fixture.until("orders", |info| info.deciding.is_none()).await;
    wait("the claim to be given up", || holder(&fixture).is_none().then_some(())).await;
}

#[tokio::test]
async fn what_decides_is_told_to_have_nothing_to_rebuild_or_to_return_to() {
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "decides v1"));
    fixture.until("orders", |info| info.deciding.is_some()).await;
    let (registry, orders) = (fixture.registry(), plugin("orders"));
    let refused = [
        registry.roll_back(&orders).await,
        registry.rebuild(&orders, None, false).await,
        registry.cancel_rebuild(&orders).await,
    ];
    for refused in refused.map(Result::unwrap_err) {
        assert!(matches!(refused, GenerationRefused::Decides { .. }), "{refused}");
        assert_eq!(refused.class(), ErrorClass::Conflict);
    }
}

#[tokio::test]
async fn who_was_refused_decides_when_the_holder_goes() {
    const MANIFEST: &str = "[aggregate]\ncategory = \"orders\"\n";
    let fixture = Fixture::new(|fixture| fixture.put("orders.wasm", "decides v1"));
    fixture.until("orders", |info| info.deciding.is_some()).await;
    fixture.put("rival.toml", MANIFEST);
    fixture.put("rival.wasm", "decides v2");
    let problem = fixture.until_problem("rival").await;
    assert!(problem.reason.contains("plugins rival and orders both claim aggregate orders"), "{}", problem.reason);
    fixture.remove("orders.wasm");
    let info = fixture.until("rival", |info| info.deciding.is_some()).await;
    assert!(info.problem.is_none() && holder(&fixture).as_deref() == Some("rival"), "{info:?}");
}

#[tokio::test]
async fn at_the_start_the_first_by_name_decides_however_long_it_takes_to_load() {
    const MANIFEST: &str = "[aggregate]\ncategory = \"orders\"\n";
    let fixture = Fixture::new(|fixture| {
        for (name, text) in [("first", "decides slow v1"), ("second", "decides v2")] {
            fixture.put(&format!("{name}.toml"), MANIFEST);
            fixture.put(&format!("{name}.wasm"), text);
        }
    });
    wait("both to be loaded", || (fixture.loads().len() >= 2).then_some(())).await;
    fixture.loader.release();
    fixture.until("first", |info| info.deciding.is_some()).await;
    let problem = fixture.until_problem("second").await;
    assert!(problem.reason.contains("and first has it"), "{}", problem.reason);
    assert_eq!(holder(&fixture).as_deref(), Some("first"));
}
