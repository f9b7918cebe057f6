//! `tidemill doctor`: the sizes of a store, and what is unusual about them.

use std::path::Path;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::args::SourceArgs;
use super::client::{Client, Server};
use super::error::CliError;
use super::output::{Output, shown};
use super::query::Query;
use super::run::OpenStore;
use super::table::Table;
use crate::api::{DoctorView, Finding, PartView};
use crate::error::{ErrorClass, with_sources};
use crate::store::embedded::{ClosedStore, EmbeddedStore};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill doctor                        the store of a running server
  tidemill doctor --data ./pond          a data directory that no server uses
  tidemill doctor --json | jq .amplification

Amplification is what the store takes on disk over the bytes of its sealed events as encoded.
Sealed events stand in segments and are indexed in files; later ones stand in journals, of a
fixed size, and are indexed in memory. This only measures: `tidemill verify` looks at every byte.")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

/// Prints the sizes.
pub(super) fn run(args: &DoctorArgs, server: Server, open: OpenStore, output: &mut Output<'_>) -> Result<(), CliError> {
    let view = match &args.source.data {
        Some(directory) => closed(directory, open)?,
        None => Client::Server(server).get(&Query::path(&["v1", "doctor"]))?,
    };
    if args.source.json { output.json(&view) } else { print(&view, output) }
}

/// Measures a store that nobody uses. The sizes are told even if the log does not open.
fn closed(directory: &Path, open: OpenStore) -> Result<DoctorView, CliError> {
    if !EmbeddedStore::exists(directory) {
        return Err(CliError::no_store(directory));
    }
    let sizes = ClosedStore::open(directory)?.sizes()?;
    let counts = open(directory).and_then(|store| store.map(|store| store.counts()).transpose());
    match counts {
        Ok(counts) => Ok(DoctorView::new(&sizes, counts)),
        Err(error) if error.class() == ErrorClass::Unavailable => Err(error.into()),
        Err(error) => {
            let mut view = DoctorView::new(&sizes, None);
            let what = format!("the log does not open: {}", with_sources(&error));
            view.findings.insert(0, Finding::new(what, "`tidemill verify --data DIR` tells what is damaged"));
            Ok(view)
        }
    }
}

fn print(view: &DoctorView, output: &mut Output<'_>) -> Result<(), CliError> {
    let count = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| HumanCount(number).to_string());
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), |text| shown(text, 64));
    for (name, value) in [
        ("events", count(view.events)),
        ("streams", count(view.streams)),
        ("head", count(view.head)),
        ("sealed up to", count(Some(view.sealed))),
        ("given back", count(Some(view.stubs))),
        ("sealed from", text(&view.sealed_from)),
        ("sealed until", text(&view.sealed_until)),
        ("payload", HumanBytes(view.payload_bytes).to_string()),
        ("amplification", view.amplification.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}"))),
    ] {
        output.line(&format!("{name:<14} {value}"))?;
    }
    for (category, before) in &view.removed_before {
        let category = shown(category, 64);
        output.line(&format!("{:<14} {category} before {}", "removed", HumanCount(*before)))?;
    }
    output.line("")?;
    parts(view).print(output)?;
    output.line("")?;
    if view.findings.is_empty() {
        return output.line("nothing unusual");
    }
    for Finding { what, advice } in &view.findings {
        output.line(&format!("unusual: {}", shown(what, usize::MAX)))?;
        output.line(&format!("         {}", shown(advice, usize::MAX)))?;
    }
    Ok(())
}

fn parts(view: &DoctorView) -> Table<4> {
    let mut table = Table::new(["PART", "#FILES", "#SIZE", "#BYTES PER EVENT"]);
    let mut row = |name: &str, part: &PartView| {
        let per_event = part.bytes_per_event.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}"));
        table.row([name.to_owned(), part.files.to_string(), HumanBytes(part.bytes).to_string(), per_event]);
    };
    row("segments", &view.segments);
    row("index", &view.index);
    row("journals", &view.journals);
    row("plugins' data", &PartView { files: 1, bytes: view.state_bytes, bytes_per_event: None });
    let files = view.segments.files + view.index.files + view.journals.files + 1;
    row("all", &PartView { files, bytes: view.total_bytes, bytes_per_event: None });
    for (level, files) in view.index_files_by_level.iter().enumerate() {
        table.row([format!("index level {level}"), files.to_string(), "-".to_owned(), "-".to_owned()]);
    }
    table
}
