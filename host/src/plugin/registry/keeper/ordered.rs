//! What an operator has a keeper do.

use super::{Keeper, Wanted};
use crate::plugin::registry::refused::GenerationRefused;
use crate::plugin::registry::reload::Answer;

/// Something an operator wants of a plugin; it is answered when it is done.
pub(in crate::plugin::registry) enum Order {
    /// To return to what was live before.
    RollBack(Answer),
    /// To load its files anew.
    Reload {
        /// Whether what is installed runs, though it was rolled back or its rebuild cancelled.
        installed: bool,
        answer: Answer,
    },
}

impl Keeper {
    /// Carries an order out. Whether anybody still waits for an answer does not matter.
    pub(super) async fn obey(&mut self, order: Order) {
        match order {
            Order::RollBack(answer) => drop(answer.send(self.roll_back().await)),
            Order::Reload { installed, answer } => drop(answer.send(self.reload(installed).await)),
        }
    }

    /// Has what is wanted replace what runs, though it be the same; where something newer is wanted meanwhile, that.
    async fn reload(&mut self, installed: bool) -> Result<(), GenerationRefused> {
        let plugin = self.name.clone();
        if installed {
            self.let_installed_run().await?;
        }
        self.anew = true;
        let done = loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if wanted == Wanted::Gone {
                self.wanted.mark_changed();
                break Err(GenerationRefused::NotInstalled { plugin });
            }
            let made = self.make(wanted).await;
            match self.wanted.has_changed() {
                Ok(true) => {}
                Ok(false) => break made.map_err(|reason| GenerationRefused::not_reloaded(plugin, reason)),
                // The registry stops, and what was asked for may not have been done.
                Err(_) => break Err(GenerationRefused::NotRunning { plugin }),
            }
        };
        self.anew = false;
        done
    }
}
