//! A component looked at before it is installed: what is in it, what it asks for, and whether the host would run it.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::error::InstallError;
use super::info::{DescriptionInfo, SubscriptionInfo};
use super::prepare::{Version, load_options};
use crate::clock::Stopwatch;
use crate::delivery::Setup;
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::plugin::{Kind, Loaded, LoadedUpcaster, Loader, Manifest, SecretResolver};
use crate::runtime::{Anatomy, InstanceOptions, Role, told_of_hollow};
use crate::schema::{Chain, Step};

/// Of debug information and of memory at start, so large a share is worth a word: one in so many parts.
const NOTABLE_SHARE: u64 = 2;

/// The kind of producers, and the key of a description's tail, in which a component names its SDK.
const SDK: &str = "sdk";
/// The role of what lifts events. It is no plugin's: nothing is handed to it but by the chain.
const UPCASTER: &str = "upcaster";
/// The role of what looks at commands before they are decided.
const VALIDATOR: &str = "validator";

/// A component and the manifest it would run under.
pub struct Proposed<'a> {
    /// The name it would be installed under.
    pub name: &'a PluginName,
    /// The component's bytes.
    pub component: &'a [u8],
    /// What errors call it.
    pub component_path: &'a Path,
    /// What its operator says.
    pub manifest: &'a Manifest,
    /// What errors call that.
    pub manifest_path: &'a Path,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// What is in its file.
    #[serde(flatten)]
    pub anatomy: Anatomy,
    /// What it was made with: the SDK and its version, where it says so.
    pub sdk: Option<String>,
    /// Its roles; empty when it is refused.
    pub roles: Vec<&'static str>,
    /// How it introduces itself, if it does.
    pub description: Option<DescriptionInfo>,
    /// What it would listen to, if it is not refused.
    pub subscription: Option<SubscriptionInfo>,
    /// What it lifts, if it is an upcaster.
    pub lifts: Vec<String>,
    /// Whether two runs over the same events give the same result, so that its state can be rebuilt.
    pub replayable: bool,
    /// What compiling, linking and trying it took, in milliseconds.
    pub load_ms: u64,
    /// What is unusual about it; it runs all the same.
    pub warnings: Vec<String>,
    /// Why the host would not run it, if it would not.
    pub refused: Option<Refusal>,
}

/// Why the host would not run a component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// What is wrong, where, and what to do: what the host would say.
    pub reason: String,
    /// What kind of thing that is.
    #[serde(skip)]
    pub class: ErrorClass,
}

/// A component that may run under its manifest.
pub struct Runnable {
    /// Its code.
    pub loaded: Arc<dyn Loaded>,
    /// What drives it, without a handler.
    pub setup: Setup,
    /// What its handlers are made with.
    pub options: InstanceOptions,
}

/// Holds a component against its manifest, and makes it ready to run; `known` is its code where it is loaded already.
/// Blocks: it is compiled and tried.
///
/// # Errors
/// When the host would not run it.
pub fn runnable(
    proposed: &Proposed<'_>,
    known: Option<Arc<dyn Loaded>>,
    loader: &dyn Loader,
    secrets: &dyn SecretResolver,
) -> Result<Runnable, InstallError> {
    let Proposed { component, component_path, manifest, .. } = *proposed;
    let failed = |reason| InstallError::Load { component: component_path.into(), reason };
    let loaded = match known {
        Some(loaded) => loaded,
        None => loader.load(component, &load_options(manifest)).map_err(failed)?,
    };
    let allowed = proposed.version().allowed(loaded.description(), secrets)?;
    let setup = allowed.setup(&*loaded, &manifest.policy, &Anatomy::digest(component), 0);
    Ok(Runnable { setup, options: allowed.options, loaded })
}

/// Looks at a component as the host would that is told to run it. Blocks: it is compiled and tried.
///
/// # Errors
/// When it is no component at all. One that the host would refuse is no error here.
pub fn check(
    proposed: &Proposed<'_>,
    loader: &dyn Loader,
    secrets: &dyn SecretResolver,
) -> Result<Checked, InstallError> {
    let Proposed { component, component_path, manifest, .. } = *proposed;
    let failed = |reason| InstallError::Load { component: component_path.into(), reason };
    let anatomy = Anatomy::of(component).map_err(failed)?;
    let mut checked = Checked {
        digest: Anatomy::digest(component),
        warnings: warnings(&anatomy, manifest),
        sdk: sdk_of(&anatomy),
        anatomy,
        roles: Vec::new(),
        description: None,
        subscription: None,
        lifts: Vec::new(),
        replayable: false,
        load_ms: 0,
        refused: None,
    };
    let began = Stopwatch::start();
    let tried = match Kind::of(&checked.anatomy) {
        Kind::Upcaster => loader.load_upcaster(component).map(|loaded| checked.lift(loaded, component_path)),
        Kind::Validator => {
            loader.load_validator(component, proposed.bare_options()).map(|_| checked.roles = vec![VALIDATOR])
        }
        Kind::Plugin => {
            let loaded = loader.load(component, &load_options(manifest));
            loaded.map(|loaded| checked.take(&*loaded, &proposed.version(), secrets))
        }
    };
    checked.load_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    checked.warnings.extend(told_of_hollow(&checked.anatomy, checked.sdk.as_deref()));
    if let Err(error) = tried.map_err(failed) {
        checked.refused = Some(Refusal::of(&error));
    }
    Ok(checked)
}

impl Proposed<'_> {
    /// What a validator runs with.
    pub(crate) fn bare_options(&self) -> InstanceOptions {
        let Self { name, manifest, .. } = *self;
        InstanceOptions { config: manifest.config.clone(), ..InstanceOptions::new(name.clone(), manifest.limits) }
    }

    fn version(&self) -> Version<'_> {
        let Self { name, component_path: component, manifest, manifest_path, .. } = *self;
        Version { name, manifest, component, manifest_path, folder: manifest_path.parent(), chain: Arc::default() }
    }
}

impl Checked {
    /// What an upcaster declares.
    fn lift(&mut self, loaded: LoadedUpcaster, path: &Path) {
        let LoadedUpcaster { lifts, upcast } = loaded;
        self.roles = vec![UPCASTER];
        self.replayable = true;
        self.lifts = lifts.iter().map(ToString::to_string).collect();
        let origin = path.display().to_string();
        let step =
            |lift| Step { lift, origin: origin.clone(), identity: self.digest.clone(), upcast: Arc::clone(&upcast) };
        if let Err(error) = Chain::new(lifts.into_iter().map(step).collect()) {
            self.warnings.push(format!("by itself it is no chain, and must be one with those beside it: {error}"));
        }
    }

    /// What a component that loads says and gets.
    fn take(&mut self, loaded: &dyn Loaded, version: &Version<'_>, secrets: &dyn SecretResolver) {
        self.roles = loaded.roles().iter().map(|role: &Role| role.as_str()).collect();
        self.replayable = loaded.replayable();
        self.description = loaded.description().map(Into::into);
        let said = loaded.description().into_iter().flat_map(|said| &said.extra);
        let mut sdk = said.filter(|(key, _)| key == SDK).map(|(_, name)| name.clone());
        self.sdk = sdk.next().or(self.sdk.take());
        if self.description.is_none() {
            let what = "it does not describe itself: nobody sees its version, and the manifest alone says what it \
                        listens to; export `description` to mend that";
            self.warnings.push(what.into());
        }
        let asked = self.description.as_ref().map(|said| said.queries.join(", ")).unwrap_or_default();
        if !asked.is_empty() && !loaded.roles().contains(&Role::Projection) {
            self.warnings.push(format!(
                "it says that it answers queries ({asked}), and exports no `projection`, so nobody can ask it: build it \
                 for a world that has one, such as `described-projection-plugin`"
            ));
        }
        if !self.replayable {
            let what =
                "it imports HTTP, so two runs over the same events may differ: no rebuild, replay or shadow of it";
            self.warnings.push(what.into());
        }
        match version.allowed(loaded.description(), secrets) {
            // What decides commands listens to nothing.
            Ok(allowed) if !loaded.roles().contains(&Role::Aggregate) => {
                self.subscription = Some((&*allowed.subscription).into());
            }
            Ok(_) => {}
            Err(error) => self.refused = Some(Refusal::of(&error)),
        }
    }
}

impl Refusal {
    fn of(error: &InstallError) -> Self {
        Self { reason: error.line(), class: error.class() }
    }
}

/// The SDK that the component's file names.
fn sdk_of(anatomy: &Anatomy) -> Option<String> {
    let (name, version) = anatomy.producers.get(SDK)?.first_key_value()?;
    Some(format!("{name} {version}").trim_end().to_owned())
}

fn warnings(anatomy: &Anatomy, manifest: &Manifest) -> Vec<String> {
    let mut warnings = Vec::new();
    if anatomy.debug_bytes as u64 > anatomy.bytes as u64 / NOTABLE_SHARE {
        let Anatomy { bytes, debug_bytes, .. } = anatomy;
        warnings.push(format!(
            "{debug_bytes} of its {bytes} bytes are debug information: build it for release, or strip it"
        ));
    }
    let memory_bytes_max = manifest.limits.memory_bytes as u64;
    if anatomy.memory_bytes_min > memory_bytes_max / NOTABLE_SHARE {
        let least = anatomy.memory_bytes_min;
        warnings.push(format!(
            "it begins with {least} bytes of memory and may have {memory_bytes_max}: give it more by [limits] memory"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::NoSecrets;
    use crate::runtime::{Engine, EngineOptions};

    #[test]
    fn a_component_with_two_roles_is_refused_whichever_they_are() {
        let engine = Engine::new(EngineOptions::default()).unwrap();
        for roles in [["upcaster", "aggregate"], ["aggregate", "validator"], ["upcaster", "validator"]] {
            let export = |role| format!(r#"(export "tidemill:plugin/{role}@0.1.0" (instance $it))"#);
            let text = format!("(component (instance $it) {})", roles.map(export).concat());
            let component = wat::parse_str(text).unwrap();
            let proposed = Proposed {
                name: &PluginName::from_stored("both"),
                component: &component,
                component_path: Path::new("both.wasm"),
                manifest: &Manifest::default(),
                manifest_path: Path::new("plugin.toml"),
            };
            let checked = check(&proposed, &engine, &NoSecrets).unwrap();
            assert_eq!((Kind::of(&checked.anatomy), checked.roles.len()), (Kind::Plugin, 0), "{roles:?}");
            let reason = checked.refused.unwrap().reason;
            assert!(reason.contains("it exports both"), "{reason}");
            assert!(roles.iter().all(|role| reason.contains(*role)), "{reason}");
        }
    }
}
