//! A version that decides commands: it has no delivery, but a claim.

use std::sync::Arc;

use super::{Keeper, Prepared};
use crate::command::AggregateSetup;
use crate::event::Category;
use crate::plugin::Manifest;
use crate::plugin::registry::error::InstallError;
use crate::plugin::registry::info::AggregateInfo;
use crate::plugin::source::{Candidate, Stamp};
use crate::runtime::Role;
use crate::schema::Chain;

/// What decides.
pub(super) struct Deciding {
    pub(super) digest: String,
    pub(super) manifest: Arc<Manifest>,
    pub(super) secrets: Vec<Option<Stamp>>,
    /// What lifts the events of its aggregates.
    pub(super) chain: Arc<Chain>,
}

impl Prepared {
    /// Whether it decides commands.
    pub(super) fn decides(&self) -> bool {
        self.loaded.roles().contains(&Role::Aggregate)
    }
}

impl Keeper {
    /// Lets a version decide in place of what runs. Commands that are being decided are not disturbed.
    pub(super) async fn claim(&mut self, candidate: Candidate, prepared: Prepared) -> Result<(), InstallError> {
        let Prepared { loaded, allowed, .. } = prepared;
        let code = loaded.aggregate(allowed.options.clone());
        let code = code.ok_or_else(|| InstallError::Panicked { component: candidate.component_path.clone() })?;
        let category = self.category(&candidate)?;
        let policy = candidate.manifest.aggregate.clone();
        let schema = code.snapshot_schema();
        let setup = AggregateSetup {
            plugin: self.name.clone(),
            category: category.clone(),
            digest: candidate.digest.clone(),
            append: allowed.append().clone(),
            chain: Arc::clone(&candidate.chain),
            code,
            policy,
        };
        for mut settled in std::mem::take(&mut self.rivals) {
            // An error means that it has ended, which settles it too.
            let _ = settled.wait_for(|settled| *settled).await;
        }
        if let Err(taken) = self.around.claims.claim(setup) {
            self.claimed_elsewhere = Some(category);
            return Err(InstallError::AggregateTaken(taken));
        }
        if let Some(running) = self.running.take() {
            running.dispatcher.stop().await;
        }
        (self.pending, self.stopped) = (None, None);
        self.generation += 1;
        let (generation, digest) = (self.generation, candidate.digest.clone());
        tracing::info!(plugin = %self.name, generation, digest, aggregate = %category, "plugin decides commands");
        let info = AggregateInfo {
            aggregate: category,
            snapshot_schema: schema,
            generation,
            digest,
            roles: loaded.roles().iter().map(ToString::to_string).collect(),
            description: loaded.description().map(Into::into),
        };
        let Candidate { digest, manifest, secrets, chain, .. } = candidate;
        self.deciding = Some(Deciding { digest, manifest, secrets, chain });
        self.around.board.write(&self.name, |entry| {
            entry.running = None;
            entry.deciding = Some(info);
            entry.problem = None;
        });
        Ok(())
    }

    /// Takes the claim back.
    pub(super) fn give_up_claim(&mut self) {
        if self.deciding.take().is_some() {
            self.around.claims.release(&self.name);
            self.around.board.write(&self.name, |entry| entry.deciding = None);
        }
    }

    fn category(&self, candidate: &Candidate) -> Result<Category, InstallError> {
        let named = candidate.manifest.aggregate.category.clone();
        named.map_or_else(|| Category::new(self.name.as_str()), Ok).map_err(|reason| InstallError::NoCategory {
            plugin: self.name.clone(),
            manifest: candidate.manifest_path.clone(),
            reason,
        })
    }
}
