//! `tidemill verify`: of a directory that nobody uses, or of a server's store while it is in use.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::client::{ClientError, Refusal, Server};
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::progress::Progress;
use crate::api::{VerifyProblem, VerifyView};
use crate::store::embedded::{ClosedStore, EmbeddedStore, Repaired};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill verify                                  the store of a running server, while it is in use
  tidemill verify --data ./pond                    a data directory that no server uses
  tidemill verify --data ./pond --repair-indexes   and make a damaged or missing index anew

Looks at every byte: checksums of all blocks, the hash of every event, that positions and versions
have no gaps, that the index says what the log says, that the files are those of the manifest.

Exit codes: 0 everything is as it was written, 1 something is not, 3 there is no store,
5 it is in use, or no server answers")]
pub(super) struct VerifyArgs {
    /// Verify this data directory instead of asking a server; only while no server uses it
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Make anew, from the log, what of the index is damaged or missing; the log itself is never changed
    #[arg(long, requires = "data")]
    pub(super) repair_indexes: bool,
    /// Print JSON: one object a line for each problem, then one that sums up
    #[arg(long)]
    pub(super) json: bool,
}

/// Verifies; an error when something is not as it was written.
pub(super) fn run(args: &VerifyArgs, server: &Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let bar = Progress::bytes();
    let outcome = match &args.data {
        None => ask(server, &bar).map(Outcome::found),
        Some(directory) => closed(directory, args.repair_indexes, &bar),
    };
    bar.finish();
    let outcome = outcome?;
    if args.json {
        outcome.print_json(output)?
    } else {
        outcome.print(output)?
    }
    outcome.verdict()
}

/// What verifying came to.
struct Outcome {
    /// What is so now.
    report: VerifyView,
    /// What was made anew, if that was asked for, and why.
    repair: Option<(Repaired, Vec<VerifyProblem>)>,
}

/// The line that sums up.
#[derive(Serialize)]
struct Summary<'a> {
    sound: bool,
    head: u64,
    events: u64,
    /// Removed events of which only stubs are left, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    stubs: Option<u64>,
    segments: usize,
    index_files: usize,
    problems: usize,
    /// Index files that were replaced, and how many were made; only after a repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<usize>,
}

/// Verifies, and repairs, a store that nobody uses.
fn closed(directory: &Path, repair: bool, bar: &Progress) -> Result<Outcome, CliError> {
    if !EmbeddedStore::exists(directory) {
        return Err(CliError::no_store(directory));
    }
    let verify = |store: &ClosedStore| {
        VerifyView::from(&store.verify(&mut |progress| bar.at(progress.bytes, progress.bytes_total)))
    };
    let store = ClosedStore::open(directory)?;
    let report = verify(&store);
    if !repair {
        return Ok(Outcome::found(report));
    }
    let damaged: Vec<_> = report.problems.iter().filter(|problem| problem.repairable).cloned().collect();
    if damaged.is_empty() {
        return Ok(Outcome { report, repair: Some((Repaired::default(), damaged)) });
    }
    let repaired = store.repair_indexes(&mut |progress| bar.at(progress.bytes, progress.bytes_total));
    drop(store);
    // What was made is looked at like everything else; what could not be made is told with the rest.
    let report = verify(&ClosedStore::open(directory)?);
    let repaired = repaired.map_err(|error| talk(&format!("the index cannot be made anew: {error}")));
    Ok(Outcome { report, repair: repaired.ok().map(|repaired| (repaired, damaged)) })
}

/// One line of a server's answer.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Report(VerifyView),
    Progress { bytes: u64, bytes_total: u64 },
    Problem { status: u16 },
}

/// Has a server verify its store.
fn ask(server: &Server, bar: &Progress) -> Result<VerifyView, CliError> {
    let explain = |error| server.explain(error);
    let lines = server.post_for_lines("/v1/verify", None).map_err(explain)?;
    for line in lines.lines() {
        let line = line.map_err(|error| explain(ClientError::Connection { reason: error.to_string() }))?;
        match serde_json::from_str(&line) {
            Ok(Line::Progress { bytes, bytes_total }) => bar.at(bytes, bytes_total),
            Ok(Line::Report(report)) => return Ok(report),
            Ok(Line::Problem { status }) => {
                return Err(explain(ClientError::Refused(Refusal::of(status, line.as_bytes()))));
            }
            Err(error) => return Err(explain(ClientError::Unreadable { reason: error.to_string() })),
        }
    }
    Err(explain(ClientError::Connection { reason: "it went away while it verified".into() }))
}

impl Outcome {
    const fn found(report: VerifyView) -> Self {
        Self { report, repair: None }
    }

    fn print(&self, output: &mut Output<'_>) -> Result<(), CliError> {
        if let Some((repaired, reasons)) = &self.repair {
            for file in &repaired.replaced {
                let reason = reasons.iter().find(|problem| problem.place == *file);
                output.line(&format!("replaced {file}: {}", reason.map_or_else(String::new, words)))?;
            }
            let (replaced, made) = (repaired.replaced.len(), repaired.made);
            output.line(&format!("index files: {replaced} replaced, {made} made anew"))?;
        }
        let VerifyView { head, events, stubs, segments, index_files, problems, .. } = &self.report;
        for (name, number) in [("head", *head), ("events", *events)] {
            output.line(&format!("{name:<12} {number}"))?;
        }
        if *stubs > 0 {
            output.line(&format!("{:<12} {stubs}", "stubs"))?;
        }
        for (name, number) in [("segments", *segments), ("index files", *index_files), ("problems", problems.len())] {
            output.line(&format!("{name:<12} {number}"))?;
        }
        for problem in problems {
            output.line(&format!("{}: {}", shown(&problem.place, usize::MAX), words(problem)))?;
        }
        Ok(())
    }

    fn print_json(&self, output: &mut Output<'_>) -> Result<(), CliError> {
        let VerifyView { sound, head, events, stubs, segments, index_files, problems } = &self.report;
        problems.iter().try_for_each(|problem| output.json(problem))?;
        let repaired = self.repair.as_ref().map(|(repaired, _)| repaired);
        output.json(&Summary {
            sound: *sound,
            head: *head,
            events: *events,
            stubs: Some(*stubs).filter(|stubs| *stubs > 0),
            segments: *segments,
            index_files: *index_files,
            problems: problems.len(),
            replaced: repaired.map(|repaired| repaired.replaced.as_slice()),
            made: repaired.map(|repaired| repaired.made),
        })
    }

    /// An error that names the first bad place, if there is one.
    fn verdict(&self) -> Result<(), CliError> {
        let problems = &self.report.problems;
        let Some(first) = problems.first() else { return Ok(()) };
        let place = shown(&first.place, usize::MAX);
        let what = match problems.len() {
            1 => format!("the store is damaged in {place}: {}", words(first)),
            count => format!("the store is damaged in {count} places, first in {place}: {}", words(first)),
        };
        let hint = if problems.iter().all(|problem| problem.repairable) {
            "the log is whole; stop the server, then `tidemill verify --data DIR --repair-indexes` makes the index anew"
        } else {
            "damaged bytes are never served, the rest of the log is; restore the damaged files from a backup"
        };
        Err(CliError::new(Exit::Failure, what).hint(hint))
    }
}

/// What is wrong, and where.
fn words(problem: &VerifyProblem) -> String {
    let at = problem.position.map(|position| format!("at position {position}: ")).unwrap_or_default();
    at + &shown(&problem.problem, usize::MAX)
}
