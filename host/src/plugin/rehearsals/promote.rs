//! Promoting: a candidate's files take the place of the installed ones.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::{RehearsalRefused, Rehearsals};
use crate::delivery::generations;
use crate::delivery::rehearsal::RehearsalError;
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::plugin::candidates::Candidate;
use crate::plugin::registry::Installed;
use crate::plugin::{Manifest, Problem, Registry};
use crate::store::Store;

/// How long a promotion is waited for, all in all: less than the minute within which a client wants its answer.
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
    /// First position of the range over which it was compared.
    pub from: Position,
    /// Its last position.
    pub to: Position,
    /// Events of the range that both versions were handed.
    pub events: u64,
}

/// The plugins that are being promoted: each once at a time.
#[derive(Clone, Default)]
pub(super) struct Promoting(Arc<Mutex<BTreeSet<PluginName>>>);

/// A promotion in progress, until it is dropped.
struct Turn {
    of: Promoting,
    name: PluginName,
}

impl Promoting {
    fn begin(&self, name: &PluginName) -> Result<Turn, RehearsalRefused> {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        let turn = || Turn { of: self.clone(), name: name.clone() };
        begun.then(turn).ok_or_else(|| RehearsalRefused::Promoting { plugin: name.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Rehearsals {
    /// Puts a plugin's candidate in place of what runs, and waits until it runs. `force` puts up with a report that
    /// is not clean.
    ///
    /// Component and manifest are replaced as one, whatever ends the process meanwhile; the registry takes both when they
    /// have stood still.
    ///
    /// # Errors
    /// When there is no candidate, it is not clean, something else runs by now or under another manifest, the candidate has
    /// no manifest of its own and the one in the directory is not what it was compared under, the plugin is being promoted,
    /// or the candidate does not come to run.
    pub async fn promote(&self, name: &PluginName, force: bool) -> Result<Promoted, RehearsalRefused> {
        self.promote_within(name, force, TAKEN_WITHIN).await
    }

    /// The same, waited for no longer than this.
    pub(super) async fn promote_within(
        &self,
        name: &PluginName,
        force: bool,
        longest: Duration,
    ) -> Result<Promoted, RehearsalRefused> {
        // The thread has it: whoever waits may go away before that is through.
        let turn = self.promoting.begin(name)?;
        let installed = self.installed(name)?;
        let before = self.problem(name);
        let (candidates, of, plugins) = (Arc::clone(&self.candidates), name.clone(), self.plugins.clone());
        let put = tokio::task::spawn_blocking(move || {
            let mut manifest = Arc::default();
            let report = candidates.promote(&of, &plugins, |candidate| {
                check(&of, candidate, &installed, force)?;
                manifest = installed.manifest_of_candidate(candidate.manifest.as_deref())?;
                Ok::<_, RehearsalRefused>((installed.component_path().into(), installed.manifest_path().into()))
            })?;
            let report = report.ok_or(RehearsalRefused::NoCandidate { plugin: of })?;
            Ok::<_, RehearsalRefused>((report, manifest, installed, turn))
        });
        let broken = |_| RehearsalError::Broken { reason: "the thread that replaces files is gone".into() };
        let (registry, store, of) = (Arc::clone(&self.registry), Arc::clone(&self.stage.store), name.clone());
        let put = tokio::spawn(async move {
            let put = put.await.map_err(broken)??;
            let_run(&registry, store, &of, put.0.shadow.candidate_digest.clone()).await?;
            Ok::<_, RehearsalRefused>(put)
        });
        let run = async {
            let (report, manifest, installed, turn) = put.await.map_err(broken)??;
            let generation = self.taken(name, &report.shadow.candidate_digest, &manifest, before).await?;
            Ok::<_, RehearsalRefused>((report, installed, generation, turn))
        };
        let not_yet = |_| RehearsalRefused::NotYet { plugin: name.clone() };
        let (report, installed, generation, _turn) = timeout(longest, run).await.map_err(not_yet)??;
        let digest = report.shadow.candidate_digest.clone();
        let previous_digest = installed.digest().to_owned();
        let (from, to, events) = (report.shadow.from, report.shadow.to, report.shadow.events);
        tracing::info!(plugin = %name, digest, previous_digest, force, %from, %to, events, "candidate promoted");
        let (candidates, of) = (Arc::clone(&self.candidates), name.clone());
        let dropped = tokio::task::spawn_blocking(move || candidates.forget(&of, &report));
        if let Ok(Err(error)) = dropped.await {
            tracing::warn!(plugin = %name, %error, "the files of a promoted candidate stay behind");
        }
        Ok(Promoted { plugin: name.clone(), digest, previous_digest, generation, from, to, events })
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

/// Has a candidate run that lay in the directory before, while another one ran instead of it: by a rollback, or as its
/// rebuild was cancelled. Its files are no news to the registry, but to promote it is an operator's word, which stays said
/// though nobody waits any more.
async fn let_run(
    registry: &Registry,
    store: Arc<dyn Store>,
    name: &PluginName,
    digest: String,
) -> Result<(), RehearsalRefused> {
    let not_taken = |error: &dyn Error| RehearsalRefused::NotTaken { reason: with_sources(error) };
    let of = name.clone();
    let known = tokio::task::spawn_blocking(move || generations(&of, &*store)).await;
    let known = known.map_err(|error| not_taken(&error))?.map_err(|error| not_taken(&error))?;
    if known.instead.is_none_or(|instead| instead.of != digest) {
        return Ok(());
    }
    registry.reload(name, true).await.map_err(|error| not_taken(&error))
}

/// Refuses what should not be promoted.
fn check(name: &PluginName, candidate: &Candidate, live: &Installed, force: bool) -> Result<(), RehearsalRefused> {
    let (plugin, report) = (name.clone(), &candidate.report);
    let shadow = &report.shadow;
    if shadow.live_digest != live.digest() {
        let (compared, live) = (shadow.live_digest.clone(), live.digest().into());
        return Err(RehearsalRefused::OtherLive { plugin, compared, live });
    }
    if report.live_manifest_digest != live.manifest().digest() {
        return Err(RehearsalRefused::OtherManifest { plugin, manifest: live.manifest_path().into() });
    }
    // Its component would replace that of another version, and run under the manifest of that.
    if candidate.manifest.is_none() && !live.is_under_its_file() {
        return Err(RehearsalRefused::OtherFile { plugin, manifest: live.manifest_path().into() });
    }
    if !shadow.clean && !force {
        let (outcomes, emissions) = (shadow.outcomes.count, shadow.emissions.count);
        return Err(RehearsalRefused::NotClean { plugin, outcomes, emissions, state: shadow.state.count });
    }
    Ok(())
}
