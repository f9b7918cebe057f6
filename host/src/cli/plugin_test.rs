//! `tidemill plugins test`: a component against fixtures, without a server.

mod junit;

use std::fs;
use std::path::{Path, PathBuf};

use super::component_file::{CacheArgs, ComponentFile};
use super::dev::project::Project;
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use crate::error::with_sources;
use crate::kit::{Disturbance, Fixture, Kit, KitError, Report, Then};
use clap::Args;
use serde_json::json;

/// Partitions that events are shuffled among.
const SHUFFLED: u32 = 3;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins test plugin.wasm fixtures               each .json, .yaml and .yml file of a folder
  tidemill plugins test plugin.wasm fixtures/vip.json --twice --crash
  tidemill plugins test plugin.wasm fixtures --bless       write down what came as what must come
  tidemill plugins test plugin.wasm fixtures --junit report.xml
  tidemill plugins test plugins/upcasters lifted           upcasters: their folder, a component, or a file of rules

A fixture is a file of YAML or JSON:
  about: A second order makes a VIP.
  config: { vip_cents: 100 }
  given:
    state: { ada: 50 }
    events: []
  when:
    - { type: OrderPlaced, data: { customer: ada, cents: 60 } }
  then:
    state: { ada: 110 }
    appended:
      - { cause: 0, type: CustomerGotVip, data: { customer: ada }, metadata: { by: cents } }
    dispatched:
      - { cause: 0, aggregate: account, key: ada, type: Deposit, data: { cents: 5 } }
    dead_letters:
      - { event: 0, kind: reject, attempts: 1, reason: [words of it] }
    waits:
      - { event: 1, after_ms: 30000, reason: [words of it] }
    log:
      - { level: info, message: ada is a VIP }
    stopped: [words of the reason]
One of a component that decides commands is a life of its aggregate `1`:
  given: { events: [{ type: AccountOpened, data: { owner: ada } }] }
  when: [{ command: Deposit, data: { cents: 5 } }, { command: Withdraw, data: { cents: 9 } }]
  then:
    outcomes:
      - { events: [{ type: MoneyDeposited, data: { cents: 5 } }] }
      - { rejection: InsufficientFunds, details: { balance_cents: 5 }, reason: [only 5 cents] }
    state: { owner: ada, balance_cents: 5, closed: false }
An outcome may be an `error`, too: the fault. That of a command which is there twice, under one `id`, has
`repeated: true` the second time. --twice decides each command also by an aggregate that was made
of its snapshot, --crash by one that was made of its events. A validator is asked about each command, which says
its `aggregate`:
  when: [{ aggregate: account, command: Withdraw, data: { cents: 900 } }]
  then: { outcomes: [{ errors: [{ pointer: /cents, code: too-large, message: [words of it] }] }] }
What lifts events is one chain with the rules and components in upcasters/ of its project, which is the nearest
folder above it with a dev.toml. A fixture of it has in `then`:
  lifted: [{ event: 0, type: OrderPlaced, schema_version: 2, data: {} }]
  refused: [{ event: 1, reason: [words of it] }]
`config` and `given` may be missing. Of `then` at least one part must be there, and each that is there is
compared as a whole. The first event is of 2026-01-01T00:00:00Z, each later one of a second after the one
before it, unless it says its own `timestamp`; ids that are not given count up. Events are tried at most
twice; a wait that the plugin asks for passes at once on the fixture's clock and counts no attempt, three times
for each event. Of the metadata of what was appended, what is said is compared. `log` has the lines of calls that were handled, and of each attempt that failed; it is not compared
with --shuffle-partitions, and nor is `waits`.")]
pub(super) struct TestArgs {
    /// The component; of upcasters, a file of rules or a folder too
    component: PathBuf,
    /// Files of fixtures, or folders of them
    #[arg(required = true)]
    fixtures: Vec<PathBuf>,
    /// Its manifest; unless given, `plugin.toml` beside it, or the file of its name that ends in `.toml`
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Hand every batch over twice, and take back what the first call did
    #[arg(long)]
    twice: bool,
    /// Throw the instance away before every commit, and hand its events to a fresh one
    #[arg(long)]
    crash: bool,
    /// Share the events among three partitions by the manifest's key
    #[arg(long)]
    shuffle_partitions: bool,
    /// Write what came into the fixtures as what must come
    #[arg(long, conflicts_with_all = ["twice", "crash", "shuffle_partitions", "junit"])]
    bless: bool,
    /// Write a report in JUnit's format
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print one JSON object for each fixture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
}

/// A fixture, and what came of it; why not, where it was not run.
struct Ran {
    name: String,
    report: Result<Report, Unread>,
}

/// Why a fixture was not run.
struct Unread {
    exit: Exit,
    what: String,
}

/// Runs every fixture, and tells what came of each. One that cannot be run keeps no other from it.
pub(super) fn run(args: &TestArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let files =
        args.fixtures.iter().map(|place| Fixture::files(place)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let kit = kit(args)?;
    let mut all = Vec::new();
    for file in files.into_iter().flatten() {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let report =
            one(&kit, &file, args)?.map_err(|error| Unread { exit: error.class().into(), what: with_sources(&error) });
        let ran = Ran { name, report };
        tell(&ran, args, output)?;
        all.push(ran);
    }
    if let Some(file) = &args.junit {
        fs::write(file, junit::document(&all)).map_err(|error| unwritable(file, &error))?;
    }
    output.flush()?;
    verdict(&all, args)
}

/// Runs a fixture; one that is to be blessed may expect nothing yet.
fn one(kit: &Kit, file: &Path, args: &TestArgs) -> Result<Result<Report, KitError>, CliError> {
    let disturbance = Disturbance {
        twice: args.twice,
        crash: args.crash,
        partitions: if args.shuffle_partitions { SHUFFLED } else { 0 },
    };
    let parse = if args.bless { Fixture::parse_to_bless } else { Fixture::parse };
    let text = fs::read_to_string(file).map_err(|error| KitError::unreadable(file, &error));
    let read = text.and_then(|text| parse(file, &text).map(|fixture| (text, fixture)));
    let (text, mut fixture) = match read {
        Ok(read) => read,
        Err(error) => return Ok(Err(error)),
    };
    if args.bless && fixture.then == Then::default() {
        fixture.then = kit.unsaid();
    }
    let report = match kit.run(file, &fixture, disturbance) {
        Ok(report) => report,
        Err(error) => return Ok(Err(error)),
    };
    if args.bless && report.settled {
        if !report.passed() {
            fixture.then = fixture.then.mended(report.found.clone());
        }
        bless(file, &text, &fixture)?;
    }
    Ok(Ok(report))
}

/// What the command ends with: that a fixture was not run goes before that one failed.
fn verdict(all: &[Ran], args: &TestArgs) -> Result<(), CliError> {
    let fails = |report: &&Report| !(report.passed() || args.bless && report.settled);
    let failing = all.iter().filter_map(|ran| ran.report.as_ref().ok()).filter(fails).count();
    let unread: Vec<_> = all.iter().filter_map(|ran| ran.report.as_ref().err()).collect();
    let count = all.len();
    match (unread.as_slice(), failing) {
        ([], 0) => Ok(()),
        ([], _) => Err(CliError::new(Exit::Failure, format_args!("{failing} of {count} fixtures failed"))),
        ([only], 0) => Err(CliError::new(only.exit, &only.what)),
        ([first, ..], _) => {
            let what = format!("{} of {count} fixtures were not run, {failing} failed: {}", unread.len(), first.what);
            Err(CliError::new(first.exit, what))
        }
    }
}

/// What is tested: a component under its manifest, or what lifts events, which has none.
fn kit(args: &TestArgs) -> Result<Kit, CliError> {
    let engine = args.cache.engine()?;
    if args.component.is_dir() || args.component.extension().is_some_and(|ending| ending == "toml") {
        return Kit::upcasters(&args.component, &engine).map_err(failed);
    }
    let component = ComponentFile::read(&args.component, args.manifest.as_deref())?;
    let project = Project::around(&args.component);
    component.kit(project.as_deref(), engine).map_err(|error| component.refused(error))
}

/// Writes a fixture down, unless the file says the same already.
fn bless(file: &Path, text: &str, fixture: &Fixture) -> Result<(), CliError> {
    if Fixture::parse(file, text).is_ok_and(|written| written == *fixture) {
        return Ok(());
    }
    let text = fixture.blessed(file, text).map_err(failed)?;
    fs::write(file, text).map_err(|error| unwritable(file, &error))
}

fn failed(error: KitError) -> CliError {
    CliError::new(error.class().into(), with_sources(&error))
}

fn unwritable(file: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("{} cannot be written: {error}", file.display()))
}

fn tell(ran: &Ran, args: &TestArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let report = match &ran.report {
        Ok(report) if args.json => return output.json(report),
        Ok(report) => report,
        Err(unread) if args.json => return output.json(&json!({ "name": ran.name, "error": unread.what })),
        Err(unread) => {
            output.line(&format!("ERROR    {}", shown(&ran.name, 256)))?;
            return output.line(&format!("  {}", shown(&unread.what, usize::MAX)));
        }
    };
    let verdict = match (report.passed(), args.bless && report.settled) {
        (true, _) => "ok",
        (false, true) => "blessed",
        (false, false) => "FAILED",
    };
    // Rules have none.
    let peak = match report.memory_peak_bytes.div_ceil(1024) {
        0 => String::new(),
        peak => format!(", {peak} KiB"),
    };
    output.line(&format!("{verdict:<8} {}  {} us{peak}", shown(&report.name, 256), report.handler_us))?;
    for warning in &report.warnings {
        output.line(&format!("  warning: {}", shown(warning, usize::MAX)))?;
    }
    if report.passed() {
        return Ok(());
    }
    if !report.about.is_empty() {
        output.line(&format!("         {}", shown(&report.about, usize::MAX)))?;
    }
    lines(report).lines().try_for_each(|line| output.line(&format!("  {}", shown(line, usize::MAX))))
}

/// The differences, one after the other.
fn lines(report: &Report) -> String {
    report.differences.iter().map(|difference| format!("{difference}\n")).collect()
}
