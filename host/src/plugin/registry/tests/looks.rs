//! Looks at the directory that panic, or take long.

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
