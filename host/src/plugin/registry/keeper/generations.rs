//! Which version runs when a plugin's files have changed, what is built beside it, and the way back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Keeper, Prepared, Running};
use crate::delivery::{CommandError, Generations, Rebuild, generations, let_installed_run, note_installed};
use crate::plugin::registry::error::InstallError;
use crate::plugin::registry::prepare::Allowed;
use crate::plugin::registry::refused::GenerationRefused;
use crate::plugin::source::Candidate;
use crate::plugin::{Loaded, Manifest};
use crate::store::StoreError;

/// A version that becomes live when its state is built.
pub(super) struct Pending {
    pub(super) digest: String,
    pub(super) loaded: Arc<dyn Loaded>,
    pub(super) allowed: Allowed,
    pub(super) words: InForce,
}

/// The manifest that a version was given, and what of it is in force.
#[derive(Clone)]
pub(super) struct InForce {
    /// Before anything of it was taken back: all that may be given back.
    pub(super) given: Arc<Manifest>,
    /// With what the manifest in the directory grants of it.
    pub(super) manifest: Arc<Manifest>,
}

impl Pending {
    /// What runs, which builds its own state.
    pub(super) fn of(running: Running) -> Self {
        let Running { digest, loaded, allowed, given, manifest, .. } = running;
        Self { digest, loaded, allowed, words: InForce { given, manifest } }
    }

    /// What is installed.
    fn installed(candidate: &Candidate, prepared: &Prepared) -> Self {
        let (loaded, allowed) = (Arc::clone(&prepared.loaded), prepared.allowed.clone());
        Self { digest: candidate.digest.clone(), loaded, allowed, words: InForce::whole(&candidate.manifest) }
    }
}

impl InForce {
    /// All of it.
    fn whole(manifest: &Arc<Manifest>) -> Self {
        Self { given: Arc::clone(manifest), manifest: Arc::clone(manifest) }
    }
}

/// What is to run, and to be built.
struct Plan {
    /// The component that runs in place of what is installed; none where that runs itself.
    runs: Option<String>,
    /// Why the state of what is installed is built anew, where it is.
    builds: Option<String>,
}

/// What a version says that its plan depends on.
struct Traits {
    schema: Option<String>,
    lifts: String,
    replayable: bool,
}

impl Traits {
    fn of(Prepared { loaded, setup, .. }: &Prepared) -> Self {
        let (schema, lifts) = (schema_of(&**loaded).map(str::to_owned), setup.subscription.lifts.clone());
        Self { schema, lifts, replayable: loaded.replayable() }
    }
}

impl Keeper {
    /// Makes what is installed run, or has its state built, or leaves it, as the record says.
    pub(super) async fn take(&mut self, candidate: Candidate, prepared: Prepared) -> Result<(), InstallError> {
        let mut known = self.archived(&candidate).await?;
        if self.is_stale(&candidate, &known).await && self.cancel().await {
            // It may have become live instead.
            self.keep_up().await;
            known = self.archived(&candidate).await?;
        }
        self.taken = Some(candidate.clone());
        let traits = Traits::of(&prepared);
        let Plan { runs, builds } = self.plan(&candidate, traits, &known).await?;
        let installed = Pending::installed(&candidate, &prepared);
        match &runs {
            None => self.switch(&candidate, (candidate.digest.clone(), installed.words.clone()), prepared).await?,
            Some(run) => self.run_kept(&candidate, run).await?,
        }
        let live = runs.unwrap_or_else(|| candidate.digest.clone());
        let begins = builds.map(|reason| Rebuild::Begin { from: None, reason, live });
        self.build_as_planned(&candidate, installed, begins).await?;
        self.note_manifest(&candidate.digest).await;
        self.tidy(candidate.digest).await;
        Ok(())
    }

    async fn plan(&self, candidate: &Candidate, traits: Traits, known: &Generations) -> Result<Plan, InstallError> {
        if let Some(run) = self.instead(candidate, known).await {
            return Ok(Plan { runs: Some(run), builds: None });
        }
        let (installed, live) = (&candidate.digest, &known.component);
        let Traits { schema, lifts, replayable } = traits;
        // A state that what the plugin does outside depends on is not built anew.
        let is_due = candidate.manifest.rebuild_on_change && !live.is_empty() && known.lifts != lifts && replayable;
        let as_installed = Plan { runs: None, builds: is_due.then(|| "the upcasters have changed".into()) };
        if live.is_empty() || live == installed {
            return Ok(as_installed);
        }
        let building = known.building.as_ref().is_some_and(|building| building.component == *installed);
        if !building && !self.rebuilds(candidate, schema, live).await {
            return Ok(as_installed);
        }
        if !self.has(live).await {
            tracing::warn!(
                plugin = %self.name, digest = live,
                "the component that ran before is not kept, so the one that is installed goes on with the state there is"
            );
            return Ok(as_installed);
        }
        if !replayable {
            return Err(InstallError::NotRebuilt { component: candidate.component_path.clone() });
        }
        Ok(Plan { runs: Some(live.clone()), builds: Some(format!("component {installed} replaces {live}")) })
    }

    /// Goes on with what is built, or begins what is to be, once what is to run does. What is built is read from the record
    /// only then: an operator may have begun or ended it since the plan was made, and a version that is swapped in stops it.
    async fn build_as_planned(
        &mut self,
        candidate: &Candidate,
        installed: Pending,
        begins: Option<Rebuild>,
    ) -> Result<(), InstallError> {
        let known = self.known().await.map_err(|error| InstallError::Delivery(error.into()))?;
        if self.is_stale(candidate, &known).await {
            self.cancel().await;
        } else if let Some(building) = &known.building {
            let itself = self.running.clone().filter(|running| running.digest == building.component);
            return match itself {
                Some(running) => self.go_on(Pending::of(running)).await,
                None if building.component == installed.digest => self.build(installed, Rebuild::GoOn).await,
                None => Ok(()),
            };
        }
        let Some(begins) = begins else { return Ok(()) };
        if self.instead(candidate, &known).await.is_some() {
            // Somebody has ended it.
            return Ok(());
        }
        self.build(installed, begins).await
    }

    /// The component that runs in place of what is installed, if one does and is there.
    async fn instead(&self, candidate: &Candidate, known: &Generations) -> Option<String> {
        let instead = known.instead.as_ref().filter(|instead| instead.of == candidate.digest)?;
        self.has(&instead.run).await.then(|| instead.run.clone())
    }

    /// Whether something is built that is neither installed nor runs in place of that.
    async fn is_stale(&self, candidate: &Candidate, known: &Generations) -> bool {
        let Some(building) = &known.building else { return false };
        let instead = self.instead(candidate, known).await;
        building.component != candidate.digest && instead.as_ref() != Some(&building.component)
    }

    /// Whether a component's state is built anew when it replaces another one.
    async fn rebuilds(&self, candidate: &Candidate, schema: Option<String>, live: &str) -> bool {
        if candidate.manifest.rebuild_on_change {
            return true;
        }
        if schema.is_none() {
            return false;
        }
        let before = self.running.as_ref().filter(|running| running.digest == live);
        match before {
            Some(running) => schema_of(&*running.loaded) != schema.as_deref(),
            None => self.kept_schema(candidate, live).await.is_some_and(|before| before != schema),
        }
    }

    /// The schema of a component that is kept; none when it cannot be loaded.
    async fn kept_schema(&self, candidate: &Candidate, digest: &str) -> Option<Option<String>> {
        let kept = candidate.with_component(self.find(digest).await?, digest.to_owned());
        let Prepared { loaded, .. } = self.prepare(&kept).await?.ok()?;
        Some(schema_of(&*loaded).map(str::to_owned))
    }

    async fn has(&self, digest: &str) -> bool {
        let runs = self.running.as_ref().is_some_and(|running| running.digest == digest);
        runs || self.find(digest).await.is_some()
    }

    /// Where a component is, if it is kept whole.
    async fn find(&self, digest: &str) -> Option<PathBuf> {
        let (archive, digest) = (Arc::clone(&self.around.archive), digest.to_owned());
        let work = tokio::task::spawn_blocking(move || archive.find(&digest));
        // A panic in there has been reported.
        work.await.ok().flatten()
    }

    /// Keeps a component and reads what is known of the plugin.
    async fn archived(&self, candidate: &Candidate) -> Result<Generations, InstallError> {
        let (name, around, candidate) = (self.name.clone(), self.around.clone(), candidate.clone());
        let work = tokio::task::spawn_blocking(move || {
            let bytes = || candidate.read_component().map_err(io::Error::other);
            let kept = around.archive.keep(&name, &candidate.digest, bytes, &*around.store);
            kept.map_err(|source| InstallError::Archive { component: candidate.component_path.clone(), source })?;
            note_installed(&name, &candidate.digest, &*around.store)
                .map_err(|error| InstallError::Delivery(CommandError::Commit(error)))?;
            generations(&name, &*around.store).map_err(|error| InstallError::Delivery(error.into()))
        });
        work.await.unwrap_or_else(|_| Err(InstallError::Delivery(gone().into())))
    }

    /// What is known of the plugin.
    async fn known(&self) -> Result<Generations, StoreError> {
        let (name, store) = (self.name.clone(), Arc::clone(&self.around.store));
        let known = tokio::task::spawn_blocking(move || generations(&name, &*store)).await;
        known.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets go of components that are not needed any more.
    async fn tidy(&self, installed: String) {
        let (name, around) = (self.name.clone(), self.around.clone());
        let runs = self.running.as_ref().map(|running| running.digest.clone());
        let in_use: Vec<_> = runs.into_iter().chain([installed.clone()]).collect();
        let work = tokio::task::spawn_blocking(move || {
            if let Err(error) = note_installed(&name, &installed, &*around.store) {
                tracing::warn!(plugin = %name, %error, "what is installed could not be noted");
            }
            if let Err(error) = around.archive.tidy(&name, in_use, &*around.store) {
                tracing::warn!(plugin = %name, %error, "components that are not needed stay behind");
            }
        });
        // A panic in there has been reported; nothing depends on it.
        let _ = work.await;
    }

    /// Has a component run that is not what is installed: under the manifest that it ran under when it was, as the one
    /// in the directory is that of another, but for what this one grants no more, and how it shares events out.
    async fn run_kept(&mut self, candidate: &Candidate, digest: &str) -> Result<(), InstallError> {
        let layout = |manifest: &Manifest| (manifest.policy.partitions, manifest.policy.key.clone());
        let runs = self.running.as_mut().filter(|running| {
            !self.anew
                && running.digest == digest
                && layout(&running.manifest) == layout(&candidate.manifest)
                && running.secrets == candidate.secrets
                && running.allowed.is_lifted_as_by(&candidate.chain)
                && !running.dispatcher.is_stopped()
                // Nothing is given back to it, which it would have to be loaded with.
                && running.given.grants.within(&candidate.manifest.grants) == running.manifest.grants
        });
        if let Some(running) = runs {
            running.installed = candidate.digest.clone();
            self.show();
            return Ok(());
        }
        let Some((words, prepared)) = self.kept(candidate, digest).await? else { return Ok(()) };
        self.switch(candidate, (digest.to_owned(), words), prepared).await
    }

    /// A component that is kept, ready to run in place of what is installed, with the manifest that it runs under then:
    /// the one that it ran under, but for what `candidate`'s grants no more, and how that shares events out. None when
    /// the plugin is to stop.
    async fn kept(&self, candidate: &Candidate, digest: &str) -> Result<Option<(InForce, Prepared)>, InstallError> {
        let ran = self.running.as_ref().filter(|running| running.digest == digest);
        let given = match ran {
            Some(running) => Some(Arc::clone(&running.given)),
            None => self.kept_manifest(digest).await,
        };
        let mut manifest = given.map_or_else(|| (*candidate.manifest).clone(), Arc::unwrap_or_clone);
        manifest.policy.partitions = candidate.manifest.policy.partitions;
        manifest.policy.key.clone_from(&candidate.manifest.policy.key);
        let path = self.find(digest).await.unwrap_or_else(|| candidate.component_path.clone());
        let kept = candidate.with_component(path, digest.to_owned()).with_manifest(Arc::new(manifest));
        let Some(prepared) = self.prepare(&kept).await else { return Ok(None) };
        let Prepared { loaded, allowed, .. } = prepared?;
        let before = &kept.manifest.grants;
        let left = before.within(&candidate.manifest.grants);
        let allowed = allowed.within(before, &left);
        let manifest = Arc::new(Manifest { grants: left, ..(*kept.manifest).clone() });
        let words = InForce { given: Arc::clone(&kept.manifest), manifest: Arc::clone(&manifest) };
        let Some(allowed) = allowed else {
            // It may not read what it listens to: that is refused, and said, as of any other.
            let refused = self.prepare(&kept.with_manifest(manifest)).await;
            return refused.transpose().map(|prepared| prepared.map(|prepared| (words, prepared)));
        };
        let policy = &manifest.policy;
        let setup = allowed.setup(&*loaded, policy, digest, policy.partitions);
        Ok(Some((words, Prepared { loaded, allowed, setup })))
    }

    /// Has a version build its state; it becomes what runs when that is live.
    pub(super) async fn build(&mut self, pending: Pending, how: Rebuild) -> Result<(), InstallError> {
        let Some(running) = &self.running else { return Ok(()) };
        let Pending { digest, loaded, allowed, words: InForce { manifest, .. } } = &pending;
        let setup = allowed.setup(&**loaded, &manifest.policy, digest, manifest.policy.partitions);
        running.dispatcher.rebuild(setup, how).await.map_err(InstallError::Rebuild)?;
        self.pending = (running.digest != *digest).then_some(pending);
        Ok(())
    }

    /// Has the version that runs go on to build its state, unless that is over.
    async fn go_on(&mut self, itself: Pending) -> Result<(), InstallError> {
        match self.build(itself, Rebuild::GoOn).await {
            Err(InstallError::Rebuild(CommandError::NotRebuilding { .. })) => Ok(()),
            done => done,
        }
    }

    /// Keeps the manifest of what runs with its component, for when another one is installed.
    async fn note_manifest(&self, digest: &str) {
        let Some(running) = self.running.as_ref().filter(|running| running.digest == digest) else { return };
        let (name, around, digest) = (self.name.clone(), self.around.clone(), digest.to_owned());
        let (path, manifest) = (running.manifest_path.clone(), Arc::clone(&running.manifest));
        let work = tokio::task::spawn_blocking(move || around.archive.keep_manifest(&name, &digest, &path, &manifest));
        if let Ok(Err(error)) = work.await {
            tracing::warn!(plugin = %self.name, %error, "the manifest of what runs could not be kept");
        }
    }

    /// The manifest that a component ran under.
    async fn kept_manifest(&self, digest: &str) -> Option<Arc<Manifest>> {
        let (name, around, digest) = (self.name.clone(), self.around.clone(), digest.to_owned());
        let work = tokio::task::spawn_blocking(move || around.archive.manifest(&name, &digest));
        work.await.ok().flatten().map(Arc::new)
    }

    /// Ends the building of what is not installed any more: before another version is swapped in, and after, as nothing
    /// may have run before that could be told. Whether something ran that was told.
    async fn cancel(&self) -> bool {
        let alive = |running: &&Running| !running.dispatcher.is_stopped();
        let Some(running) = self.running.as_ref().filter(alive) else { return false };
        match running.dispatcher.cancel_rebuild().await {
            Ok(()) | Err(CommandError::NotRebuilding { .. }) => {}
            Err(error) => tracing::warn!(plugin = %self.name, %error, "a rebuild could not be ended"),
        }
        true
    }

    /// Waits until the version that is being built is live, or is not being built any more.
    pub(super) async fn built(pending: Option<&Pending>, running: Option<&Running>) {
        let (Some(pending), Some(running)) = (pending, running) else { return std::future::pending().await };
        let mut status = running.dispatcher.watch();
        let over = status.wait_for(|status| status.component == pending.digest || status.rebuild.is_none()).await;
        // An error means that the delivery has ended: nothing is built any more.
        drop(over);
    }

    /// Notes that the version that was built runs, if it has become live while something else was done.
    pub(super) async fn keep_up(&mut self) {
        let live = self.running.as_ref().map(|running| running.dispatcher.status().component);
        if self.pending.as_ref().is_some_and(|pending| live.as_ref() == Some(&pending.digest)) {
            self.adopt().await;
        }
    }

    /// Notes that the version that was built runs, if it does.
    pub(super) async fn adopt(&mut self) {
        let Some(Pending { digest, loaded, allowed, words }) = self.pending.take() else { return };
        let InForce { given, manifest } = words;
        let live = self.running.as_mut().filter(|running| running.dispatcher.status().component == digest);
        let Some(running) = live else { return };
        self.generation += 1;
        tracing::info!(plugin = %self.name, generation = self.generation, digest, "plugin runs");
        let installed = running.installed.clone();
        let noted = digest.clone();
        *running = Running { generation: self.generation, digest, loaded, allowed, given, manifest, ..running.clone() };
        self.show();
        self.note_manifest(&noted).await;
        self.tidy(installed).await;
    }

    /// Returns to what was live before.
    pub(super) async fn roll_back(&mut self) -> Result<(), GenerationRefused> {
        self.keep_up().await;
        let plugin = self.name.clone();
        let not_running = || GenerationRefused::NotRunning { plugin: plugin.clone() };
        let (running, candidate) = self.running.clone().zip(self.taken.clone()).ok_or_else(not_running)?;
        let known = self.known().await?;
        if known.building.is_some() {
            return Err(CommandError::Rebuilding { plugin: plugin.clone() }.into());
        }
        let nothing = || CommandError::NothingBefore { plugin: plugin.clone(), dropped: known.dropped };
        let previous = known.previous.ok_or_else(nothing)?;
        let digest = previous.component;
        let (loaded, allowed, InForce { given, manifest }) = if digest == running.digest {
            let words = InForce { given: Arc::clone(&running.given), manifest: Arc::clone(&running.manifest) };
            (Arc::clone(&running.loaded), running.allowed.clone(), words)
        } else {
            if self.find(&digest).await.is_none() {
                return Err(GenerationRefused::ComponentGone { plugin, digest });
            }
            let granted = self.read.as_ref().unwrap_or(&candidate.manifest).grants.clone();
            let asked = Arc::new(Manifest { grants: granted, ..(*running.manifest).clone() });
            let kept = self.kept(&candidate.with_manifest(asked), &digest).await?;
            let (words, Prepared { loaded, allowed, .. }) = kept.ok_or_else(not_running)?;
            (loaded, allowed, words)
        };
        let setup = allowed.setup(&*loaded, &manifest.policy, &digest, manifest.policy.partitions);
        running.dispatcher.roll_back(setup, &running.installed).await?;
        self.generation += 1;
        tracing::info!(plugin = %self.name, generation = self.generation, digest, "plugin rolled back");
        let installed = running.installed.clone();
        let generation = self.generation;
        self.running = Some(Running { generation, digest, loaded, allowed, given, manifest, ..running });
        self.show();
        self.tidy(installed).await;
        Ok(())
    }

    /// Lets what is installed run, whatever runs instead of it.
    pub(super) async fn let_installed_run(&self) -> Result<(), GenerationRefused> {
        let (name, store) = (self.name.clone(), Arc::clone(&self.around.store));
        let done = tokio::task::spawn_blocking(move || let_installed_run(&name, &*store)).await;
        done.unwrap_or_else(|_| Err(gone().into())).map_err(CommandError::from)?;
        Ok(())
    }

    /// Puts what runs on the board.
    pub(super) fn show(&self) {
        let running = self.running.clone();
        self.around.board.write(&self.name, |entry| {
            running.iter().for_each(|running| entry.queries.follow(running));
            entry.running = running;
            entry.problem = None;
        });
    }
}

fn schema_of(loaded: &dyn Loaded) -> Option<&str> {
    loaded.description()?.state_schema()
}

fn gone() -> StoreError {
    StoreError::ReadFailed { reason: "the thread that asks the store panicked".into() }
}
