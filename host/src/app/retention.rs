//! The task that lets old events go: at the start and then every minute, what the policies ask for and no plugin
//! nor the queue of accepted commands needs. Policies themselves, and what is needed, are the store's to decide (`store::retention`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Host;
use crate::clock::Clock;
use crate::command::Commands;
use crate::delivery::{Status, drop_kept, forget_passed, kept_generation, listened_to};
use crate::error::with_sources;
use crate::event::{Category, PluginName};
use crate::plugin::PluginInfo;
use crate::store::retention::{self, Known, Needed, Reader, Retention, RetentionStatus};
use crate::store::{Owner, Store, StoreError};

/// Time between two looks at the log.
const EVERY: Duration = Duration::from_secs(60);

/// A running task. Dropping it ends the task.
pub(super) struct RetentionTask {
    policies: watch::Sender<Vec<Retention>>,
    status: watch::Receiver<Vec<RetentionStatus>>,
    task: JoinHandle<()>,
}

impl RetentionTask {
    /// Begins to apply policies to a host's log. Must be called within a tokio runtime.
    pub(super) fn start(host: Host, policies: Vec<Retention>, clock: Arc<dyn Clock>) -> Self {
        let (told, status) = watch::channel(Vec::new());
        let (policies, mut asked) = watch::channel(policies);
        let task = tokio::spawn(async move {
            // A plugin that was not found yet would not be heard.
            host.plugins_loaded().await;
            let mut ticks = tokio::time::interval(EVERY);
            let (mut blocked, mut ending) = (Vec::new(), Vec::new());
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    changed = asked.changed() => if changed.is_err() { return },
                }
                let policies = asked.borrow_and_update().clone();
                ending = tell_aggregates(&ending, &policies, &deciding(&host));
                if policies.is_empty() {
                    told.send_replace(Vec::new());
                    continue;
                }
                match apply(&host, &policies, &*clock).await {
                    Ok(status) => {
                        blocked = tell_blocked(blocked, &status);
                        told.send_replace(status);
                    }
                    Err(error) => warn!(error = with_sources(&error), "retention: tried again in a minute"),
                }
            }
        });
        Self { policies, status, task }
    }

    /// Where other policies are put in place of these; they are applied at once.
    pub(super) fn policies(&self) -> watch::Sender<Vec<Retention>> {
        self.policies.clone()
    }

    /// What the policies have come to; empty until the first look.
    pub(super) fn status(&self) -> watch::Receiver<Vec<RetentionStatus>> {
        self.status.clone()
    }
}

impl Drop for RetentionTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn apply(host: &Host, policies: &[Retention], clock: &dyn Clock) -> Result<Vec<RetentionStatus>, StoreError> {
    let (host, store, now_us) = (host.clone(), host.store(), clock.now_us());
    let policies = policies.to_vec();
    let applied =
        tokio::task::spawn_blocking(move || apply_all(&*store, &policies, &|| installed(&host), now_us)).await;
    applied.unwrap_or(Err(StoreError::ShuttingDown))
}

/// Applies policies, after what no generation needs any more is forgotten. A generation that a plugin only keeps to return
/// to, and that alone holds back what a policy lets go, is dropped. Blocks.
fn apply_all(
    store: &dyn Store,
    policies: &[Retention],
    installed: &dyn Fn() -> Vec<Installed>,
    now_us: u64,
) -> Result<Vec<RetentionStatus>, StoreError> {
    for plugin in store.plugins()? {
        if let Err(error) = forget_passed(&plugin, store) {
            warn!(%plugin, error = with_sources(&error), "generations that were left could not be forgotten");
        }
    }
    let known = || known(store, &installed());
    let mut dropped = Vec::new();
    loop {
        let undecided = Commands::first_waiting(store)?;
        let mut status = retention::apply(store, policies, &known, undecided, now_us)?;
        let in_the_way = status.iter().find_map(|status| {
            let needed = status.blocked_by.as_ref()?;
            Some((Owner { plugin: needed.plugin.clone(), generation: needed.kept? }, status.policy.category.clone()))
        });
        let Some((owner, category)) = in_the_way else {
            status.iter_mut().for_each(|status| status.dropped.clone_from(&dropped));
            return Ok(status);
        };
        match drop_kept(&owner, &category, now_us, store) {
            Ok(true) => {
                let why = "it alone held back what retention lets go; there is nothing to roll back to now";
                warn!(plugin = %owner.plugin, generation = owner.generation, %category, why, "kept generation dropped");
                dropped.push(owner);
            }
            // It is not kept any more, for another reason: looked at anew.
            Ok(false) => {}
            Err(error) => {
                warn!(plugin = %owner.plugin, error = with_sources(&error), "a kept generation could not be dropped");
                return Ok(status);
            }
        }
    }
}

/// A plugin of the directory.
struct Installed {
    plugin: PluginName,
    /// Its delivery; none where it does not run.
    running: Option<Status>,
}

/// The plugins of the directory.
fn installed(host: &Host) -> Vec<Installed> {
    // What decides commands is handed no events: it reads what there is.
    let subscribes = |info: &PluginInfo| info.deciding.is_none();
    let plugins = host.plugins().into_iter().filter(subscribes);
    plugins.map(|info| Installed { running: info.running.map(|running| running.status), plugin: info.name }).collect()
}

/// Every plugin that is installed or that something is kept of, with what it asks for, and what they only keep to return to.
/// Blocks.
fn known(store: &dyn Store, installed: &[Installed]) -> Result<Known, StoreError> {
    let mut names: BTreeSet<_> = store.plugins()?.into_iter().collect();
    let mut kept = Vec::new();
    for plugin in &names {
        kept.extend(kept_generation(plugin, store)?);
    }
    names.extend(installed.iter().map(|installed| installed.plugin.clone()));
    let reader = |plugin: PluginName| {
        let found = installed.iter().find(|installed| installed.plugin == plugin);
        let running = found.and_then(|installed| installed.running.as_ref());
        // One that does not run has looked at nothing.
        let looked = found.map(|_| running.map(|running| running.checkpoint).unwrap_or_default());
        let (revision, filters) = listened_to(&plugin, running, store)?;
        Ok(Reader { plugin, looked, filters, revision })
    };
    let readers = names.into_iter().map(reader).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Known { readers, kept })
}

/// For which categories somebody decides, and who.
fn deciding(host: &Host) -> Vec<(Category, PluginName)> {
    let claimed = host.commands().claims().list();
    claimed.into_iter().map(|claimed| (claimed.category, claimed.plugin)).collect()
}

/// Warns once of each category with a policy whose aggregates somebody decides for: they end with their events unless a
/// snapshot stands for those. Answers of which it has warned by now.
fn tell_aggregates(said: &[Category], policies: &[Retention], deciding: &[(Category, PluginName)]) -> Vec<Category> {
    let mut now = Vec::new();
    for (category, plugin) in deciding {
        if policies.iter().all(|policy| policy.category != *category) {
            continue;
        }
        if !said.contains(category) {
            warn!(
                %category, %plugin,
                "a policy removes events of aggregates: one whose events go before a snapshot stands for them takes no more \
                 commands; see snapshot_every in the plugin's manifest"
            );
        }
        now.push(category.clone());
    }
    now
}

/// Says once of each category who holds back what; answers what is said by now.
fn tell_blocked(said: Vec<(String, String)>, status: &[RetentionStatus]) -> Vec<(String, String)> {
    let mut now = Vec::new();
    for RetentionStatus { policy, wanted_before, blocked_by, .. } in status {
        let Some(Needed { plugin, from, .. }) = blocked_by else { continue };
        let block = (policy.category.to_string(), plugin.to_string());
        if !said.contains(&block) {
            let category = &policy.category;
            info!(%category, %plugin, needs_from = from.0, wanted_before = wanted_before.0, "retention waits for a plugin");
        }
        now.push(block);
    }
    now
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::app::HostOptions;
    use crate::clock::SystemClock;
    use crate::event::{EventType, NewEvent, Position, StreamName};
    use crate::store::{AppendRequest, PluginChange, PluginRecord, Progress, UnitOfWork};

    async fn host(directory: &Path) -> Host {
        Host::start(HostOptions::new(directory.to_owned())).await.unwrap()
    }

    async fn append(store: &dyn Store, count: usize) {
        let event = || {
            let event = NewEvent::json(EventType::new("T").unwrap(), "1");
            event.on(StreamName::new("order-1").unwrap())
        };
        store.append(AppendRequest::unconditional((0..count).map(|_| event()).collect())).await.unwrap();
    }

    async fn settle(store: &dyn Store, revision: u64, checkpoint: u64) {
        let work = UnitOfWork {
            owner: "slow".parse().unwrap(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters: Vec::new(),
        };
        store.commit(work).await.unwrap();
    }

    /// A change of that plugin's record and of how far its generations are.
    fn change(content: &str, revision: u64, checkpoints: [(u32, u64); 2]) -> PluginChange {
        let progress = |(generation, checkpoint)| {
            (generation, 0, Progress { checkpoint: Position(checkpoint), revision, ..Progress::default() })
        };
        PluginChange {
            plugin: PluginName::new("slow").unwrap(),
            record: PluginRecord { revision, content: content.into() },
            progress: checkpoints.map(progress).into(),
            progress_removed: Vec::new(),
            generations_dropped: Vec::new(),
        }
    }

    /// Its generations that are there.
    fn generations(store: &dyn Store) -> Vec<u32> {
        let progress = store.plugin_progress(&PluginName::new("slow").unwrap()).unwrap();
        progress.iter().map(|(owner, ..)| owner.generation).collect()
    }

    /// What the first look comes to.
    async fn first_look(host: &Host) -> RetentionStatus {
        let policies = vec!["order=3events".parse().unwrap()];
        let task = RetentionTask::start(host.clone(), policies, Arc::new(SystemClock));
        let mut status = task.status();
        let looked = status.wait_for(|status| !status.is_empty()).await.unwrap();
        looked.first().unwrap().clone()
    }

    #[test]
    fn of_aggregates_that_a_policy_ends_is_warned_once_for_each_who_decides() {
        let policies = ["order=7d", "trace=7d"].map(|text| text.parse::<Retention>().unwrap());
        let deciding = [("account", "accounts"), ("order", "orders")]
            .map(|(category, plugin)| (Category::new(category).unwrap(), PluginName::new(plugin).unwrap()));
        let said = tell_aggregates(&[], &policies, &deciding);
        assert_eq!(said, [Category::new("order").unwrap()]);
        assert_eq!(tell_aggregates(&said, &policies, &deciding), said);
        assert!(tell_aggregates(&said, &policies, &[]).is_empty(), "who decides then is another");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_no_plugin_needs_is_removed_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let host = host(directory.path()).await;
        let store = host.store();
        append(&*store, 10).await;
        settle(&*store, 1, 4).await;
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.wanted_before), (Position(5), Position(8)));
        assert_eq!(status.blocked_by.map(|needed| needed.from), Some(Position(5)));
        settle(&*store, 2, 9).await;
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.blocked_by), (Position(8), None));
        assert_eq!(store.removals().horizon("order"), Position(8));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_generation_that_is_only_kept_goes_when_it_alone_holds_events_back() {
        let directory = tempfile::tempdir().unwrap();
        let host = host(directory.path()).await;
        let store = host.store();
        append(&*store, 10).await;
        let record = r#"{"generation":2,"previous":{"generation":1,"component":"abc"}}"#;
        store.change_plugin(change(record, 1, [(2, 4), (1, 4)])).await.unwrap();
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.dropped), (Position(5), vec![]), "the live one needs as much");
        store.change_plugin(change(record, 2, [(2, 9), (1, 4)])).await.unwrap();
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.blocked_by), (Position(8), None));
        assert_eq!(status.dropped.iter().map(|owner| owner.generation).collect::<Vec<_>>(), [1]);
        assert_eq!(generations(&*store), [2]);
        assert!(!store.plugin_record(&PluginName::new("slow").unwrap()).unwrap().unwrap().content.contains("previous"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_generation_that_was_left_holds_nothing_back_once_the_live_one_has_come_past_it() {
        let directory = tempfile::tempdir().unwrap();
        let host = host(directory.path()).await;
        let store = host.store();
        append(&*store, 10).await;
        // Rolled back from 1, and then another component was put in, on the same state.
        let record = r#"{"generation":0,"component":"b","previous":{"generation":0,"component":"a"},
            "abandoned":{"generation":1,"settled":[{"layout":{"partitions":1,"key":"stream"},"checkpoints":[4]}]}}"#;
        store.change_plugin(change(record, 1, [(0, 3), (1, 4)])).await.unwrap();
        assert_eq!(first_look(&host).await.removed_before, Position(4));
        assert_eq!(generations(&*store), [0, 1], "the live one is not past it");
        settle(&*store, 2, 9).await;
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.blocked_by), (Position(8), None));
        assert_eq!((status.dropped, generations(&*store)), (vec![], vec![0]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_generation_that_is_kept_never_listens_to_does_not_drop_it_and_a_rollback_tells_what_does() {
        let directory = tempfile::tempdir().unwrap();
        let host = host(directory.path()).await;
        let store = host.store();
        append(&*store, 10).await;
        let record = |streams: &str| {
            let filter = format!(r#"{{"types":["T"],"streams":["{streams}"],"tags":[]}}"#);
            format!(
                r#"{{"generation":2,"filter":{filter},"previous":{{"generation":1,"component":"abc","filter":{filter}}}}}"#
            )
        };
        store.change_plugin(change(&record("k-*"), 1, [(2, 4), (1, 2)])).await.unwrap();
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.blocked_by, status.dropped), (Position(8), None, vec![]));
        assert_eq!(generations(&*store), [1, 2]);
        append(&*store, 10).await;
        store.change_plugin(change(&record("order-*"), 2, [(2, 20), (1, 2)])).await.unwrap();
        let status = first_look(&host).await;
        assert_eq!((status.removed_before, status.dropped.len()), (Position(18), 1));
        let known = crate::delivery::generations(&PluginName::new("slow").unwrap(), &*store).unwrap();
        assert!(known.previous.is_none());
        let told = known.dropped.unwrap().to_string();
        assert!(told.contains("generation 1, was dropped at 2") && told.contains("of category order"), "{told}");
    }

    #[test]
    fn a_block_is_told_once() {
        let blocked_by =
            |from| Some(Needed { plugin: PluginName::new("slow").unwrap(), from: Position(from), kept: None });
        let status = |blocked_by| RetentionStatus {
            policy: "order=1d".parse().unwrap(),
            removed_before: Position(1),
            wanted_before: Position(9),
            blocked_by,
            dropped: Vec::new(),
        };
        let said = tell_blocked(Vec::new(), &[status(blocked_by(2))]);
        assert_eq!(said, [("order".to_owned(), "slow".to_owned())]);
        assert_eq!(tell_blocked(said.clone(), &[status(blocked_by(5))]), said, "it moves, and still blocks");
        assert!(tell_blocked(said, &[status(None)]).is_empty(), "so that it is told if it comes back");
    }
}
