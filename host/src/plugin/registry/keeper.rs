//! The task of one plugin: makes what runs into what is wanted, one step at a time.
//!
//! Whatever cannot be loaded changes nothing: the version that runs goes on, and the problem stands on the
//! board until the files are mended. A problem is logged when it arises, and then not again. What the manifest that was
//! read last does not grant, nothing does that runs under its name (`revocation`).

mod deciding;
mod generations;
mod ordered;
mod revocation;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::RegistryOptions;
use super::board::{Board, Running};
use super::error::InstallError;
use super::prepare::{Prepared, load_options, prepare};
use crate::clock::Clock;
use crate::command::Claims;
use crate::delivery::{self, CommandError, Setup, State};
use crate::event::{Category, PluginName};
use crate::plugin::archive::Archive;
use crate::plugin::source::{Broken, Candidate};
use crate::plugin::{Loader, Manifest, SecretResolver};
use crate::store::Store;
use deciding::Deciding;
use generations::{InForce, Pending};
pub(super) use ordered::Order;

/// Components that are loaded at once; a bound on memory, well above what a machine has cores for.
const LOADS_MAX: usize = 8;
/// Large ones at once: they take seconds, and small ones must not wait for them.
const LARGE_LOADS_MAX: usize = 2;
/// From how many bytes on a component is large.
const LARGE_BYTES: u64 = 1 << 20;

/// How often a version is installed anew because what was built has become live meanwhile.
const ROUNDS_MAX: usize = 4;

/// What is said of a version that goes on while nobody can read what it is granted.
const GRANTED_STILL: &str = "until its manifest can be read, what runs keeps all that it was granted before: stop it by \
                             taking its files away";

/// Operators who wait at once; more wait to be heard.
const ORDERS_MAX: usize = 8;

/// Turns at the engine.
struct Loads {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Loads {
    fn new() -> Self {
        Self { small: Arc::new(Semaphore::new(LOADS_MAX)), large: Arc::new(Semaphore::new(LARGE_LOADS_MAX)) }
    }

    /// The queue that a component waits in.
    fn of(&self, candidate: &Candidate) -> Arc<Semaphore> {
        let large = candidate.component_bytes() >= LARGE_BYTES;
        Arc::clone(if large { &self.large } else { &self.small })
    }
}

/// What all keepers share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) board: Arc<Board>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pub(super) loader: Arc<dyn Loader>,
    pub(super) claims: Claims,
    secrets: Arc<dyn SecretResolver>,
    pub(super) archive: Arc<Archive>,
    loads: Arc<Loads>,
}

/// What should run under a plugin's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This version.
    Ready(Box<Candidate>),
    /// What runs already, with what another version's manifest grants: that version has to wait.
    Held(Arc<Manifest>),
    /// What runs already, if anything: the files are broken.
    Broken(Broken),
    /// Nothing.
    Gone,
}

/// The supervisor's side of a keeper. Dropping it stops the plugin.
pub(super) struct Kept {
    pub(super) wanted: watch::Sender<Wanted>,
    /// True once the first wish has been dealt with.
    pub(super) settled: watch::Receiver<bool>,
    /// What it would decide for when it was started, if it decides.
    pub(super) category: Option<Category>,
    pub(super) task: JoinHandle<()>,
}

struct Keeper {
    name: PluginName,
    around: Surroundings,
    wanted: watch::Receiver<Wanted>,
    orders: mpsc::Receiver<Order>,
    generation: u64,
    running: Option<Running>,
    /// What decides commands, where the plugin is an aggregate.
    deciding: Option<Deciding>,
    /// Who claims the same category and has been told to run before, true once that has been dealt with.
    rivals: Vec<watch::Receiver<bool>>,
    /// The category that it would decide for, if another plugin did not.
    claimed_elsewhere: Option<Category>,
    /// The files that were dealt with last.
    taken: Option<Candidate>,
    /// The manifest that was read last, taken or not: nothing is done that it does not grant.
    read: Option<Arc<Manifest>>,
    /// Whether the one that is there now cannot be read: what it takes back is not known.
    unread: bool,
    /// What becomes live when its state is built.
    pending: Option<Pending>,
    /// Whether nothing that runs counts as loaded: an operator has it loaded anew.
    anew: bool,
    /// Why what ran last is stopped, where it may not go on.
    stopped: Option<&'static str>,
}

impl Surroundings {
    /// Waits until nobody decides for a category; for ever where none is waited for.
    async fn free(&self, category: Option<&Category>) {
        match category {
            Some(category) => self.claims.free(category).await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn new(options: &RegistryOptions, board: Arc<Board>) -> Self {
        Self {
            board,
            store: Arc::clone(&options.store),
            clock: Arc::clone(&options.clock),
            loader: Arc::clone(&options.loader),
            claims: options.claims.clone(),
            secrets: Arc::clone(&options.secrets),
            archive: Arc::new(Archive::new(options.archive.clone())),
            loads: Arc::new(Loads::new()),
        }
    }
}

impl Wanted {
    /// What it would decide for, if it decides commands.
    pub(super) fn category(&self, name: &PluginName) -> Option<Category> {
        let Self::Ready(candidate) = self else { return None };
        candidate.manifest.aggregate.category.clone().or_else(|| Category::new(name.as_str()).ok())
    }
}

/// Starts a plugin's keeper with its first wish. It claims no category before its rivals have been dealt with.
pub(super) fn spawn(
    name: PluginName,
    wanted: Wanted,
    rivals: Vec<watch::Receiver<bool>>,
    around: Surroundings,
) -> Kept {
    let category = wanted.category(&name);
    let (wanted, receiver) = watch::channel(wanted);
    let (tell, settled) = watch::channel(false);
    let (order, orders) = mpsc::channel(ORDERS_MAX);
    around.board.write(&name, |entry| entry.orders = Some(order));
    let keeper = Keeper {
        name,
        around,
        wanted: receiver,
        orders,
        generation: 0,
        running: None,
        deciding: None,
        rivals,
        claimed_elsewhere: None,
        taken: None,
        read: None,
        unread: false,
        pending: None,
        anew: false,
        stopped: None,
    };
    let task = tokio::spawn(keeper.run(tell));
    Kept { wanted, settled, category, task }
}

impl Keeper {
    async fn run(mut self, settled: watch::Sender<bool>) {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if wanted == Wanted::Gone {
                break;
            }
            // What is wrong with it is on the board.
            let _ = self.make(wanted).await;
            settled.send_replace(true);
            if !self.wait().await {
                break;
            }
        }
        self.stop().await;
    }

    /// Makes what is wanted run. What is wrong with it is reported.
    async fn make(&mut self, wanted: Wanted) -> Result<(), InstallError> {
        self.claimed_elsewhere = None;
        let made = match wanted {
            Wanted::Ready(candidate) => {
                self.unread = false;
                self.install(*candidate).await
            }
            Wanted::Held(manifest) => {
                self.unread = false;
                self.read = Some(manifest);
                let ran = self.running.is_some();
                self.revoke_delivery().await;
                // What has to wait is refused later, if it is: that may take long.
                if let (true, None, Some(why)) = (ran, &self.running, self.stopped) {
                    self.report(format!("what ran before is stopped: {why}"));
                }
                Ok(())
            }
            Wanted::Broken(Broken { problem, manifest }) => {
                self.unread = manifest.is_none();
                self.read = manifest.or(self.read.take());
                Err(problem.into())
            }
            Wanted::Gone => Ok(()),
        };
        if let Err(error) = &made {
            self.refuse(error).await;
        }
        // Now that it shows what came of it.
        self.around.board.write(&self.name, |entry| entry.loading = false);
        made
    }

    /// Waits for another wish, or until the last one may come true after all, and does what comes up meanwhile. False
    /// when the registry stops.
    async fn wait(&mut self) -> bool {
        loop {
            tokio::select! {
                // To reload takes in what is wanted.
                biased;
                Some(order) = self.orders.recv() => self.obey(order).await,
                changed = self.wanted.changed() => return changed.is_ok(),
                () = self.around.free(self.claimed_elsewhere.as_ref()) => return true,
                () = Self::built(self.pending.as_ref(), self.running.as_ref()) => {
                    self.adopt().await;
                    // It may have become live before it could lose what was taken back meanwhile.
                    self.revoke_delivery().await;
                }
            }
        }
    }

    /// Makes a candidate run, unless it runs already or cannot.
    async fn install(&mut self, candidate: Candidate) -> Result<(), InstallError> {
        self.around.board.write(&self.name, |entry| entry.at(&candidate.source));
        self.read = Some(Arc::clone(&candidate.manifest));
        let mut round = 1;
        loop {
            self.keep_up().await;
            if self.runs(&candidate) {
                self.around.board.write(&self.name, |entry| entry.problem = None);
                break Ok(());
            }
            self.around.board.write(&self.name, |entry| entry.loading = true);
            // What is taken back is lost before the next version is compiled, which may take long.
            self.revoke_delivery().await;
            match self.try_to_install(candidate.clone()).await {
                Err(error) if error.is_overtaken() && round < ROUNDS_MAX => round += 1,
                made => break made,
            }
        }
    }

    async fn try_to_install(&mut self, candidate: Candidate) -> Result<(), InstallError> {
        let prepared = tokio::select! {
            prepared = self.prepare(&candidate) => prepared,
            () = self.taken_back(&candidate) => None,
        };
        match prepared {
            // Something newer is wanted: that is dealt with next.
            None => Ok(()),
            Some(Ok(_)) if self.is_outdated(&candidate) => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(prepared)) if prepared.decides() => self.claim(candidate, prepared).await,
            Some(Ok(prepared)) => self.take(candidate, prepared).await,
        }
    }

    /// Whether exactly this runs. Handing over the same files again starts a halted plugin anew.
    fn runs(&self, candidate: &Candidate) -> bool {
        if self.anew {
            return false;
        }
        if let Some(deciding) = &self.deciding {
            return deciding.digest == candidate.digest
                && deciding.manifest == candidate.manifest
                && deciding.secrets == candidate.secrets
                && deciding.chain == candidate.chain;
        }
        self.running.as_ref().is_some_and(|running| {
            let same = running.installed == candidate.digest
                && running.manifest == candidate.manifest
                && running.secrets == candidate.secrets
                && running.allowed.is_lifted_as_by(&candidate.chain);
            let halted = matches!(running.dispatcher.status().state, State::Halted { .. } | State::Quarantined { .. });
            same && !halted && !running.dispatcher.is_stopped()
        })
    }

    /// Loads a candidate on a blocking thread, while what runs goes on. None when the plugin is to stop.
    async fn prepare(&self, candidate: &Candidate) -> Option<Result<Prepared, InstallError>> {
        let permit = self.around.loads.of(candidate).acquire_owned();
        // It was tried within those limits, so it is known to start within them.
        let is_known = |running: &&Running| {
            running.digest == candidate.digest && load_options(&running.manifest) == load_options(&candidate.manifest)
        };
        let known =
            self.running.as_ref().filter(|_| !self.anew).filter(is_known).map(|running| Arc::clone(&running.loaded));
        let (name, loader) = (self.name.clone(), Arc::clone(&self.around.loader));
        let secrets = Arc::clone(&self.around.secrets);
        let component = candidate.component_path.clone();
        let candidate = candidate.clone();
        let load = async {
            let permit = permit.await;
            let load = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                prepare(&name, &candidate, known, &*loader, &*secrets)
            });
            load.await.unwrap_or(Err(InstallError::Panicked { component }))
        };
        let mut wanted = self.wanted.clone();
        tokio::select! {
            prepared = load => Some(prepared),
            // An error means that the registry stops.
            _ = wanted.wait_for(|wanted| *wanted == Wanted::Gone) => None,
        }
    }

    /// Whether another version is wanted by now. A broken one is not: it would not replace this one.
    fn is_outdated(&self, candidate: &Candidate) -> bool {
        match &*self.wanted.borrow() {
            Wanted::Ready(newer) => **newer != *candidate,
            Wanted::Broken(_) => false,
            Wanted::Held(_) | Wanted::Gone => true,
        }
    }

    /// Swaps a version of this component and manifest in, or starts the first one; it decides no commands. `candidate` is
    /// what is installed.
    async fn switch(
        &mut self,
        candidate: &Candidate,
        (digest, InForce { given, manifest }): (String, InForce),
        prepared: Prepared,
    ) -> Result<(), InstallError> {
        let Prepared { loaded, allowed, setup } = prepared;
        let alive = |running: &&Running| !running.dispatcher.is_stopped();
        let dispatcher = match self.running.as_ref().filter(alive) {
            None => self.start(setup),
            Some(running) => match running.dispatcher.replace(setup, &running.digest).await {
                Ok(()) => running.dispatcher.clone(),
                Err(CommandError::Replaced { plugin }) => return Err(InstallError::Overtaken { plugin }),
                Err(error) => {
                    self.running = None;
                    self.around.board.write(&self.name, |entry| entry.running = None);
                    return Err(InstallError::Delivery(error));
                }
            },
        };
        self.generation += 1;
        let generation = self.generation;
        let Candidate { digest: installed, manifest_path, component_path, secrets, .. } = candidate.clone();
        tracing::info!(plugin = %self.name, generation, digest, "plugin runs");
        self.running = Some(Running {
            generation,
            digest,
            installed,
            given,
            manifest,
            loaded,
            allowed,
            dispatcher,
            component_path,
            manifest_path,
            secrets,
        });
        (self.pending, self.stopped) = (None, None);
        // One that decides goes on until what replaces it runs.
        self.give_up_claim();
        self.show();
        Ok(())
    }

    fn start(&self, setup: Setup) -> delivery::Dispatcher {
        delivery::spawn(setup, Arc::clone(&self.around.store), Arc::clone(&self.around.clock))
    }

    /// Leaves what runs as it is, but for what the manifest that was read last grants no more, and tells the problem.
    async fn refuse(&mut self, error: &InstallError) {
        self.revoke().await;
        let runs = self.running.is_some() || self.deciding.is_some();
        let reason = match self.stopped {
            Some(why) => format!("{}; what ran before is stopped: {why}", error.line()),
            None if self.unread && runs => format!("{}; {GRANTED_STILL}", error.line()),
            None => error.line(),
        };
        self.report(reason);
    }

    /// Logs a problem, once, and puts it on the board.
    fn report(&self, reason: String) {
        if self.running.is_some() || self.deciding.is_some() {
            tracing::warn!(plugin = %self.name, reason, "plugin not replaced; the version that runs goes on");
        } else {
            tracing::warn!(plugin = %self.name, reason, "plugin does not run");
        }
        let problem = self.around.board.problem(reason);
        self.around.board.write(&self.name, |entry| entry.problem = Some(problem));
    }

    async fn stop(mut self) {
        self.give_up_claim();
        if let Some(running) = &self.running {
            running.dispatcher.stop().await;
            tracing::info!(plugin = %self.name, "plugin stopped");
        }
        self.around.board.remove(&self.name);
    }
}
