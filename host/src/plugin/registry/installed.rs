//! A running version as rehearsals need it: handlers of its own, and of what might replace it.

use std::path::Path;
use std::sync::Arc;

use super::board::Running;
use super::error::InstallError;
use super::prepare::{Version, load_options};
use crate::delivery::Setup;
use crate::delivery::rehearsal::Live;
use crate::event::PluginName;
use crate::plugin::archive::text_of;
use crate::plugin::source::digest_of;
use crate::plugin::{Loaded, Loader, Manifest, SecretResolver};
use crate::runtime::Role;

/// The name by which errors call a candidate's component.
const CANDIDATE: &str = "the candidate";
/// The name by which errors call its manifest, if it has its own.
const MANIFEST: &str = "plugin.toml";

/// A version that runs. What it makes is independent of the one that live delivery drives.
pub(crate) struct Installed {
    name: PluginName,
    running: Running,
    secrets: Arc<dyn SecretResolver>,
}

impl Installed {
    pub(super) fn new(name: &PluginName, running: Running, secrets: Arc<dyn SecretResolver>) -> Self {
        Self { name: name.clone(), running, secrets }
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

    /// Whether that is what its file in the plugins directory says. After a rollback, or while another version is refused
    /// or builds its state, the file is that of the other one. Blocks.
    pub(crate) fn is_under_its_file(&self) -> bool {
        text_of(self.manifest_path(), self.manifest()).is_ok_and(|text| text.is_some())
    }

    /// The same version, with a fresh handler and what it is granted.
    pub(crate) fn setup(&self) -> Setup {
        let Running { loaded, allowed, manifest, digest, .. } = &self.running;
        allowed.rehearsal(&**loaded, &manifest.policy, digest)
    }

    /// The same, with its delivery as it is now.
    pub(crate) fn live(&self) -> Live {
        Live { setup: self.setup(), status: self.running.dispatcher.status() }
    }

    /// Refuses a version that reaches outside.
    pub(crate) fn check_rehearsable(&self) -> Result<(), InstallError> {
        rehearsable(&*self.running.loaded, self.component_path())
    }

    /// The manifest of a candidate: its own, or that of this version. Its own may come from whoever can reach the
    /// API, so it opens no secret that the operator's does not.
    pub(crate) fn manifest_of_candidate(&self, text: Option<&str>) -> Result<Arc<Manifest>, InstallError> {
        let Some(text) = text else { return Ok(Arc::clone(&self.running.manifest)) };
        let manifest = Manifest::parse(MANIFEST, text).map_err(|error| InstallError::Source(error.into()))?;
        let installed = self.component_path();
        let granted = &self.running.manifest.grants.secrets;
        let other = manifest.grants.secrets.iter().find(|(name, grant)| granted.get(*name) != Some(grant));
        if let Some((name, _)) = other {
            return Err(InstallError::OtherSecret { name: name.clone(), manifest: self.manifest_path().into() });
        }
        match &manifest.component {
            Some(named) if Some(named.as_ref()) != installed.file_name() => {
                Err(InstallError::OtherFile { named: named.clone(), installed: installed.into() })
            }
            _ => Ok(Arc::new(manifest)),
        }
    }

    /// A version that might replace this one, compiled, checked and tried, with a handler. Blocks, maybe for seconds.
    pub(crate) fn candidate(
        &self,
        component: &[u8],
        manifest: &Arc<Manifest>,
        loader: &dyn Loader,
    ) -> Result<Setup, InstallError> {
        let path = Path::new(CANDIDATE);
        let failed = |reason| InstallError::Load { component: path.into(), reason };
        let loaded = loader.load(component, &load_options(manifest)).map_err(failed)?;
        let names = |roles: &[Role]| roles.iter().map(|role| role.as_str()).collect::<Vec<_>>();
        if loaded.roles() != self.running.loaded.roles() {
            let (found, installed) = (names(loaded.roles()), names(self.running.loaded.roles()));
            return Err(InstallError::OtherRoles { component: path.into(), found, installed });
        }
        rehearsable(&*loaded, path)?;
        let own = !Arc::ptr_eq(manifest, &self.running.manifest);
        let version = Version {
            name: &self.name,
            manifest,
            component: path,
            manifest_path: if own { Path::new(MANIFEST) } else { self.manifest_path() },
            folder: self.manifest_path().parent(),
            chain: Arc::clone(self.running.allowed.chain()),
        };
        let allowed = version.allowed(loaded.description(), &*self.secrets)?;
        Ok(allowed.rehearsal(&*loaded, &manifest.policy, &digest_of(component)))
    }
}

/// Refuses a version that reaches outside: a rehearsal must not act.
fn rehearsable(loaded: &dyn Loaded, component: &Path) -> Result<(), InstallError> {
    if loaded.replayable() { Ok(()) } else { Err(InstallError::ReachesOut { component: component.into() }) }
}
