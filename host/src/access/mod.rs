//! Who may do what: keys, their scopes, and the one place that decides, [`Policy::decide`].
//!
//! A **key** is 256 random bits, shown once when it is made. What is kept is its SHA-256, so a keys file that leaks
//! opens nothing. A slow hash, as for passwords, would guard against trying likely secrets; of 2^256 equally likely ones
//! none can be found by trying, however fast, so attempts are counted and logged but not slowed down.
//!
//! A key has **scopes**: `read`, `append`, `admin`, which includes both, since a backup holds every event and a plugin
//! that was promoted may append. `read` and `append` may be narrowed to streams that begin so and to types; what is
//! beyond that **reach** is neither shown nor written.
//!
//! Nothing here does IO: where the keys are kept, and what asks for decisions, is the `gate`'s.

mod key;
mod keys;
mod policy;
mod scope;

#[cfg(test)]
mod tests;

pub use key::{Key, KeyHash, KeyName, Secret};
pub use keys::{KeyError, Keys, KeysError, NewKey};
pub use policy::{Action, Denied, NoEntry, Policy, Principal};
pub use scope::Scope;
