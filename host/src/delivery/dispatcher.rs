//! The tokio shell of delivery: one task per plugin carries out what [`super::machine`] decides.
//!
//! It reads, calls the handler on a blocking thread, commits, sleeps, and takes commands at batch
//! boundaries. It decides nothing about events.

mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::handler::Handler;
use super::policy::{Policy, Subscription};
use super::status::Status;
use crate::clock::Clock;
use crate::error::ErrorClass;
use crate::event::{Pattern, PluginName, Position};
use crate::store::{CommitError, Store, StoreError};

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
    pub granted: Arc<[Pattern]>,
    /// SHA-256 of its component, in hex; empty for native handlers.
    pub component_digest: String,
    /// Its code.
    pub handler: Box<dyn Handler>,
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

/// What became of a dead letter that was handed over again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// Its effects are committed, and the dead letter is gone.
    Handled,
    /// It failed again, and the dead letter says so.
    StillFailing {
        /// Why.
        reason: String,
    },
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The plugin has no such dead letter.
    #[error("plugin {plugin} has no dead letter at position {position}; `tidemill dead-letters ls` lists them")]
    NoSuchDeadLetter {
        /// The plugin.
        plugin: PluginName,
        /// The position asked for.
        position: Position,
    },
    /// The plugin's delivery has ended.
    #[error("plugin {plugin} is stopped")]
    Stopped {
        /// The plugin.
        plugin: PluginName,
    },
    /// What the command did could not be committed.
    #[error("the command could not be committed")]
    Commit(#[source] CommitError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommandError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchDeadLetter { .. } => ErrorClass::NotFound,
            Self::Stopped { .. } => ErrorClass::Unavailable,
            Self::Commit(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }
}

/// What a task is asked to do at a boundary, and where the answer goes.
enum Command {
    Swap(Box<Setup>, oneshot::Sender<()>),
    Stop,
    Redeliver(Position, oneshot::Sender<Result<Redelivery, CommandError>>),
    Discard(Position, oneshot::Sender<Result<(), CommandError>>),
}

/// The running delivery of one plugin. Cheap to clone; the task ends with [`Dispatcher::stop`], or when the
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
    tokio::spawn(task::run(setup, store, clock, receiver, sender));
    Dispatcher { plugin, commands, status }
}

impl Dispatcher {
    /// Replaces handler, subscription and policy at the next batch boundary; answers when it has happened.
    /// What is in flight is finished or rolled back before. A halted plugin goes on, and attempts start anew.
    ///
    /// # Errors
    /// When the plugin is stopped.
    pub async fn swap(&self, setup: Setup) -> Result<(), CommandError> {
        self.ask(|answer| Command::Swap(Box::new(setup), answer)).await
    }

    /// Finishes or rolls back what is in flight, and stops. Answers when the task has ended.
    pub async fn stop(&self) {
        // The task is gone already when it takes no more commands.
        let _ = self.commands.send(Command::Stop).await;
        self.commands.closed().await;
    }

    /// Hands a dead letter over again, at the next batch boundary. Its effects commit together with its removal.
    ///
    /// # Errors
    /// When there is no such dead letter, the plugin is stopped, or the store fails.
    pub async fn retry_dead_letter(&self, position: Position) -> Result<Redelivery, CommandError> {
        self.ask(|answer| Command::Redeliver(position, answer)).await?
    }

    /// Drops a dead letter, at the next batch boundary: its event stays unhandled for ever.
    ///
    /// # Errors
    /// When there is no such dead letter, the plugin is stopped, or the store fails.
    pub async fn discard_dead_letter(&self, position: Position) -> Result<(), CommandError> {
        self.ask(|answer| Command::Discard(position, answer)).await?
    }

    /// The delivery as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
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
