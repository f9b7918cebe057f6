//! From files to something that can be swapped in: the part that blocks.

use std::path::Path;
use std::sync::Arc;

use super::error::InstallError;
use super::info::texts;
use crate::delivery::{Setup, Subscription};
use crate::event::{Filter, NameError, Pattern, PluginName, Tag};
use crate::plugin::source::Candidate;
use crate::plugin::{Loaded, Loader, Manifest};
use crate::runtime::{Description, InstanceOptions, LoadError};

/// A version that can be swapped in.
pub(super) struct Prepared {
    pub(super) loaded: Arc<dyn Loaded>,
    pub(super) subscription: Arc<Subscription>,
    pub(super) setup: Setup,
}

/// Loads a candidate and makes a handler of it. `known` is the component where it is loaded already.
pub(super) fn prepare(
    name: &PluginName,
    candidate: &Candidate,
    known: Option<Arc<dyn Loaded>>,
    loader: &dyn Loader,
) -> Result<Prepared, InstallError> {
    let failed = |reason: LoadError| InstallError::Load { component: candidate.component_path.clone(), reason };
    let manifest = &candidate.manifest;
    let loaded = match known {
        Some(loaded) => loaded,
        None => loader.load(&candidate.read_component()?, &manifest.limits).map_err(failed)?,
    };
    let subscription = subscription(manifest, loaded.description(), &candidate.component_path)?;
    let setup = setup(name, &*loaded, manifest, subscription.clone(), candidate.digest.clone());
    Ok(Prepared { loaded, subscription: Arc::new(subscription), setup })
}

/// A version with a handler of its own.
pub(super) fn setup(
    name: &PluginName,
    loaded: &dyn Loaded,
    manifest: &Manifest,
    subscription: Subscription,
    component_digest: String,
) -> Setup {
    let options = InstanceOptions { plugin: name.clone(), limits: manifest.limits, config: manifest.config.clone() };
    Setup {
        plugin: name.clone(),
        subscription,
        policy: manifest.policy,
        granted: manifest.granted_append.as_slice().into(),
        component_digest,
        handler: loaded.subscriber(options),
    }
}

/// The line to write in the manifest, if the component asks for more than it grants.
pub(super) fn missing_grants(manifest: &Manifest, description: Option<&Description>) -> Option<String> {
    let granted = &manifest.granted_append;
    let missing = description?.append.iter().filter(|wanted| !granted.iter().any(|pattern| pattern.matches(wanted)));
    let missing: Vec<_> = missing.cloned().collect();
    if missing.is_empty() {
        return None;
    }
    let all = texts(granted).into_iter().chain(missing).map(|text| format!("{text:?}"));
    Some(format!("[grants] append = [{}]", all.collect::<Vec<_>>().join(", ")))
}

/// What the plugin listens to: key by key the manifest's word, else the description's.
pub(super) fn subscription(
    manifest: &Manifest,
    description: Option<&Description>,
    component: &Path,
) -> Result<Subscription, InstallError> {
    let said = &manifest.subscribe;
    let described = |list, of: fn(&Description) -> &Vec<String>| Described {
        component,
        list,
        texts: description.map(of).map(Vec::as_slice).unwrap_or_default(),
    };
    let filter = Filter {
        types: described("types", |said| &said.types).unless(said.types.as_ref(), Pattern::new)?,
        streams: described("streams", |said| &said.streams).unless(said.streams.as_ref(), Pattern::new)?,
        tags: described("tags", |said| &said.tags).unless(said.tags.as_ref(), Tag::new)?,
    };
    Ok(Subscription { filter, start: said.start })
}

/// One list of a description: a guest's word, so it is checked.
struct Described<'a> {
    component: &'a Path,
    list: &'static str,
    texts: &'a [String],
}

impl Described<'_> {
    /// What the manifest says, or this list where it says nothing.
    fn unless<T: Clone>(
        self,
        said: Option<&Vec<T>>,
        check: impl Fn(String) -> Result<T, NameError>,
    ) -> Result<Vec<T>, InstallError> {
        const SHOWN_CHARS_MAX: usize = 64;
        if let Some(said) = said {
            return Ok(said.clone());
        }
        let checked = self.texts.iter().map(|text| {
            check(text.clone()).map_err(|reason| InstallError::BadDescription {
                component: self.component.into(),
                list: self.list,
                text: text.chars().take(SHOWN_CHARS_MAX).collect(),
                reason: reason.to_string(),
            })
        });
        checked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Start;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse("plugin.toml", text).unwrap()
    }

    fn description() -> Description {
        let list = |text: &str| vec![text.to_owned()];
        Description {
            types: list("A"),
            streams: list("s-*"),
            tags: list("t"),
            append: vec!["X".into(), "StockReserved".into()],
            ..Description::default()
        }
    }

    fn resolve(text: &str, description: Option<&Description>) -> Result<Subscription, InstallError> {
        subscription(&manifest(text), description, Path::new("p.wasm"))
    }

    #[test]
    fn the_manifest_wins_key_by_key() {
        let described = description();
        let own = resolve("", Some(&described)).unwrap().filter;
        assert_eq!((texts(&own.types), texts(&own.streams), own.tags.len()), (vec!["A".into()], vec!["s-*".into()], 1));
        let mixed = resolve("[subscribe]\ntypes = []\ntags = [\"u\"]\nstart = 3", Some(&described)).unwrap();
        assert!(mixed.filter.types.is_empty());
        assert_eq!(texts(&mixed.filter.streams), ["s-*"]);
        assert_eq!(mixed.filter.tags[0].as_str(), "u");
        assert_ne!(mixed.start, Start::default());
        assert!(resolve("", None).unwrap().filter.is_all());
    }

    #[test]
    fn a_description_that_is_no_list_of_names_is_refused_unless_the_manifest_speaks() {
        let described = Description { types: vec!["\u{7}".into()], ..Description::default() };
        let error = resolve("", Some(&described)).unwrap_err().line();
        assert!(error.starts_with("p.wasm describes itself wrongly: types holds \"\\u{7}\": "), "{error}");
        assert!(error.ends_with("or say [subscribe] types = [...] in the manifest"), "{error}");
        assert!(resolve("[subscribe]\ntypes = [\"A\"]", Some(&described)).is_ok());
    }

    #[test]
    fn the_missing_grants_are_one_line_to_copy() {
        let described = description();
        let line = missing_grants(&manifest("[grants]\nappend = [\"Stock*\"]"), Some(&described));
        assert_eq!(line.as_deref(), Some("[grants] append = [\"Stock*\", \"X\"]"));
        assert_eq!(missing_grants(&manifest("[grants]\nappend = [\"*\"]"), Some(&described)), None);
        assert_eq!(missing_grants(&manifest(""), None), None);
    }
}
