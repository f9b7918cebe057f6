//! The task that looks at the directory and tells the keepers what is wanted.
//!
//! What is new, a component or a manifest, is taken up only after a look at upcasters, and one at validators, that began
//! after it was seen, is over, and found files that stand still ([`Arrivals`]): who installs both at once must not have one
//! run without the other. Looks take long where something is compiled. What runs already goes on, and is told at once what
//! it may.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::arrivals::{Arrivals, SETTLING_LOOKS_MAX};
use super::beside::Beside;
use super::keeper::{self, Kept, Surroundings, Wanted};
use super::reload::LookAsked;
use crate::command::Checks;
use crate::event::{Category, PluginName};
use crate::plugin::Loader;
use crate::plugin::source::{Broken, Candidate, CommandFiles, Found, Outlook, Scan, Scanner, SourceError, TypeFiles};
use crate::plugin::watcher::{Pace, Watcher};
use crate::schema::{Chain, SchemaCell};

/// What is looked at, and where it is put what is found.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) loader: Arc<dyn Loader>,
    pub(super) schemas: Arc<SchemaCell>,
    pub(super) checks: Arc<Checks>,
}

/// What looks at the directory; it moves to a blocking thread for each look.
pub(super) struct Eyes {
    place: Place,
    scanner: Scanner,
    types: TypeFiles,
    watcher: Watcher,
}

struct Supervisor {
    around: Surroundings,
    kept: BTreeMap<PluginName, Kept>,
    /// Keepers that are ending.
    leaving: BTreeMap<PluginName, Kept>,
    /// Given away when the first look is over.
    ready: Option<watch::Sender<bool>>,
    arrivals: Arrivals,
    /// Who waits for a look that shows a plugin's files as they are.
    asked: Vec<LookAsked>,
}

/// Runs the plugins of a directory until it is told to stop.
pub(super) async fn run(
    (mut eyes, mut beside): (Eyes, Beside),
    pace: Pace,
    around: Surroundings,
    ready: watch::Sender<bool>,
    (mut asked, mut stopping): (mpsc::Receiver<LookAsked>, watch::Receiver<bool>),
) {
    let mut supervisor = Supervisor::new(around, ready);
    let mut is_news = false;
    loop {
        // What a look beside has found is dealt with before it is made again: those that take long would be made without
        // end.
        if !std::mem::take(&mut is_news) {
            beside.begin();
        }
        let looks = async {
            let looked = eyes.look(pace).await;
            beside.at_most(pace.debounce).await;
            looked
        };
        let (back, outcome) = tokio::select! {
            looked = looks => looked,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        eyes = back;
        let settling = supervisor.reconcile(outcome, &beside);
        let at_once = tokio::select! {
            () = eyes.watcher.due(settling) => false,
            () = beside.next() => {
                is_news = true;
                true
            }
            Some(first) = asked.recv() => {
                supervisor.asked.push(first);
                true
            }
            // An error means that the registry was dropped.
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        if at_once {
            eyes.watcher.due(true).await;
        }
    }
    supervisor.stop().await;
}

impl Eyes {
    /// Takes what events are held to, as far as it is there. Blocks.
    pub(super) fn open(place: Place, pace: Pace) -> Self {
        let types = TypeFiles::new(&place.directory, Arc::clone(&place.schemas));
        Self::with(place, pace, types)
    }

    /// Looks anew, where the last look panicked: what it had put in place goes on.
    fn again(place: Place, pace: Pace) -> Self {
        let types = TypeFiles::again(&place.directory, Arc::clone(&place.schemas));
        Self::with(place, pace, types)
    }

    fn with(place: Place, pace: Pace, types: TypeFiles) -> Self {
        let (scanner, watcher) = (Scanner::new(place.directory.clone()), Watcher::new(pace));
        Self { place, scanner, types, watcher }
    }

    /// Looks at the directory, and watches what is in it from then on.
    async fn look(mut self, pace: Pace) -> (Self, Result<Scan, SourceError>) {
        let place = self.place.clone();
        let look = tokio::task::spawn_blocking(move || {
            // Before the look, so that what changes during it is heard.
            self.watcher.rearm([self.place.directory.as_path()]);
            let mut outcome = self.scanner.scan();
            if let Ok(scan) = &mut outcome {
                let (problem, settling) = self.types.look();
                scan.strays.extend(problem);
                scan.settling |= settling;
                let schemas = CommandFiles::schemas_in(&self.place.directory);
                let folders = scan.folders.iter().map(PathBuf::as_path);
                self.watcher.rearm(folders.chain([self.place.directory.as_path(), schemas.as_path()]));
            }
            (self, outcome)
        });
        look.await.unwrap_or_else(|error| {
            let (path, reason) = (place.directory.clone(), error.to_string());
            (Self::again(place, pace), Err(SourceError::Directory { path, reason }))
        })
    }
}

impl Supervisor {
    fn new(around: Surroundings, ready: watch::Sender<bool>) -> Self {
        let (kept, leaving, arrivals) = (BTreeMap::new(), BTreeMap::new(), Arrivals::default());
        Self { around, kept, leaving, ready: Some(ready), arrivals, asked: Vec::new() }
    }

    /// Tells the keepers what a look found; answers whether another look is due soon.
    fn reconcile(&mut self, outcome: Result<Scan, SourceError>, beside: &Beside) -> bool {
        self.leaving.retain(|_, kept| !kept.task.is_finished());
        let news = self.around.board.note_directory(outcome.as_ref().err().map(ToString::to_string));
        let mut scan = match outcome {
            Ok(scan) => scan,
            Err(problem) => {
                if news {
                    tracing::warn!(reason = %problem, "plugins directory not readable");
                }
                self.asked.drain(..).for_each(|asked| drop(asked.answer.send(Err(problem.clone()))));
                self.begun();
                return false;
            }
        };
        beside.add_to(&mut scan);
        self.take_chain(beside.outlook(), &mut scan);
        for reason in self.around.board.note_strays(&scan.strays) {
            tracing::warn!(reason, "not a plugin");
        }
        let chain = self.around.board.chain();
        self.release(&scan);
        let looks = beside.looks();
        self.arrivals.note(&scan.plugins, looks);
        let mut unsettled = BTreeSet::new();
        for (name, found) in scan.plugins {
            let is_held = self.arrivals.is_held(&name);
            let wanted = match found {
                Found::Settling => None,
                Found::Ready(candidate) if is_held => {
                    self.kept.contains_key(&name).then(|| Wanted::Held(candidate.manifest))
                }
                Found::Ready(candidate) => lifted(*candidate, chain.as_ref()),
                Found::Broken(broken) => Some(Wanted::Broken(broken)),
            };
            if !wanted.is_some_and(|wanted| self.want(&name, wanted)) || is_held {
                unsettled.insert(name);
            }
        }
        self.answer(&unsettled);
        let settling = scan.settling || looks.iter().any(|looks| looks.settling) || !unsettled.is_empty();
        // Somebody who keeps writing in the directory does not keep the start from being over.
        let looked_enough = looks.iter().all(|looks| looks.ended > SETTLING_LOOKS_MAX) && !self.arrivals.are_held();
        if !settling || looked_enough {
            self.begun();
        }
        settling
    }

    /// Takes in what lifts events.
    fn take_chain(&self, outlook: Option<&Outlook>, scan: &mut Scan) {
        let Some(Outlook { chain, folder, .. }) = outlook else { return };
        match chain {
            Some(Ok(chain)) => self.around.board.note_chain(Ok(Arc::clone(chain))),
            Some(Err(problem)) => {
                self.around.board.note_chain(Err(problem.to_string()));
                scan.strays.insert(folder.clone(), problem.clone());
            }
            None => {}
        }
        self.around.claims.set_unlifted(self.around.board.known_chain().err());
    }

    /// Tells those who wait that what is in the directory of their plugin is what is wanted.
    fn answer(&mut self, unsettled: &BTreeSet<PluginName>) {
        let waits = |asked: &LookAsked| unsettled.contains(&asked.plugin) && !asked.answer.is_closed();
        let (waiting, told): (Vec<_>, Vec<_>) = std::mem::take(&mut self.asked).into_iter().partition(waits);
        self.asked = waiting;
        told.into_iter().for_each(|asked| drop(asked.answer.send(Ok(()))));
    }

    /// Tells a plugin's keeper what is wanted; false when its last one is still ending, or its name is kept free.
    fn want(&mut self, name: &PluginName, wanted: Wanted) -> bool {
        if self.leaving.contains_key(name) || !self.around.board.admit(name) {
            return false;
        }
        let rivals = self.rivals(wanted.category(name));
        match self.kept.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                let kept = keeper::spawn(vacant.key().clone(), wanted, rivals, self.around.clone());
                vacant.insert(kept);
            }
            Entry::Occupied(occupied) => {
                occupied.get().wanted.send_if_modified(|current| {
                    let news = *current != wanted;
                    *current = wanted;
                    news
                });
            }
        }
        true
    }

    /// Who comes before in claiming a category: at the start those that are there, as the first by name is to have it
    /// however long each takes to load; later nobody, as who has it keeps it.
    fn rivals(&self, category: Option<Category>) -> Vec<watch::Receiver<bool>> {
        if self.ready.is_none() || category.is_none() {
            return Vec::new();
        }
        self.kept.values().filter(|kept| kept.category == category).map(|kept| kept.settled.clone()).collect()
    }

    /// Tells the keepers of plugins whose files are gone to stop.
    fn release(&mut self, scan: &Scan) {
        let gone = self.kept.keys().filter(|name| !scan.plugins.contains_key(name));
        for name in gone.cloned().collect::<Vec<_>>() {
            if let Some(kept) = self.kept.remove(&name) {
                kept.wanted.send_replace(Wanted::Gone);
                self.leaving.insert(name, kept);
            }
        }
    }

    /// The first look is over: says so when all that it found has been dealt with.
    fn begun(&mut self) {
        let Some(ready) = self.ready.take() else { return };
        let settled: Vec<_> = self.kept.values().map(|kept| kept.settled.clone()).collect();
        tokio::spawn(async move {
            for mut settled in settled {
                // An error means that the keeper has ended, which settles it too.
                let _ = settled.wait_for(|settled| *settled).await;
            }
            ready.send_replace(true);
        });
    }

    /// Stops every plugin, all at once, and waits for them.
    async fn stop(self) {
        let kept = self.kept.into_values().chain(self.leaving.into_values());
        // Taking the sender away is the sign to stop.
        let tasks: Vec<_> = kept.map(|kept| kept.task).collect();
        for task in tasks {
            // A keeper that panicked has been reported by the runtime; there is nothing left to stop.
            let _ = task.await;
        }
    }
}

/// What is wanted of a plugin whose events a chain lifts; nothing yet where that is not known.
fn lifted(candidate: Candidate, chain: Option<&Result<Arc<Chain>, String>>) -> Option<Wanted> {
    match chain? {
        Ok(chain) => Some(Wanted::Ready(Box::new(candidate.lifted_by(chain)))),
        // Events that are not lifted are not handed over.
        Err(reason) => {
            let (problem, manifest) = (SourceError::Unlifted { reason: reason.clone() }, Some(candidate.manifest));
            Some(Wanted::Broken(Broken { problem, manifest }))
        }
    }
}
