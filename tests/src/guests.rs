//! The guests for tests, as components: one constant for each file in `tests/guests/examples`, which says
//! what the guest does, and `ALL` with their names.
//!
//! [`for_each_guest!`](crate::for_each_guest) calls a macro with each name, so that a suite can have one
//! test for each guest and not compile without it:
//!
//! ```ignore
//! macro_rules! has_a_test {
//!     ($guest:ident) => {
//!         const _: fn() = $guest;
//!     };
//! }
//! tidemill_tests::for_each_guest!(has_a_test);
//! ```

include!(concat!(env!("OUT_DIR"), "/components.rs"));
