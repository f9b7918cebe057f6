//! Rehearsals with installed plugins, and promoting what has proven itself.
//!
//! A rehearsal has instances of its own, which read the log and a state in memory; nothing of it is written but a
//! candidate's files, beside the store. Promoting replaces files in the plugins directory, as an operator would,
//! and leaves the rest to the registry.

mod error;
mod promote;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use error::RehearsalRefused;
pub use promote::Promoted;
use promote::Promoting;

use super::candidates::{Candidate, CandidateReport, Candidates};
use super::registry::{InstallError, Installed};
use super::source::digest_of;
use super::{Loader, Registry};
use crate::clock::Clock;
use crate::delivery::rehearsal::{Asked, Job, ReplayReport, Stage, VerifyStateReport, replay, shadow, verify_state};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::store::Store;

/// What rehearsals work with.
pub struct RehearsalsOptions {
    /// The plugins that run.
    pub registry: Arc<Registry>,
    /// The log and what plugins keep.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What turns components into code.
    pub loader: Arc<dyn Loader>,
    /// Where candidates are kept.
    pub candidates: PathBuf,
    /// The plugins directory.
    pub plugins: PathBuf,
}

impl fmt::Debug for RehearsalsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RehearsalsOptions").field("candidates", &self.candidates).finish_non_exhaustive()
    }
}

/// A version that might replace the installed one.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The component's bytes.
    pub component: Vec<u8>,
    /// The text of its manifest; none to run it under the installed one.
    pub manifest: Option<String>,
}

/// A rehearsal that has begun.
type Begun<T> = Result<Job<T, RehearsalRefused>, RehearsalRefused>;

/// Rehearsals with the plugins of a registry.
pub struct Rehearsals {
    registry: Arc<Registry>,
    stage: Stage,
    loader: Arc<dyn Loader>,
    candidates: Arc<Candidates>,
    plugins: PathBuf,
    promoting: Promoting,
}

impl fmt::Debug for Rehearsals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsals").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl Rehearsals {
    /// Rehearsals over a store, with the plugins of a registry.
    #[must_use]
    pub fn new(options: RehearsalsOptions) -> Self {
        let RehearsalsOptions { registry, store, clock, loader, candidates, plugins } = options;
        let candidates = Arc::new(Candidates::new(candidates));
        let promoting = Promoting::default();
        Self { registry, stage: Stage::new(store, clock), loader, candidates, plugins, promoting }
    }

    /// Hands a range to the installed version again, without effect.
    ///
    /// # Errors
    /// When the plugin does not run, or reaches outside. What else can be wrong is in the job's outcome.
    pub fn replay(&self, name: &PluginName, asked: Asked) -> Begun<ReplayReport> {
        let (installed, stage) = (self.rehearsable(name)?, self.stage.holding(asked.state_bytes));
        Ok(Job::start(move |tell| Ok(replay(&stage, installed.setup(), asked, tell)?))?)
    }

    /// Builds the installed version's state anew, in memory, and compares it with what is stored: up to the checkpoint,
    /// whatever end is asked for.
    ///
    /// # Errors
    /// When the plugin does not run, or reaches outside. What else can be wrong is in the job's outcome.
    pub fn verify_state(&self, name: &PluginName, asked: Asked) -> Begun<VerifyStateReport> {
        let (installed, stage) = (self.rehearsable(name)?, self.stage.holding(asked.state_bytes));
        Ok(Job::start(move |tell| Ok(verify_state(&stage, &|| installed.setup(), asked.from, tell)?))?)
    }

    /// Compares a candidate with the installed version over a range, and keeps it with its report.
    ///
    /// # Errors
    /// When the plugin does not run, or reaches outside, or the manifest is none. What else can be wrong is in the job's outcome.
    pub fn shadow(&self, name: &PluginName, proposal: Proposal, asked: Asked) -> Begun<CandidateReport> {
        let (installed, stage) = (self.rehearsable(name)?, self.stage.holding(asked.state_bytes));
        let manifest = installed.manifest_of_candidate(proposal.manifest.as_deref())?;
        let (name, loader, candidates) = (name.clone(), Arc::clone(&self.loader), Arc::clone(&self.candidates));
        Ok(Job::start(move |tell| {
            let Proposal { component, manifest: text } = proposal;
            let candidate = installed.candidate(&component, &manifest, &*loader)?;
            let live_manifest_digest = installed.manifest().digest();
            let shadow = shadow(&stage, installed.live(), candidate, asked, tell)?;
            let manifest_digest = text.as_ref().map(|text| digest_of(text.as_bytes()));
            let report =
                CandidateReport { made_us: stage.clock.now_us(), live_manifest_digest, manifest_digest, shadow };
            candidates.keep(&name, &Candidate { component, manifest: text, report: report.clone() })?;
            Ok::<_, RehearsalRefused>(report)
        })?)
    }

    /// The report of a plugin's candidate, if it has one. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn candidate(&self, name: &PluginName) -> Result<Option<CandidateReport>, RehearsalRefused> {
        // Only the names of installed plugins are those of folders.
        if self.registry.get(name).is_none() {
            return Ok(None);
        }
        Ok(self.candidates.report(name)?)
    }

    /// Drops the candidate of a plugin that is gone, and whose data is removed.
    pub async fn forgotten(&self, name: &PluginName) {
        let (candidates, of) = (Arc::clone(&self.candidates), name.clone());
        let dropped = tokio::task::spawn_blocking(move || {
            let report = candidates.report(&of)?;
            report.map_or(Ok(()), |report| candidates.forget(&of, &report))
        });
        if let Ok(Err(error)) = dropped.await {
            tracing::warn!(plugin = %name, error = with_sources(&error), "the files of a candidate stay behind");
        }
    }

    /// What runs, unless a rehearsal of it would do something outside.
    fn rehearsable(&self, name: &PluginName) -> Result<Installed, RehearsalRefused> {
        let installed = self.installed(name)?;
        installed.check_rehearsable()?;
        Ok(installed)
    }

    fn installed(&self, name: &PluginName) -> Result<Installed, RehearsalRefused> {
        self.registry.installed(name).ok_or_else(|| match self.registry.get(name) {
            None => RehearsalRefused::NotInstalled { plugin: name.clone() },
            Some(info) if info.deciding.is_some() => RehearsalRefused::Decides { plugin: name.clone() },
            Some(_) => RehearsalRefused::NotRunning { plugin: name.clone() },
        })
    }
}

#[cfg(test)]
mod tests;
