//! Loading a plugin anew because an operator says so: its files as they are then, changed or not.
//!
//! Who asks is heard by the supervisor first, which looks at the directory until the plugin's files stand still, so that
//! what was copied there just before is what is loaded. Then the keeper is told, as it is of a rollback.

use tokio::sync::oneshot;

use super::Registry;
use super::keeper::Order;
use super::refused::GenerationRefused;
use crate::event::PluginName;
use crate::plugin::SourceError;

/// Operators who wait for a look at the directory at once; more wait to be heard.
pub(super) const LOOKS_MAX: usize = 8;

/// Somebody who wants a look at the directory, and to know when it has shown a plugin's files as they are.
pub(super) struct LookAsked {
    pub(super) plugin: PluginName,
    /// Hears of it, or why the directory cannot be looked at.
    pub(super) answer: oneshot::Sender<Result<(), SourceError>>,
}

/// How a keeper answers an order.
pub(super) type Answer = oneshot::Sender<Result<(), GenerationRefused>>;

impl Registry {
    /// Loads a plugin anew from its files, changed or not, and has that replace what runs, at a batch boundary; answers
    /// when it has. Secrets are read again too. A halt or a quarantine ends, as by any other version; a pause stays. With
    /// `installed` what the directory holds runs, or builds its state first; otherwise what was rolled back, or whose
    /// rebuild was cancelled, stays so, and what runs instead is loaded anew.
    ///
    /// # Errors
    /// When there is no such plugin, its files cannot run, and then what ran before goes on, or the registry stops.
    pub async fn reload(&self, name: &PluginName, installed: bool) -> Result<(), GenerationRefused> {
        // Nobody looks any more: the registry stops.
        let not_running = || GenerationRefused::NotRunning { plugin: name.clone() };
        let (answer, looked) = oneshot::channel();
        self.looks.send(LookAsked { plugin: name.clone(), answer }).await.map_err(|_| not_running())?;
        let looked = looked.await.map_err(|_| not_running())?;
        looked.map_err(|problem| GenerationRefused::not_reloaded(name.clone(), problem.into()))?;
        if self.board.orders(name).is_none() {
            return Err(GenerationRefused::NotInstalled { plugin: name.clone() });
        }
        self.order(name, |answer| Order::Reload { installed, answer }).await
    }

    /// Has a plugin's keeper do something; answers when it is done.
    pub(super) async fn order(
        &self,
        name: &PluginName,
        order: impl FnOnce(Answer) -> Order,
    ) -> Result<(), GenerationRefused> {
        let not_running = || GenerationRefused::NotRunning { plugin: name.clone() };
        let orders = self.board.orders(name).ok_or_else(not_running)?;
        let (answer, done) = oneshot::channel();
        orders.send(order(answer)).await.map_err(|_| not_running())?;
        done.await.map_err(|_| not_running())?
    }
}
