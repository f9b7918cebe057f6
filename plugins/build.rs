//! Builds the example plugins to components, which `src/lib.rs` embeds.

use component_build::Guests;

fn main() {
    let guests = [
        "account",
        "counter",
        "dashboard",
        "git-history",
        "notification",
        "order-totals",
        "orders",
        "payment",
        "stock",
    ]
    .iter()
    .fold(Guests::new(), |guests, name| guests.package(&format!("plugins/{name}"), &format!("plugin-{name}"), name))
    .package("plugins/notification/v2", "plugin-notification-v2", "notification-v2");
    component_build::run(&guests);
}
