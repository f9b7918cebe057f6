//! `tidemill plugins pack` and `install`: a plugin as one file, and from wherever it is into a plugins directory.
//!
//! [`fetch`] gets bytes, from a file, a URL or a registry, and answers only what their digests say; [`install()`] checks
//! them as the host would and puts them in place; [`pack()`] makes such a file; [`remove()`] takes a plugin away again, and has
//! what it keeps removed where that is said ([`state`]).

mod credentials;
mod fetch;
mod install;
mod oci;
mod oci_auth;
mod pack;
mod project;
mod reference;
mod remove;
mod signature;
mod state;

pub(super) use install::{InstallArgs, run as install};
pub(super) use pack::{PackArgs, run as pack};
pub(super) use remove::{RemoveArgs, run as remove};
