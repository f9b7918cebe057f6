//! Builds the guests for tests to components, which `src/guests.rs` embeds.

use component_build::Guests;

fn main() {
    let guests = Guests::new()
        .examples("tests/guests", "test-guests")
        .examples("tests/releases/0.1.0", "guests-of-0-1-0")
        .examples("tests/releases/0.1.1", "guests-of-0-1-1");
    component_build::run(&guests.profile("component-test").for_each_macro("for_each_guest"));
}
