//! Reports of rehearsals for people.

use super::error::CliError;
use super::output::{Output, shown};
use super::table::Table;
use crate::delivery::Cost;
use crate::delivery::rehearsal::{
    Differences, EmissionView, FailureView, FirstDifference, OutcomeView, ReplayReport, StateDifference,
    VerifyStateReport,
};
use crate::event::Position;
use crate::plugin::CandidateReport;

/// Widest text in a column.
const CELL_CHARS_MAX: usize = 60;

/// What a replay showed.
pub(super) fn replay(report: &ReplayReport, output: &mut Output<'_>) -> Result<(), CliError> {
    range(report.from, report.to, report.events, output)?;
    removed(report.removed_before, output)?;
    for (outcome, count) in &report.outcomes {
        field(outcome, count, output)?;
    }
    for (event_type, count) in &report.emitted {
        field("would emit", format_args!("{count} {}", shown(event_type, CELL_CHARS_MAX)), output)?;
    }
    if let Some(stopped) = &report.stopped {
        field("stopped at", stopped.position, output)?;
    }
    cost("", &report.cost, output)?;
    failures(&report.failures, output)
}

/// How a candidate compares.
pub(super) fn candidate(report: &CandidateReport, output: &mut Output<'_>) -> Result<(), CliError> {
    let shadow = &report.shadow;
    field("live", &shadow.live_digest, output)?;
    field("candidate", &shadow.candidate_digest, output)?;
    range(shadow.from, shadow.to, shadow.events, output)?;
    removed(shadow.removed_before, output)?;
    if let Some(reach) = shadow.ends_before {
        field("not compared", format_args!("events up to {reach}, which the plugin has come past"), output)?;
    }
    field("verdict", if shadow.clean { "clean: nothing differs but the cost" } else { "it differs" }, output)?;
    field("outcomes", shadow.outcomes.count, output)?;
    field("emissions", shadow.emissions.count, output)?;
    field("state keys", shadow.state.count, output)?;
    cost("live ", &shadow.live_cost, output)?;
    cost("new ", &shadow.candidate_cost, output)?;
    if shadow.outcomes.count > 0 {
        let mut table = Table::new(["#POSITION", "LIVE", "CANDIDATE"]);
        for it in &shadow.outcomes.first {
            table.row([it.position.to_string(), outcome(&it.live), outcome(&it.candidate)]);
        }
        listed("outcomes", &shadow.outcomes, &table, output)?;
    }
    if shadow.emissions.count > 0 {
        let mut table = Table::new(["#POSITION", "#NTH", "LIVE", "CANDIDATE"]);
        for it in &shadow.emissions.first {
            let cells = [it.live.as_ref(), it.candidate.as_ref()].map(|event| event.map_or("-".into(), emission));
            let [live, candidate] = cells;
            table.row([it.position.to_string(), (it.index + 1).to_string(), live, candidate]);
        }
        listed("emissions", &shadow.emissions, &table, output)?;
    }
    state(&shadow.state, "CANDIDATE", output)
}

/// How a state that was built anew compares.
pub(super) fn verified(report: &VerifyStateReport, output: &mut Output<'_>) -> Result<(), CliError> {
    range(report.from, report.to, report.events, output)?;
    field("left out", report.left_out, output)?;
    field("state keys", report.keys, output)?;
    field("differing", report.state.count, output)?;
    cost("", &report.cost, output)?;
    failures(&report.failures, output)?;
    state(&report.state, "BUILT ANEW", output)
}

/// The first key that differs, in words.
pub(super) fn first(first: &FirstDifference) -> String {
    let StateDifference { key, live, rehearsed } = &first.difference;
    let written = match first.written_at {
        Some(position) => format!("last written at position {position}"),
        None => "which no event writes".into(),
    };
    format!(
        "{:?}, {written}: stored is {}, built anew is {}",
        shown(key, CELL_CHARS_MAX),
        value(live),
        value(rehearsed)
    )
}

fn field(name: &str, value: impl std::fmt::Display, output: &mut Output<'_>) -> Result<(), CliError> {
    output.line(&format!("{name:<16} {value}"))
}

fn range(from: Position, to: Position, events: u64, output: &mut Output<'_>) -> Result<(), CliError> {
    field("range", format_args!("{from} to {to}"), output)?;
    field("events", events, output)
}

/// What of the range is gone, if something is.
fn removed(before: Option<Position>, output: &mut Output<'_>) -> Result<(), CliError> {
    before.map_or(Ok(()), |before| field("removed", format_args!("by retention, before {before}"), output))
}

fn cost(whose: &str, cost: &Cost, output: &mut Output<'_>) -> Result<(), CliError> {
    let Cost { batches, attempts, handler_us, usage, .. } = *cost;
    let (tenths, memory) = (handler_us / 100, usage.memory_peak_bytes.div_ceil(1024));
    let fuel = cost.fuel_per_event().map_or_else(String::new, |fuel| format!("; {fuel} fuel per event"));
    let text = format!(
        "{}.{} ms in {attempts} calls, {} of them failed; {memory} KiB of memory{fuel}",
        tenths / 10,
        tenths % 10,
        attempts.saturating_sub(batches)
    );
    field(&format!("{whose}cost"), text, output)
}

fn failures(failures: &Differences<FailureView>, output: &mut Output<'_>) -> Result<(), CliError> {
    if failures.count == 0 {
        return Ok(());
    }
    let mut table = Table::new(["#POSITION", "TYPE", "KIND", "#ATTEMPTS", "REASON"]);
    for it in &failures.first {
        let (event_type, reason) = (shown(it.event_type.as_str(), CELL_CHARS_MAX), shown(&it.reason, CELL_CHARS_MAX));
        table.row([it.position.to_string(), event_type, shown(&it.kind, 32), it.attempts.to_string(), reason]);
    }
    listed("failures", failures, &table, output)
}

fn state(
    differences: &Differences<StateDifference>,
    other: &'static str,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    if differences.count == 0 {
        return Ok(());
    }
    let mut table = Table::new(["KEY", "LIVE", other]);
    for it in &differences.first {
        table.row([shown(&it.key, CELL_CHARS_MAX), value(&it.live), value(&it.rehearsed)]);
    }
    listed("state keys", differences, &table, output)
}

/// A list under its name; says so when there is more than it holds.
fn listed<T, const N: usize>(
    what: &str,
    all: &Differences<T>,
    table: &Table<N>,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    output.line("")?;
    if all.count > all.first.len() as u64 {
        output.line(&format!("the first {} of {} {what}", all.first.len(), all.count))?;
    }
    table.print(output)
}

fn outcome(view: &OutcomeView) -> String {
    let words = [Some(&view.outcome), view.kind.as_ref(), view.reason.as_ref()];
    shown(
        &words.into_iter().flatten().map(|word| word.replace('_', " ")).collect::<Vec<_>>().join(": "),
        CELL_CHARS_MAX,
    )
}

fn emission(event: &EmissionView) -> String {
    let stream = event.stream.as_ref().map(|stream| format!(" on {stream}")).unwrap_or_default();
    let tags = if event.tags.is_empty() { String::new() } else { format!(" {:?}", event.tags) };
    shown(&format!("{}{stream}{tags} {}", event.event_type, event.data), CELL_CHARS_MAX)
}

/// A value of the state; `-` when there is none.
fn value(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "-".into(), |value| shown(value, CELL_CHARS_MAX))
}
