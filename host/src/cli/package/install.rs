//! `tidemill plugins install`: a plugin from a file, a URL or a registry into a plugins directory.
//!
//! What is embedded in it is its author's word. What it asks for is shown, and granted only when the operator says so;
//! a manifest that the operator has written already stays.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::component_file::manifest_text;
use super::super::error::{CliError, Exit};
use super::super::identity::Identity;
use super::super::output::{Output, shown, talk};
use super::credentials::{Credentials, Keyring};
use super::fetch::{Fetcher, digest};
use super::pack::{MANIFEST, checked};
use super::reference::{Digest, Source};
use super::signature;
use crate::access::Secret;
use crate::error::with_sources;
use crate::event::PluginName;
use crate::plugin::{
    Asked, Checked, Kind, Manifest, PlaceError, Placing, Present, RESERVED_FOLDERS, is_passing, packed_manifest,
    packed_name,
};

/// What errors call the manifest that a component carries.
const EMBEDDED: &str = "the embedded plugin.toml";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins install big-orders-1.2.3.wasm --plugins ./pond/plugins
  tidemill plugins install https://example.com/big-orders.wasm --plugins plugins --digest sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
  tidemill plugins install oci://ghcr.io/acme/big-orders:1.2.3 --plugins plugins --grant
  tidemill plugins install oci://localhost:5000/acme/big-orders:1.2.3 --plugins plugins --replace
  tidemill plugins install https://example.com/big-orders.wasm --plugins plugins --key minisign.pub

It is checked as `plugins check` does it, and put in place in one step; a running server takes it up.
What it asks for is shown, and granted with --grant only; so is more of the machine than a plugin has that says nothing.
With --replace the manifest that is there stays; a component whose own name is not that of the file or repository (or so
with a version: NAME-1.2.3) takes the place of what --name says, and of nothing else. What lifts events goes into the folder `upcasters`, what commands are
held to into `validators`, with its manifest beside it.
Exit codes: 2 it does not fit, 3 there is nothing, 4 there is a plugin of that name, 5 it cannot be got,
6 it asks for more than it is granted, or is not what --digest or --key say")]
pub(in crate::cli) struct InstallArgs {
    /// A file, an https:// URL, or oci://REGISTRY/REPOSITORY, which may be followed by :TAG and @DIGEST
    source: Source,
    /// The plugins directory, as `serve --plugins` has it
    #[arg(long, value_name = "DIR", env = "TIDEMILL_PLUGINS")]
    plugins: PathBuf,
    /// What to call it [default: its own name, else that of the file or repository]
    #[arg(long)]
    name: Option<String>,
    /// What the component must be: its SHA-256
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<Digest>,
    /// Public key of minisign, or its file: what signs SOURCE.minisig
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    /// Manifest to install with it [default: the one that is there, else the one that it carries]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Grant what the manifest that it carries asks for
    #[arg(long, conflicts_with = "manifest")]
    grant: bool,
    /// Put it in the place of the plugin of that name
    #[arg(long)]
    replace: bool,
    /// Registry that the user is for, HOST or HOST:PORT; the user is sent to no other
    #[arg(long, value_name = "HOST", env = "TIDEMILL_REGISTRY", requires = "registry_user")]
    registry: Option<String>,
    /// User of that registry [default: the one in `auths` of ~/.docker/config.json]
    #[arg(long, value_name = "NAME", env = "TIDEMILL_REGISTRY_USER", requires_all = ["registry", "registry_password"])]
    registry_user: Option<String>,
    /// Password or token of that user; better given by the environment, where other users do not see it
    #[arg(long, value_name = "SECRET", env = "TIDEMILL_REGISTRY_PASSWORD", hide_env_values = true, value_parser = secret)]
    registry_password: Option<Secret>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::presented(text))
}

/// What was installed.
#[derive(Serialize)]
struct Installed {
    name: String,
    folder: PathBuf,
    /// SHA-256 of the component, in hex.
    digest: String,
    bytes: usize,
    version: Option<String>,
    /// What the manifest that it carries asks for.
    requests: Vec<String>,
    /// Whether that is granted now.
    granted: bool,
    /// What that manifest says beside, and is in force.
    in_force: Vec<String>,
    replaced: bool,
}

/// The manifest that is put in place, and what the embedded one asks for.
struct Chosen {
    text: String,
    requests: Vec<String>,
    /// Whether the text holds those requests as grants.
    granted: bool,
    /// What of the embedded one is in force by itself.
    in_force: Vec<String>,
    /// Whether it is the one that is there already.
    kept: bool,
}

/// Installs a plugin.
pub(in crate::cli) fn run(args: &InstallArgs, identity: Identity, output: &mut Output<'_>) -> Result<(), CliError> {
    let credentials = args.registry_user.clone().zip(args.registry_password.as_ref());
    let credentials = credentials.map(|(user, secret)| Credentials { user, password: secret.reveal().to_owned() });
    let keyring = Keyring { named: args.registry.clone().zip(credentials) };
    let fetcher = Fetcher { tls: identity.tls, keyring };
    let component = fetcher.get(&args.source, args.digest.as_ref())?;
    if let Some(key) = &args.key {
        signature::verify(&fetcher, &args.source, &component, key)?;
    }
    let name = name(args, &component)?;
    let kind = Kind::of_component(&component);
    let unplaced = |error: PlaceError| CliError::new(error.class().into(), with_sources(&error));
    let present = Present::giving_way(&args.plugins, &name, kind, args.replace).map_err(unplaced)?;
    let chosen = choose(args, kind, &component, present.as_ref())?;
    let path = PathBuf::from(args.source.to_string());
    let manifest = chosen.manifest(kind)?;
    let checked = checked(&path, &component, &manifest).map_err(|error| chosen.hint(error))?;
    let placing = Placing {
        directory: &args.plugins,
        name: &name,
        kind,
        component: &component,
        manifest: &chosen.text,
        replace: args.replace,
    };
    let folder = placing.place().map_err(unplaced)?;
    let installed = Installed {
        name: name.to_string(),
        folder,
        digest: digest(&component).to_string(),
        bytes: component.len(),
        version: version(&checked),
        requests: chosen.requests.clone(),
        granted: chosen.granted,
        in_force: if kind == Kind::Upcaster { Vec::new() } else { chosen.in_force.clone() },
        replaced: present.is_some(),
    };
    for warning in &checked.warnings {
        talk(&format!("warning: {}", shown(warning, usize::MAX)));
    }
    if args.json { output.json(&installed) } else { installed.print(&chosen, output) }
}

impl Installed {
    fn print(&self, chosen: &Chosen, output: &mut Output<'_>) -> Result<(), CliError> {
        let version = self.version.as_ref().map(|version| format!(" {}", shown(version, 64))).unwrap_or_default();
        let verb = if self.replaced { "replaced" } else { "installed" };
        output.line(&format!("{verb} {}{version} in {}", self.name, self.folder.display()))?;
        output.line(&self.digest)?;
        if chosen.kept {
            output.line("the manifest that was there stays in force")?;
        }
        let granted = if self.granted { "granted" } else { "asked for, not granted" };
        let mut each = self.requests.iter();
        each.try_for_each(|request| output.line(&format!("{granted}: {}", shown(request, usize::MAX))))?;
        let mut each = self.in_force.iter();
        each.try_for_each(|line| output.line(&format!("in force, by its author: {}", shown(line, usize::MAX))))
    }
}

impl Chosen {
    /// What the manifest says of a component of that kind.
    fn manifest(&self, kind: Kind) -> Result<Manifest, CliError> {
        let parsed = kind.manifest(MANIFEST, &self.text).map_err(CliError::usage);
        parsed.map_err(|error| match kind {
            Kind::Validator => {
                error.hint("a validator's manifest has `commands`, [limits] and [config]: give one by --manifest")
            }
            Kind::Plugin | Kind::Upcaster => error,
        })
    }

    /// Says how to grant what is missing.
    fn hint(&self, error: CliError) -> CliError {
        match &error {
            CliError::Failed { exit: Exit::Denied, hint: None, .. } if !self.requests.is_empty() && !self.granted => {
                let requests = shown(&self.requests.join("; "), usize::MAX);
                let how = if self.kept { "write it into its manifest" } else { "say --grant to grant that" };
                error.hint(format_args!("it asks for more, {requests}; {how}; nothing was installed"))
            }
            _ => error,
        }
    }
}

/// The name it is installed under.
fn name(args: &InstallArgs, component: &[u8]) -> Result<PluginName, CliError> {
    let name = wanted_name(args, component)?;
    match unseen(&name) {
        Some(why) => {
            let what = format_args!("{name} is {why}, and no name for a plugin");
            Err(CliError::usage(what).hint("give another one by --name"))
        }
        None => Ok(name),
    }
}

/// Why no host would look for a plugin under a name, if none would.
fn unseen(name: &PluginName) -> Option<&'static str> {
    if RESERVED_FOLDERS.contains(&name.as_str()) {
        return Some("a folder that the host keeps for other things");
    }
    is_passing(OsStr::new(name.as_str())).then_some("what the host takes for a hidden or a temporary file")
}

fn wanted_name(args: &InstallArgs, component: &[u8]) -> Result<PluginName, CliError> {
    match &args.name {
        Some(name) => {
            PluginName::new(name.as_str()).map_err(|error| CliError::usage(format_args!("--name {name:?}: {error}")))
        }
        None => unnamed(&args.source, component, args.replace),
    }
}

/// The name of a component that was given none: its own, else that of where it comes from. What gives way keeps its
/// grants, so its own name is no choice of whose it gets.
fn unnamed(source: &Source, component: &[u8], replace: bool) -> Result<PluginName, CliError> {
    let stem = source.stem();
    match packed_name(component).and_then(|name| PluginName::new(name).ok()) {
        Some(own) if replace && !is_called(&stem, &own) => {
            let what = format_args!("the component calls itself {own}, and what it comes from is called {stem:?}");
            Err(CliError::usage(what).hint("say by --name what it is to replace"))
        }
        Some(own) => Ok(own),
        None => PluginName::new(stem.as_str())
            .map_err(|_| CliError::usage(format_args!("{stem:?} is no name for a plugin")).hint("give one by --name")),
    }
}

/// Whether what a component comes from is called as it calls itself, or so with a version, as `pack` does it.
fn is_called(stem: &str, own: &PluginName) -> bool {
    let version = |rest: &str| rest.strip_prefix('-').is_some_and(is_version);
    stem.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || version(rest))
}

/// Whether a text is a version, as `1.2` or `1.2.3-rc.1+5`: what merely begins with a digit may be of another name.
fn is_version(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let behind = text.strip_prefix(numbers).unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let may_follow = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    numbers.contains('.') && numbers.split('.').all(is_number) && behind.len() != 1 && behind.bytes().all(may_follow)
}

/// Which manifest is put in place: that of the operator where there is one, else the embedded one.
fn choose(args: &InstallArgs, kind: Kind, component: &[u8], present: Option<&Present>) -> Result<Chosen, CliError> {
    let embedded = packed_manifest(component).map_err(CliError::usage)?;
    let asked = embedded.as_deref().map(|text| Asked::of(kind, EMBEDDED, text)).transpose().map_err(CliError::usage)?;
    let asked = asked.unwrap_or_default();
    let there = present.filter(|_| args.replace).and_then(|present| present.manifest.as_ref());
    let (text, granted, kept, in_force) = match (&args.manifest, there) {
        (Some(path), _) => (manifest_text(path)?, false, false, Vec::new()),
        (None, Some(path)) if !args.grant => (manifest_text(path)?, false, true, Vec::new()),
        _ if args.grant => (embedded.unwrap_or_default(), true, false, asked.in_force),
        _ => (asked.without, false, false, asked.in_force),
    };
    Ok(Chosen { text, granted, in_force, kept, requests: asked.requests })
}

/// The version that it has for people.
fn version(checked: &Checked) -> Option<String> {
    let said = checked.description.as_ref().map(|said| said.version.clone()).filter(|version| !version.is_empty());
    checked.anatomy.labels.get("version").cloned().or(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{PackageLabels, pack};

    #[test]
    fn a_name_under_which_no_host_looks_is_none() {
        for bad in ["..", ".billing", "billing.tmp", "billing.bak", "billing.part", "billing.swp", "validators"] {
            assert!(unseen(&PluginName::new(bad).unwrap()).is_some(), "{bad}");
        }
        for good in ["billing", "billing.1", "billing-1.2.3", "tmp"] {
            assert_eq!(unseen(&PluginName::new(good).unwrap()), None, "{good}");
        }
    }

    #[test]
    fn what_a_component_calls_itself_is_no_choice_of_what_it_replaces() {
        let labels = PackageLabels { name: Some("billing".into()), ..PackageLabels::default() };
        let bare = b"\0asm\x0d\0\x01\0";
        let packed = pack(bare, None, &labels).unwrap();
        for from in [
            "tool.wasm",
            "https://example.com/tool.wasm",
            "oci://example.com/acme/tool:1",
            "billing-tool.wasm",
            "billing-2fa.wasm",
            "billing-2.wasm",
            "billing-2.fa.wasm",
            "billing-1.2-.wasm",
        ] {
            let source: Source = from.parse().unwrap();
            assert_eq!(unnamed(&source, &packed, false).unwrap().as_str(), "billing", "{from}");
            let Err(CliError::Failed { exit, what, hint }) = unnamed(&source, &packed, true) else {
                panic!("{from} was taken")
            };
            assert_eq!(exit, Exit::Usage);
            assert!(what.contains("billing") && what.contains(&format!("{:?}", source.stem())), "{what}");
            assert!(hint.unwrap().contains("--name"));
            assert!(unnamed(&source, bare, true).is_ok_and(|name| name.as_str() == source.stem()), "{from}");
        }
        for from in [
            "x/billing.wasm",
            "billing-1.2.3.wasm",
            "billing-1.2-rc.1+5.wasm",
            "https://example.com/billing.wasm?v=1",
            "oci://example.com/acme/billing:1",
        ] {
            assert_eq!(unnamed(&from.parse().unwrap(), &packed, true).unwrap().as_str(), "billing", "{from}");
        }
    }
}
