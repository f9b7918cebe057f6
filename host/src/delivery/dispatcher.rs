//! The tokio shell of delivery: a group of tasks per plugin carries out what [`super::machine`] decides.
//!
//! Each partition has a task (`task`), which reads, calls its handler on a blocking thread, commits, sleeps, and
//! takes commands at batch boundaries. It decides nothing about events. One more task (`group`) starts the
//! partitions from what is stored (`begin`), replaces them, passes commands on, and in the end writes down how far they
//! are (`passed`). While a generation is built (`rebuild`) a second set of such tasks runs beside, never ahead of the
//! first; `generations` is what makes one live.

mod begin;
mod beside;
mod command;
mod generations;
mod group;
mod partitions;
mod passed;
mod rebuild;
mod redrive;
mod rekey;
mod set_aside;
mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::handler::Handler;
use super::permit::Permit;
use super::policy::{Policy, Subscription};
use super::status::Status;
use crate::clock::Clock;
use crate::event::{PluginName, Position};
use crate::store::Store;
use command::{Command, Swap};
pub use command::{CommandError, Letters, Rebuild, Redriven, Retry, StillFailing};

/// Commands that may wait for a boundary; senders wait when there are more.
const COMMANDS_MAX: usize = 64;

/// All that delivery needs to know of a plugin. Replaced as a whole on reload.
pub struct Setup {
    /// The plugin.
    pub plugin: PluginName,
    /// What it listens to.
    pub subscription: Subscription,
    /// How it is driven.
    pub policy: Policy,
    /// Event types it may append.
    pub append: Permit,
    /// SHA-256 of its component, in hex; empty for native handlers.
    pub component_digest: String,
    /// SHA-256 of what its manifest says, in hex; empty where it has none. Under another one a halt ends.
    pub manifest_digest: String,
    /// Its code, once for each partition: there are as many partitions as there are of these.
    pub handlers: Vec<Box<dyn Handler>>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("plugin", &self.plugin)
            .field("subscription", &self.subscription)
            .field("component_digest", &self.component_digest)
            .finish_non_exhaustive()
    }
}

/// The running delivery of one plugin. Cheap to clone; its tasks end with [`Dispatcher::stop`], or when the
/// last clone is dropped.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    plugin: PluginName,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

/// Starts delivery to a plugin. Must be called within a tokio runtime.
pub fn spawn(setup: Setup, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Dispatcher {
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let (sender, status) = watch::channel(Status::default());
    let plugin = setup.plugin.clone();
    tokio::spawn(group::run(setup, store, clock, receiver, sender));
    Dispatcher { plugin, commands, status }
}

impl Dispatcher {
    /// Replaces handlers, subscription and policy at the next batch boundary; answers when it has happened.
    /// What is in flight is finished or rolled back before. A plugin that is halted or quarantined goes on, one
    /// that is paused stays so; attempts at an event that fails in place start anew.
    ///
    /// # Errors
    /// When the plugin is stopped.
    pub async fn swap(&self, setup: Setup) -> Result<(), CommandError> {
        self.ask(|answer| Command::Swap(Box::new(Swap { setup, over: None, fresh: true }), answer)).await?
    }

    /// The same, if this component is live: SHA-256, in hex.
    ///
    /// # Errors
    /// When another component is live by now, or the plugin is stopped.
    pub async fn replace(&self, setup: Setup, live: &str) -> Result<(), CommandError> {
        let swap = Swap { setup, over: Some(live.into()), fresh: true };
        self.ask(|answer| Command::Swap(Box::new(swap), answer)).await?
    }

    /// Goes on with the component that is live, which is allowed less: what has stopped it, and what it has failed at,
    /// stays as it is.
    ///
    /// # Errors
    /// When another component is live by now, or the plugin is stopped.
    pub async fn narrow(&self, setup: Setup) -> Result<(), CommandError> {
        let swap = Swap { over: Some(setup.component_digest.clone()), fresh: false, setup };
        self.ask(|answer| Command::Swap(Box::new(swap), answer)).await?
    }

    /// Finishes or rolls back what is in flight, and stops. Answers when every task has ended.
    pub async fn stop(&self) {
        // The task is gone already when it takes no more commands.
        let _ = self.commands.send(Command::Stop).await;
        self.commands.closed().await;
    }

    /// Hands nothing over from the next batch boundary on, restarts of the process and swaps included.
    ///
    /// # Errors
    /// When the plugin is stopped, or the store cannot write it down.
    pub async fn pause(&self) -> Result<(), CommandError> {
        self.ask(|answer| Command::Pause(true, answer)).await?
    }

    /// Ends a pause, a halt, and a quarantine.
    ///
    /// # Errors
    /// When the plugin is stopped, or the store cannot write it down.
    pub async fn resume(&self) -> Result<(), CommandError> {
        self.ask(|answer| Command::Pause(false, answer)).await?
    }

    /// Hands set-aside events over again, in order for each key, each with a commit of its own, between the
    /// events of the log. Answers when every key that was asked for is through or has failed again.
    ///
    /// # Errors
    /// When there is nothing such, the plugin is paused or stopped, or the store fails.
    pub async fn retry_dead_letters(&self, retry: Retry) -> Result<Redriven, CommandError> {
        self.ask(|answer| Command::Retry(retry, answer)).await?
    }

    /// Drops set-aside events, at batch boundaries: they stay unhandled for ever, in rebuilds too, and those behind them
    /// go on. What is set aside later than this is asked for stays. Answers how many there were.
    ///
    /// # Errors
    /// When there is nothing such, the plugin is being rebuilt or stopped, or the store fails: some may be gone then.
    pub async fn discard_dead_letters(&self, letters: Letters) -> Result<u64, CommandError> {
        self.ask(|answer| Command::Discard(letters, answer)).await?
    }

    /// Drops one.
    ///
    /// # Errors
    /// The same.
    pub async fn discard_dead_letter(&self, position: Position) -> Result<(), CommandError> {
        self.discard_dead_letters(Letters::Position(position)).await.map(drop)
    }

    /// Builds the plugin's state anew beside the live one, and makes it live when it has come as far; answers when that
    /// has begun. `setup` is the version that builds it and becomes live with it; it shares events among partitions
    /// as the live one does. [`Status::rebuild`](super::Status::rebuild) shows how far it is.
    ///
    /// # Errors
    /// When something is built already, or is not; when where to begin is not known, or is not in the log; when
    /// something else runs by now than what is to be rebuilt; when the plugin is stopped, or the store fails.
    pub async fn rebuild(&self, setup: Setup, how: Rebuild) -> Result<(), CommandError> {
        self.ask(|answer| Command::Rebuild(Box::new(setup), how, answer)).await?
    }

    /// Ends a rebuild and drops what it had built. Where another component was to become live with it, the live one
    /// runs on instead of that one.
    ///
    /// # Errors
    /// When nothing is built, the plugin is stopped, or the store fails.
    pub async fn cancel_rebuild(&self) -> Result<(), CommandError> {
        self.ask(Command::CancelRebuild).await?
    }

    /// Returns to what was live before: its component, which `setup` is, and its state where another one was live.
    /// `installed` is the component in the plugins directory, in whose place it runs. What was live can be returned
    /// to. Answers when it has happened.
    ///
    /// # Errors
    /// When nothing was live before, something is built, the plugin is stopped, or the store fails.
    pub async fn roll_back(&self, setup: Setup, installed: &str) -> Result<(), CommandError> {
        self.ask(|answer| Command::RollBack(Box::new(setup), installed.into(), answer)).await?
    }

    /// The delivery as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.commands.is_closed()
    }

    /// The delivery as it changes; may skip states in between.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, CommandError> {
        let stopped = || CommandError::Stopped { plugin: self.plugin.clone() };
        let (sender, answer) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}
