//! Plugins: what the operator installed, found in a directory, loaded, and kept running.
//!
//! [`manifest`](Manifest) says what is wanted, `source` finds it on disk and waits until it is complete,
//! `watcher` says when to look again, [`Loader`] turns bytes into code, and [`Registry`] keeps one
//! dispatcher per plugin running and replaces it while it runs. [`Rehearsals`] try versions over the log without effect,
//! keep a `candidate` with its report, and promote it.
//!
//! Invariants, held by the tests of [`Registry`]: a file that is still being written is never loaded; a
//! broken file or manifest leaves the running version alone and is reported once; what is compiled are
//! exactly the bytes that were hashed; no plugin waits for another's compilation. State and checkpoint
//! belong to the store: removing a plugin's files stops it and deletes nothing.

mod archive;
mod candidates;
mod grants;
mod inspect;
mod load;
mod manifest;
mod package;
mod registry;
mod rehearsals;
mod source;
mod watcher;

pub use candidates::{CandidateError, CandidateReport, finish_promotions};
pub use grants::{ConfigGrant, HeaderGrant, ManifestGrants, NoSecrets, SecretGrant, SecretResolver, SecretSource};
pub use inspect::{Inspected, inspect};
pub use load::{Loaded, LoadedUpcaster, Loader};
pub use manifest::{DEFAULT_MANIFEST, MANIFEST_SCHEMA, Manifest, ManifestError, Subscribe};
pub(crate) use package::read_at_most;
pub use package::{
    Asked, Kind, PackageLabels, PackedError, PlaceError, Placing, Present, pack, packed_manifest, packed_name,
    read_component,
};
pub use registry::{
    AggregateInfo, Checked, DescriptionInfo, GenerationRefused, GrantsInfo, InstallError, LimitsInfo, PluginInfo,
    PolicyInfo, Problem, Proposed, Refusal, Registry, RegistryOptions, Runnable, RunningInfo, SubscriptionInfo,
    UsedPercent, check, runnable,
};
pub use rehearsals::{Promoted, Proposal, RehearsalRefused, Rehearsals, RehearsalsOptions};
pub use source::SourceError;
pub(crate) use source::{RESERVED_FOLDERS, UPCASTERS_FOLDER, is_passing};
pub(crate) use watcher::{Pace, Watcher};
