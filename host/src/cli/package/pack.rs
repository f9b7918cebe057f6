//! `tidemill plugins pack`: a component with its manifest and what its authors say of it, as one file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanBytes;

use super::super::component_file::{component, engine, manifest_beside, manifest_text, refuse_rules};
use super::super::error::{CliError, Exit};
use super::super::output::{Output, shown};
use super::fetch::digest;
use super::project;
use crate::error::with_sources;
use crate::event::PluginName;
use crate::plugin::{
    Checked, Kind, Manifest, PackageLabels, Proposed, SecretResolver, SecretSource, check, pack, packed_manifest,
    packed_name,
};

/// The name of a manifest in a plugin's folder.
pub(super) const MANIFEST: &str = "plugin.toml";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins pack .                                 what the project in this folder has built, as dev.toml says
  tidemill plugins pack build/plugin.wasm -o big-orders.wasm --label licenses=Apache-2.0
  tidemill plugins pack . --label version=1.2.3 --label revision=3f2a9c1

Labels are name, version, description, authors, licenses, source, revision and homepage: the custom
sections that tools for components know. Those that are not given are taken from Cargo.toml, package.json
or pyproject.toml of its project, from git, and from what the component describes; a component that none of
these name has the name of its project's folder. The manifest's grants are requests to whoever installs it.")]
pub(in crate::cli) struct PackArgs {
    /// The project's folder, or its component
    #[arg(value_name = "DIR|FILE")]
    from: PathBuf,
    /// File to write [default: NAME-VERSION.wasm, or NAME.wasm, here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Manifest to embed [default: `plugin.toml` in the folder or beside the component]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// What to say of it; repeat it for several
    #[arg(long, value_name = "KEY=TEXT", value_parser = label)]
    label: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, text) = text.split_once('=').ok_or("a label is KEY=TEXT, such as version=1.2.3")?;
    set(&mut PackageLabels::default(), key, text)?;
    Ok((key.to_owned(), text.to_owned()))
}

fn set(labels: &mut PackageLabels, key: &str, text: &str) -> Result<(), String> {
    let PackageLabels { name, version, description, authors, licenses, source, revision, homepage } = labels;
    let known = [
        ("name", name),
        ("version", version),
        ("description", description),
        ("authors", authors),
        ("licenses", licenses),
        ("source", source),
        ("revision", revision),
        ("homepage", homepage),
    ];
    let names = known.each_ref().map(|(name, _)| *name);
    match known.into_iter().find(|(name, _)| *name == key) {
        Some((_, place)) => *place = Some(text.to_owned()),
        None => return Err(crate::nearest::unknown("label", key, &names)),
    }
    Ok(())
}

/// Packs a plugin, after a check that a host would run it.
pub(in crate::cli) fn run(args: &PackArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let path = if args.from.is_dir() { project::component(&args.from)? } else { args.from.clone() };
    let hint = "give a project's folder, or the .wasm file that its build wrote";
    let component = component(&path).map_err(|error| error.hint(hint))?;
    refuse_rules(path.display(), &component)?;
    let kind = Kind::of_component(&component);
    let manifest = manifest_of(args, kind, &path, &component)?;
    let read = kind.manifest(MANIFEST, manifest.as_deref().unwrap_or_default()).map_err(CliError::usage)?;
    let checked = checked(&path, &component, &read)?;
    let labels = labels(args, &path, &checked)?;
    let packed = pack(&component, manifest.as_deref(), &labels)
        .ok_or_else(|| CliError::usage(format_args!("{} is damaged: its sections do not read", path.display())))?;
    // What nobody would take is not written.
    packed_manifest(&packed).map_err(CliError::usage)?;
    let target = args.output.clone().unwrap_or_else(|| target(&packed, &path, &labels));
    write(&target, &packed)?;
    output.line(&format!("{}: {}, {}", target.display(), HumanBytes(packed.len() as u64), digest(&packed)))?;
    match (manifest, kind) {
        (Some(_), _) => output.line("its manifest is embedded; its grants are requests to whoever installs it"),
        // It has none anywhere.
        (None, Kind::Upcaster) => Ok(()),
        (None, Kind::Plugin | Kind::Validator) => {
            output.line("there is no manifest to embed: write one beside it, or give --manifest")
        }
    }
}

/// What is said of it: what is given, else what its project, the component and the project's folder say.
fn labels(args: &PackArgs, component: &Path, checked: &Checked) -> Result<PackageLabels, CliError> {
    let mut labels = PackageLabels::default();
    for (key, text) in &args.label {
        set(&mut labels, key, text).map_err(CliError::usage)?;
    }
    let folder = if args.from.is_dir() { Some(args.from.clone()) } else { project::of(component) };
    if let Some(folder) = folder {
        labels = labels.or(project::labels(&folder));
    }
    let known = |key: &str| checked.anatomy.labels.contains_key(key);
    if let Some(said) = &checked.description {
        // What a component has in its sections stays; what it only describes is put there.
        let some = |key: &str, text: &String| (!text.is_empty() && !known(key)).then(|| text.clone());
        labels = labels.or(PackageLabels {
            name: some("name", &said.name),
            version: some("version", &said.version),
            description: some("description", &said.summary),
            ..PackageLabels::default()
        });
    }
    if labels.name.is_none() && !known("name") {
        // Its file is called `plugin.wasm`, as that of others.
        labels.name = project::name(component);
    }
    Ok(labels)
}

/// The text of the manifest to embed; one that the component carries already stays where there is no other.
fn manifest_of(args: &PackArgs, kind: Kind, component: &Path, bytes: &[u8]) -> Result<Option<String>, CliError> {
    // Of a project it lies in its folder, wherever the build leaves the component.
    let own = Some(args.from.join(MANIFEST)).filter(|path| path.is_file());
    match args.manifest.clone().or(own).or_else(|| manifest_beside(kind, component)) {
        Some(path) => {
            let text = manifest_text(&path)?;
            kind.manifest(&path.display().to_string(), &text).map_err(CliError::usage)?;
            Ok(Some(text))
        }
        None => packed_manifest(bytes).map_err(CliError::usage),
    }
}

/// Has no secret, and says it has each: they are looked for where the plugin runs.
struct Later;

impl SecretResolver for Later {
    fn resolve(&self, _: &SecretSource) -> Result<String, String> {
        Ok("later".into())
    }
}

/// What a host would make of a component under a manifest; one that it would not run is an error.
pub(super) fn checked(path: &Path, component: &[u8], manifest: &Manifest) -> Result<Checked, CliError> {
    let name = PluginName::from_stored("plugin");
    let manifest_path = Path::new(MANIFEST);
    let proposed = Proposed { name: &name, component, component_path: path, manifest, manifest_path };
    let checked = check(&proposed, &engine()?, &Later)
        .map_err(|error| CliError::new(error.class().into(), with_sources(&error)))?;
    match &checked.refused {
        None => Ok(checked),
        Some(refusal) => {
            let reason = shown(&refusal.reason, usize::MAX);
            Err(CliError::new(refusal.class.into(), format_args!("the host would not run it: {reason}")))
        }
    }
}

/// `NAME-VERSION.wasm`, in the current folder.
fn target(packed: &[u8], from: &Path, labels: &PackageLabels) -> PathBuf {
    let good = |text: &&str| PluginName::new(*text).is_ok();
    let stem = from.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = packed_name(packed).filter(good).map(str::to_owned).or(stem).unwrap_or_else(|| "plugin".into());
    match labels.version.as_deref().filter(good) {
        Some(version) => format!("{name}-{version}.wasm").into(),
        None => format!("{name}.wasm").into(),
    }
}

/// Writes a file, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::new(Exit::Failure, format_args!("{} cannot be written: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}
