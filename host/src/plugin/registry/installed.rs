//! A running version as rehearsals need it: handlers of its own, and of what might replace it.

use std::path::Path;
use std::sync::Arc;

use super::board::Running;
use super::error::InstallError;
use super::prepare::{setup, subscription};
use crate::delivery::Setup;
use crate::event::PluginName;
use crate::plugin::source::digest_of;
use crate::plugin::{Loader, Manifest};
use crate::runtime::Role;

/// The name by which errors call a candidate's component.
const CANDIDATE: &str = "the candidate";

/// A version that runs. What it makes is independent of the one that live delivery drives.
pub(crate) struct Installed {
    name: PluginName,
    running: Running,
}

impl Installed {
    pub(super) fn new(name: &PluginName, running: Running) -> Self {
        Self { name: name.clone(), running }
    }

    /// How many versions have run under the name, this one included.
    pub(crate) const fn generation(&self) -> u64 {
        self.running.generation
    }

    /// SHA-256 of its component, in hex.
    pub(crate) fn digest(&self) -> &str {
        &self.running.digest
    }

    /// What its manifest says.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.running.manifest
    }

    /// Where its component is.
    pub(crate) fn component_path(&self) -> &Path {
        &self.running.component_path
    }

    /// Where its manifest is, or would be.
    pub(crate) fn manifest_path(&self) -> &Path {
        &self.running.manifest_path
    }

    /// The same version, with a fresh handler.
    pub(crate) fn setup(&self) -> Setup {
        let Running { loaded, manifest, subscription, digest, .. } = &self.running;
        setup(&self.name, &**loaded, manifest, (**subscription).clone(), digest.clone())
    }

    /// The manifest of a candidate: its own, or that of this version.
    pub(crate) fn manifest_of_candidate(&self, text: Option<&str>) -> Result<Arc<Manifest>, InstallError> {
        let Some(text) = text else { return Ok(Arc::clone(&self.running.manifest)) };
        let manifest = Manifest::parse("plugin.toml", text).map_err(|error| InstallError::Source(error.into()))?;
        let installed = self.component_path();
        match &manifest.component {
            Some(named) if Some(named.as_ref()) != installed.file_name() => {
                Err(InstallError::OtherFile { named: named.clone(), installed: installed.into() })
            }
            _ => Ok(Arc::new(manifest)),
        }
    }

    /// A version that might replace this one, compiled, checked and tried. Blocks, maybe for seconds.
    pub(crate) fn candidate(
        &self,
        component: &[u8],
        manifest: &Manifest,
        loader: &dyn Loader,
    ) -> Result<Setup, InstallError> {
        let failed = |reason| InstallError::Load { component: CANDIDATE.into(), reason };
        let loaded = loader.load(component, &manifest.limits).map_err(failed)?;
        let names = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
        if loaded.roles() != self.running.loaded.roles() {
            let (found, installed) = (names(loaded.roles()), names(self.running.loaded.roles()));
            return Err(InstallError::OtherRoles { component: CANDIDATE.into(), found, installed });
        }
        let subscription = subscription(manifest, loaded.description(), Path::new(CANDIDATE))?;
        Ok(setup(&self.name, &*loaded, manifest, subscription, digest_of(component)))
    }
}
