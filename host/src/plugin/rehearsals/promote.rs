//! Promoting: a candidate's files take the place of the installed ones.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::{RehearsalRefused, Rehearsals};
use crate::delivery::rehearsal::RehearsalError;
use crate::event::PluginName;
use crate::plugin::candidates::{Candidate, replace};
use crate::plugin::registry::Installed;
use crate::plugin::{Manifest, Problem};

/// How long the registry has to take the files.
const TAKEN_WITHIN: Duration = Duration::from_secs(50);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A candidate that runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Promoted {
    /// The plugin.
    pub plugin: PluginName,
    /// SHA-256 of its component, in hex.
    pub digest: String,
    /// SHA-256 of the component that ran before, in hex.
    pub previous_digest: String,
    /// How many versions have run since the process started, this one included.
    pub generation: u64,
}

impl Rehearsals {
    /// Puts a plugin's candidate in place of what runs, and waits until it runs. `force` puts up with a report that
    /// is not clean.
    ///
    /// Component and manifest are each replaced in one step, the manifest first; the registry takes both when they
    /// have stood still.
    ///
    /// # Errors
    /// When there is no candidate, it is not clean, something else runs by now, or it does not come to run.
    pub async fn promote(&self, name: &PluginName, force: bool) -> Result<Promoted, RehearsalRefused> {
        let installed = self.installed(name)?;
        let before = self.problem(name);
        let (candidates, of) = (Arc::clone(&self.candidates), name.clone());
        let put = tokio::task::spawn_blocking(move || {
            let candidate =
                candidates.load(&of)?.ok_or_else(|| RehearsalRefused::NoCandidate { plugin: of.clone() })?;
            check(&of, &candidate, installed.digest(), force)?;
            let manifest = installed.manifest_of_candidate(candidate.manifest.as_deref())?;
            put(&candidate, &installed)?;
            Ok::<_, RehearsalRefused>((candidate.report.shadow.candidate_digest, manifest, installed))
        });
        let broken = |_| RehearsalError::Broken { reason: "the thread that replaces files is gone".into() };
        let (digest, manifest, installed) = put.await.map_err(broken)??;
        let taken = timeout(TAKEN_WITHIN, self.taken(name, &digest, &manifest, before)).await;
        let generation = taken.map_err(|_| RehearsalRefused::NotYet { plugin: name.clone() })??;
        let previous_digest = installed.digest().to_owned();
        tracing::info!(plugin = %name, digest, previous_digest, force, "candidate promoted");
        let (candidates, of) = (Arc::clone(&self.candidates), name.clone());
        let dropped = tokio::task::spawn_blocking(move || candidates.forget(&of));
        if let Ok(Err(error)) = dropped.await {
            tracing::warn!(plugin = %name, %error, "the files of a promoted candidate stay behind");
        }
        Ok(Promoted { plugin: name.clone(), digest, previous_digest, generation })
    }

    /// Waits until exactly this runs; answers its generation. Something newly wrong with the files ends it.
    async fn taken(
        &self,
        name: &PluginName,
        digest: &str,
        manifest: &Manifest,
        before: Option<Problem>,
    ) -> Result<u64, RehearsalRefused> {
        loop {
            let runs = self.registry.installed(name);
            if let Some(runs) = runs.filter(|runs| runs.digest() == digest && runs.manifest() == manifest) {
                return Ok(runs.generation());
            }
            match self.problem(name) {
                Some(problem) if Some(&problem) != before.as_ref() => {
                    return Err(RehearsalRefused::NotTaken { reason: problem.reason });
                }
                _ => sleep(ASK_EVERY).await,
            }
        }
    }

    fn problem(&self, name: &PluginName) -> Option<Problem> {
        self.registry.get(name)?.problem
    }
}

/// Refuses what should not be promoted.
fn check(name: &PluginName, candidate: &Candidate, live: &str, force: bool) -> Result<(), RehearsalRefused> {
    let (plugin, shadow) = (name.clone(), &candidate.report.shadow);
    if shadow.live_digest != live {
        return Err(RehearsalRefused::OtherLive { plugin, compared: shadow.live_digest.clone(), live: live.into() });
    }
    if !shadow.clean && !force {
        let (outcomes, emissions) = (shadow.outcomes.count, shadow.emissions.count);
        return Err(RehearsalRefused::NotClean { plugin, outcomes, emissions, state: shadow.state.count });
    }
    Ok(())
}

/// Replaces the installed files.
fn put(candidate: &Candidate, installed: &Installed) -> Result<(), RehearsalRefused> {
    if let Some(manifest) = &candidate.manifest {
        replace(installed.manifest_path(), manifest.as_bytes())?;
    }
    Ok(replace(installed.component_path(), &candidate.component)?)
}
