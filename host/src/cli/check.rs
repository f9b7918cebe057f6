//! `tidemill plugins check`: what a component is and asks for, and whether the host would run it, without a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use tidemill_templates::Language;

use super::component_file::{CacheArgs, ComponentFile};
use super::error::CliError;
use super::output::{Output, shown, talk};
use crate::config::HostSecrets;
use crate::error::with_sources;
use crate::plugin::{Asked, Checked, Kind, check, packed_manifest};
use crate::runtime::Anatomy;

/// The kind of producers in which tools name languages.
const LANGUAGE: &str = "language";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins check plugins/counter/plugin.wasm
  tidemill plugins check target/wasm32-wasip2/release/big_orders.wasm --manifest plugin.toml
  tidemill plugins check plugin.wasm --json | jq .imports

It is compiled, linked and tried as the host does it, under the manifest's limits and grants, and handles
nothing. Exits 0 when the host would run it, else as the reason says: 2 for a component that does not fit,
6 for one that asks for more than its manifest grants.")]
pub(super) struct CheckArgs {
    /// The component
    file: PathBuf,
    /// Its manifest; unless given, `plugin.toml` beside it, or the file of its name that ends in `.toml`
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// Checks a component, and tells what was found.
pub(super) fn run(args: &CheckArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let file = ComponentFile::read(&args.file, args.manifest.as_deref())?;
    let checked = check(&file.proposed(), &args.cache.engine()?, &HostSecrets)
        .map_err(|error| CliError::new(error.class().into(), with_sources(&error)))?;
    if args.json {
        output.json(&checked)?;
    } else {
        print(&checked, &args.file, output)?;
        for line in carried(&file)? {
            output.line(&format!("{:<12} {}", "carries", shown(&line, usize::MAX)))?;
        }
    }
    output.flush()?;
    for warning in checked.warnings.iter().filter(|_| !args.json) {
        talk(&format!("warning: {}", shown(warning, usize::MAX)));
    }
    match checked.refused {
        None => Ok(()),
        Some(refusal) => Err(file.refused(CliError::new(
            refusal.class.into(),
            format_args!("the host would not run it: {}", shown(&refusal.reason, usize::MAX)),
        ))),
    }
}

/// What it carries of a manifest: that there is one, and what it asks for. It is in force where it is installed so.
fn carried(file: &ComponentFile) -> Result<Vec<String>, CliError> {
    let component = file.proposed().component;
    let Some(text) = packed_manifest(component).map_err(CliError::usage)? else {
        return Ok(Vec::new());
    };
    let asked = Asked::of(Kind::of_component(component), "the embedded plugin.toml", &text);
    let Asked { requests, .. } = asked.map_err(CliError::usage)?;
    let mut lines = vec!["a manifest, which `tidemill plugins install` puts beside it".to_owned()];
    lines.extend(requests.into_iter().map(|request| format!("a request: {request}")));
    Ok(lines)
}

fn print(checked: &Checked, file: &Path, output: &mut Output<'_>) -> Result<(), CliError> {
    let anatomy = &checked.anatomy;
    let mut line = |what: &str, text: &str| output.line(&format!("{what:<12} {}", shown(text, usize::MAX)));
    line("component", &format!("{}, {}", file.display(), HumanBytes(anatomy.bytes as u64)))?;
    line("sha256", &checked.digest)?;
    if !checked.roles.is_empty() {
        line("roles", &checked.roles.join(", "))?;
    }
    if let Some(said) = &checked.description {
        line("says", &format!("{} {}: {}", said.name, said.version, said.summary))?;
        line("appends", &list(&said.append, "nothing that it tells of"))?;
        if let Some(schema) = &said.state_schema {
            line("state schema", schema)?;
        }
    }
    if let Some(asked) = &checked.subscription {
        line("listens to", &list(&asked.types, "every type"))?;
        for (what, names) in [("of streams", &asked.streams), ("with tags", &asked.tags)] {
            if !names.is_empty() {
                line(what, &names.join(", "))?;
            }
        }
    }
    for lift in &checked.lifts {
        line("lifts", lift)?;
    }
    if let Some(sdk) = &checked.sdk {
        line("sdk", sdk)?;
    }
    if let Some(language) = language(checked.sdk.as_deref(), anatomy) {
        line(LANGUAGE, &language)?;
    }
    for (kind, producers) in anatomy.producers.iter().filter(|(kind, _)| !["sdk", LANGUAGE].contains(&kind.as_str())) {
        line(kind, &tools(producers))?;
    }
    for (label, text) in &anatomy.labels {
        line(label, text)?;
    }
    line("exports", &list(&anatomy.exports, "nothing"))?;
    line("imports", &list(&anatomy.imports, "nothing"))?;
    let (code, data) = (HumanBytes(anatomy.code_bytes as u64), HumanBytes(anatomy.data_bytes as u64));
    line(
        "made of",
        &format!("code {code}, data {data}, debug information {}", HumanBytes(anatomy.debug_bytes as u64)),
    )?;
    line("memory", &format!("{} at the start", HumanBytes(anatomy.memory_bytes_min)))?;
    let took = match checked.load_ms {
        0 => "under 1ms".to_owned(),
        ms => format!("{:?}", Duration::from_millis(ms)),
    };
    line("loaded in", &took)
}

/// The language of its SDK, where that is known. Tools name those of all that is linked into it, or none.
fn language(sdk: Option<&str>, anatomy: &Anatomy) -> Option<String> {
    let of_sdk = |sdk: &str| Language::named(sdk.split(' ').next()?.strip_prefix("tidemill-")?);
    match sdk.and_then(of_sdk) {
        Some(language) => Some(language.title.to_owned()),
        None => anatomy.producers.get(LANGUAGE).map(tools),
    }
}

/// What it was made with, of one kind.
fn tools(producers: &BTreeMap<String, String>) -> String {
    let tools: Vec<_> =
        producers.iter().map(|(tool, version)| format!("{tool} {version}").trim_end().to_owned()).collect();
    tools.join(", ")
}

fn list(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use tidemill_templates::LANGUAGES;

    use super::*;

    #[test]
    fn the_language_is_that_of_the_sdk_where_it_is_known() {
        let linked = BTreeMap::from([("C11".to_owned(), String::new()), ("Rust".to_owned(), "1.2".to_owned())]);
        let producers = BTreeMap::from([(LANGUAGE.to_owned(), linked)]);
        let anatomy = Anatomy { producers, ..Anatomy::default() };
        for known in LANGUAGES {
            let sdk = format!("tidemill-{} 0.1.0", known.name);
            assert_eq!(language(Some(&sdk), &anatomy).as_deref(), Some(known.title));
            assert_eq!(language(Some(&sdk), &Anatomy::default()).as_deref(), Some(known.title));
        }
        for unknown in [None, Some("acme-zig 1"), Some("tidemill-zig 1")] {
            assert_eq!(language(unknown, &anatomy).as_deref(), Some("C11, Rust 1.2"), "{unknown:?}");
            assert_eq!(language(unknown, &Anatomy::default()), None);
        }
    }
}
