//! Builds guest packages of this workspace to WebAssembly components, from a build script.
//!
//! Owns: running the cargo of the current build for the target `wasm32-wasip2` (whose `cdylib` output
//! is a component already), copying the components to `OUT_DIR`, and writing a Rust file that embeds
//! them. Does not: know what a guest is for, nor look inside a component.
//!
//! Invariants:
//! - The inner cargo has a target directory of its own, `<target>/components`, shared by all profiles
//!   and build scripts, so it never waits for the lock that the outer cargo holds.
//! - Nothing of the outer run reaches the inner one but where crates come from and how many jobs run:
//!   no flags, no wrappers, no other target. So `cargo clippy`, `doc` and coverage runs build the same
//!   components as `cargo build`, and find them fresh afterwards.
//!
//! ```no_run
//! // build.rs
//! use component_build::Guests;
//!
//! component_build::run(&Guests::new().package("plugins/orders", "plugin-orders", "orders"));
//! ```
//! The crate then has `pub const ORDERS: &[u8]` by
//! `include!(concat!(env!("OUT_DIR"), "/components.rs"));`.

mod cargo;
mod error;
mod guests;
mod place;
mod write;

pub use error::BuildError;
pub use guests::Guests;

/// The target that guests are built for.
pub const TARGET: &str = "wasm32-wasip2";
/// The cargo profile that guests are built with unless told, from the workspace's `Cargo.toml`.
pub const PROFILE: &str = "component";
/// The generated file in `OUT_DIR`.
pub const GENERATED_FILE: &str = "components.rs";

/// Builds the guests, embeds them, and tells cargo when to do so again.
///
/// # Errors
/// When not called from a build script, when the target is not installed, when a guest does not
/// compile, or when a component cannot be found or copied.
pub fn build(guests: &Guests) -> Result<(), BuildError> {
    let place = place::Place::from_environment()?;
    write::rerun_if_changed(&place.workspace, guests);
    let components = guests.components(&place.workspace)?;
    cargo::require_target()?;
    cargo::build(&place, guests)?;
    write::copy(&place, guests, &components)?;
    write::generate(&place, guests, &components)
}

/// [`build`] for a build script's `main`: an error is shown as cargo shows its own, and ends the build.
pub fn run(guests: &Guests) {
    if let Err(error) = build(guests) {
        write::report(&error);
        std::process::exit(1);
    }
}
