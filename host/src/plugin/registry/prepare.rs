//! From files to something that can be swapped in: the part that blocks.

use std::path::Path;
use std::sync::Arc;

use super::error::InstallError;
use super::requests::Requests;
use crate::delivery::{Permit, Policy, Setup, Subscription, lifting};
use crate::event::{Filter, NameError, Pattern, PluginName, Tag};
use crate::plugin::grants::{ConfigGrant, both};
use crate::plugin::source::Candidate;
use crate::plugin::{HeaderGrant, Loaded, Loader, Manifest, ManifestGrants, SecretGrant, SecretResolver};
use crate::runtime::{Denials, Description, HttpAccess, InstanceOptions, LoadError, LoadOptions, Role, SecretHeader};
use crate::schema::Chain;

/// A version that can be swapped in.
pub(super) struct Prepared {
    pub(super) loaded: Arc<dyn Loaded>,
    pub(super) allowed: Allowed,
    pub(super) setup: Setup,
}

/// A version's words, and where they stand.
pub(super) struct Version<'a> {
    pub(super) name: &'a PluginName,
    pub(super) manifest: &'a Manifest,
    /// The component, as errors call it.
    pub(super) component: &'a Path,
    /// The manifest, as errors call it.
    pub(super) manifest_path: &'a Path,
    /// Where files that the manifest names are looked for.
    pub(super) folder: Option<&'a Path>,
    /// What lifts its events.
    pub(super) chain: Arc<Chain>,
}

/// What a version gets: all that it asks for, as it is all granted.
#[derive(Clone)]
pub(super) struct Allowed {
    pub(super) subscription: Arc<Subscription>,
    /// What lifts its events.
    chain: Arc<Chain>,
    /// Event types that it may append.
    append: Permit,
    /// Of the manifest that it was made of.
    manifest_digest: String,
    /// Commands that it may send.
    dispatch: Permit,
    /// What its handlers are made with.
    pub(super) options: InstanceOptions,
}

/// Loads a candidate and makes handlers of it, one for each partition. `known` is the component where it is loaded
/// already.
pub(super) fn prepare(
    name: &PluginName,
    candidate: &Candidate,
    known: Option<Arc<dyn Loaded>>,
    loader: &dyn Loader,
    secrets: &dyn SecretResolver,
) -> Result<Prepared, InstallError> {
    let failed = |reason: LoadError| InstallError::Load { component: candidate.component_path.clone(), reason };
    let manifest = &candidate.manifest;
    let loaded = match known {
        Some(loaded) => loaded,
        None => loader.load(&candidate.read_component()?, &load_options(manifest)).map_err(failed)?,
    };
    let (component, manifest_path, chain) = (&*candidate.component_path, &*candidate.manifest_path, &candidate.chain);
    let version =
        Version { name, manifest, component, manifest_path, folder: manifest_path.parent(), chain: Arc::clone(chain) };
    let allowed = version.allowed(loaded.description(), secrets)?;
    let policy = &manifest.policy;
    // What decides commands handles no events.
    let handlers = if loaded.roles().contains(&Role::Aggregate) { 0 } else { policy.partitions };
    let setup = allowed.setup(&*loaded, policy, &candidate.digest, handlers);
    Ok(Prepared { loaded, allowed, setup })
}

/// Finds out whether a candidate could run, and lets it go again.
pub(in crate::plugin) fn try_out(
    name: &PluginName,
    candidate: &Candidate,
    loader: &dyn Loader,
    secrets: &dyn SecretResolver,
) -> Result<(), InstallError> {
    prepare(name, candidate, None, loader, secrets).map(drop)
}

impl Version<'_> {
    /// Holds what the component asks for against what the manifest grants.
    pub(super) fn allowed(
        &self,
        description: Option<&Description>,
        secrets: &dyn SecretResolver,
    ) -> Result<Allowed, InstallError> {
        let manifest = self.manifest;
        let requests = Requests::of(description, self.component)?;
        let subscription = subscription(manifest, description, self.component)?;
        let missing = requests.missing(manifest, &subscription.filter);
        if !missing.is_empty() {
            let (component, manifest) = (self.component.into(), self.manifest_path.into());
            return Err(InstallError::NotGranted { component, manifest, lines: missing.join("; ") });
        }
        // All that it asks for is granted; one that does not say may do what is granted.
        let append = permit(&requests.append, &manifest.grants.append);
        let dispatch = permit(&requests.dispatch, &manifest.grants.dispatch);
        let (subscription, chain) = (Arc::new(subscription), Arc::clone(&self.chain));
        let (manifest_digest, options) = (manifest.digest(), self.instance(requests, secrets)?);
        Ok(Allowed { subscription, chain, append, dispatch, manifest_digest, options })
    }

    /// The instance's part of what the manifest allows: what is both granted and asked for.
    fn instance(&self, requests: Requests, secrets: &dyn SecretResolver) -> Result<InstanceOptions, InstallError> {
        let manifest = self.manifest;
        let mut options = InstanceOptions::new(self.name.clone(), manifest.limits);
        let allowed = |key: &String| manifest.grants.config.allows(key);
        options.config = manifest.config.clone();
        options.config.retain(|key, _| allowed(key));
        options.grants.config_withheld = manifest.config.keys().filter(|key| !allowed(key)).cloned().collect();
        options.grants.config_granted = match &manifest.grants.config {
            ConfigGrant::Keys(keys) => keys.clone(),
            ConfigGrant::All => options.config.keys().cloned().collect(),
        };
        options.grants.http = HttpAccess {
            granted: manifest.grants.http.clone(),
            requested: (!requests.http.is_empty()).then_some(requests.http),
            private: manifest.grants.http_private.clone(),
            headers: Vec::new(),
        };
        for (secret, grant) in &manifest.grants.secrets {
            self.hand_over(secret, grant, secrets, &mut options)?;
        }
        Ok(options)
    }

    /// Gets a secret, and puts it where its grant says.
    fn hand_over(
        &self,
        secret: &str,
        grant: &SecretGrant,
        secrets: &dyn SecretResolver,
        options: &mut InstanceOptions,
    ) -> Result<(), InstallError> {
        let source = grant.source.in_folder(self.folder);
        let failed = |reason: String| InstallError::Secret {
            name: secret.to_owned(),
            manifest: self.manifest_path.into(),
            source_of_it: source.clone(),
            reason,
        };
        let value = secrets.resolve(&source).map_err(failed)?;
        if let Some(HeaderGrant { host, name, prefix }) = &grant.header {
            let header = SecretHeader::new(host.clone(), name, &format!("{prefix}{value}")).map_err(failed)?;
            options.grants.http.headers.push(header);
        }
        if grant.config {
            options.config.insert(secret.to_owned(), value);
        }
        Ok(())
    }
}

impl Allowed {
    /// The same with what is left of the grants it was made `of`; none when it may not be handed any more what it
    /// listens to: it must not pass over that.
    pub(super) fn within(&self, of: &ManifestGrants, left: &ManifestGrants) -> Option<Self> {
        let types = &self.subscription.filter.types;
        let everything = [Pattern::all()];
        let handed = if types.is_empty() { &everything } else { types.as_slice() };
        if !handed.iter().all(|handed| left.read.iter().any(|granted| granted.covers(handed))) {
            return None;
        }
        let mut allowed = self.clone();
        allowed.append = permit_within(&self.append, &left.append);
        allowed.dispatch = permit_within(&self.dispatch, &left.dispatch);
        let InstanceOptions { config, grants, .. } = &mut allowed.options;
        let is_left = |key: &String| match of.secrets.get(key).filter(|secret| secret.config) {
            Some(_) => left.secrets.contains_key(key),
            None => left.config.allows(key),
        };
        grants.config_withheld.extend(config.keys().filter(|key| !is_left(key)).cloned());
        config.retain(|key, _| is_left(key));
        // They may be granted more than this version has.
        if let ConfigGrant::Keys(keys) = &left.config {
            grants.config_granted.clone_from(keys);
        }
        // Headers stand in the order of their secrets.
        let secrets = of.secrets.iter().filter(|(_, secret)| secret.header.is_some());
        let headers = std::mem::take(&mut grants.http.headers).into_iter().zip(secrets);
        let headers = headers.filter(|(_, (name, _))| left.secrets.contains_key(*name)).map(|(header, _)| header);
        grants.http.headers = headers.collect();
        grants.http.granted = left.http.clone();
        grants.http.private = left.http_private.clone();
        Some(allowed)
    }

    /// Event types that it may append.
    pub(super) const fn append(&self) -> &Permit {
        &self.append
    }

    /// A version with so many handlers of its own.
    pub(super) fn setup(&self, loaded: &dyn Loaded, policy: &Policy, digest: &str, handlers: u32) -> Setup {
        let setup = Setup {
            plugin: self.options.plugin.clone(),
            subscription: (*self.subscription).clone(),
            policy: Policy { dispatch: self.dispatch.clone(), ..policy.clone() },
            append: self.append.clone(),
            component_digest: digest.into(),
            manifest_digest: self.manifest_digest.clone(),
            handlers: (0..handlers).map(|_| loaded.subscriber(self.options.clone())).collect(),
        };
        lifting(setup, &self.chain)
    }

    /// Whether its events would be lifted by another chain as they are.
    pub(super) fn is_lifted_as_by(&self, chain: &Chain) -> bool {
        let filter = &self.subscription.filter;
        self.chain.digest_for(filter) == chain.digest_for(filter)
    }

    /// What lifts its events.
    pub(super) const fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// The same version with one handler, for a rehearsal: what it is denied there is not counted.
    pub(super) fn rehearsal(&self, loaded: &dyn Loaded, policy: &Policy, digest: &str) -> Setup {
        let options = InstanceOptions { denials: Denials::default(), ..self.options.clone() };
        Self { options, ..self.clone() }.setup(loaded, policy, digest, 1)
    }
}

/// What a version may do that asks for this: all that is granted, where it asks for nothing in particular.
fn permit(asked: &[Pattern], granted: &[Pattern]) -> Permit {
    let allowed = if asked.is_empty() { granted } else { asked };
    Permit { allowed: allowed.into(), granted: granted.into() }
}

/// The same as far as that is left of what is granted.
fn permit_within(permit: &Permit, left: &[Pattern]) -> Permit {
    Permit { allowed: both(&permit.allowed, left, Pattern::covers).into(), granted: left.into() }
}

/// How a plugin with this manifest is loaded.
pub(super) fn load_options(manifest: &Manifest) -> LoadOptions {
    LoadOptions { limits: manifest.limits, http: !manifest.grants.http.is_empty(), unstable: manifest.unstable.clone() }
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
    Ok(Subscription { filter, start: said.start, ..Subscription::default() })
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
    use crate::plugin::NoSecrets;
    use crate::plugin::registry::info::texts;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse("plugin.toml", text).unwrap()
    }

    fn description() -> Description {
        let list = |text: &str| vec![text.to_owned()];
        Description { types: list("A"), streams: list("s-*"), tags: list("t"), ..Description::default() }
    }

    fn resolve(text: &str, description: Option<&Description>) -> Result<Subscription, InstallError> {
        subscription(&manifest(text), description, Path::new("p.wasm"))
    }

    fn allowed(manifest: &Manifest, description: Option<&Description>) -> Allowed {
        let version = Version {
            name: &PluginName::new("p").unwrap(),
            manifest,
            component: Path::new("p.wasm"),
            manifest_path: Path::new("plugin.toml"),
            folder: None,
            chain: Arc::default(),
        };
        version.allowed(description, &NoSecrets).unwrap()
    }

    #[test]
    fn who_is_refused_a_key_is_told_all_that_its_manifest_grants_by_now() {
        let before = manifest("[config]\nc = 1\na = 1\nb = 1");
        let after = manifest("[grants]\nconfig = [\"n\", \"c\", \"a\"]\n[config]\nc = 1\na = 1\nb = 1\nn = 1");
        let left = before.grants.within(&after.grants);
        let narrowed = allowed(&before, None).within(&before.grants, &left).unwrap().options;
        assert_eq!(narrowed.config.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(narrowed.grants.config_granted, ["n", "c", "a"], "as it is written there");
        assert!(narrowed.grants.config_withheld.contains("b"));
        assert_eq!(allowed(&after, None).options.grants.config_granted, ["n", "c", "a"]);
    }

    #[test]
    fn who_is_refused_is_told_by_what_its_manifest_grants_and_not_by_what_it_names() {
        let granted = manifest("[grants]\nappend = [\"Order*\", \"Paid\"]");
        let described = Description { append: vec!["OrderReady".into()], ..Description::default() };
        let narrow = allowed(&granted, Some(&described));
        assert!(narrow.append().allows("OrderReady") && !narrow.append().allows("OrderLate"));
        let cure = narrow.append().to_append("OrderLate");
        assert!(cure.starts_with("its manifest grants that") && !cure.contains("[grants]"), "{cure}");
        let cure = narrow.append().to_append("Late");
        assert!(cure.contains("append = ['Order*', 'Paid', 'Late'] (and name it in `describe`"), "{cure}");
        assert!(allowed(&granted, None).append().allows("OrderLate"), "it names none");
        let left = granted.grants.within(&manifest("[grants]\nappend = [\"Order*\"]").grants);
        let cure = narrow.within(&granted.grants, &left).unwrap().append().to_append("Paid");
        assert!(cure.contains("append = ['Order*', 'Paid'] (and"), "{cure}");
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
        assert!(error.ends_with("or write in the manifest, in [subscribe]: types = [...]"), "{error}");
        assert!(resolve("[subscribe]\ntypes = [\"A\"]", Some(&described)).is_ok());
    }
}
