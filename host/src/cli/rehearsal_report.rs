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
/// Longest reason in an error.
const REASON_CHARS_MAX: usize = 200;

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
    if let Some(stopped) = &report.stopped {
        field("stopped at", stopped.position, output)?;
    }
    cost("", &report.cost, output)?;
    failures(&report.failures, output)?;
    state(&report.state, "BUILT ANEW", output)
}

/// Why a state that was built anew is not the stored one, and what to do; none where it is the same. What failed goes
/// first: without it the rest says nothing of the state.
pub(super) fn fault(report: &VerifyStateReport) -> Option<(String, &'static str)> {
    let VerifyStateReport { failures, stopped, state, .. } = report;
    let failure = failures.first.first().filter(|_| stopped.is_some() || !report.same);
    if let Some(FailureView { position, kind, reason, .. }) = failure {
        let which = if failures.count > 1 { format!(", the first of {}", failures.count) } else { String::new() };
        let ended = stopped.as_ref().map_or_else(String::new, |stopped| {
            format!("; it ended after {} events, at {} of {}", report.events, stopped.position, report.to)
        });
        let differ = if report.same { String::new() } else { format!("; {} state keys differ", state.count) };
        let what =
            format!("event {position} failed{which}: {kind}: {}{ended}{differ}", shown(reason, REASON_CHARS_MAX));
        return Some((
            what,
            "mend what it failed of, in the version, its manifest or what it needs; then verify again",
        ));
    }
    let what = format!("{} state keys differ, first {}", state.count, first(report.first.as_ref()?));
    Some((what, "a plugin whose state depends on more than its events, or on a version before, cannot be verified"))
}

/// The first key that differs, in words.
fn first(first: &FirstDifference) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, PluginName};

    fn failure(position: u64) -> FailureView {
        FailureView {
            position: Position(position),
            event_type: EventType::new("E").unwrap(),
            kind: "trap".into(),
            reason: "unreachable".into(),
            attempts: 3,
            stderr_tail: String::new(),
            backtrace: String::new(),
        }
    }

    /// What a handler that failed so often, and stopped or not, leaves of state keys.
    fn report(failed: u64, stops: bool, differing: u64) -> VerifyStateReport {
        let differences = |_| StateDifference { key: "k/0".into(), live: Some("1".into()), rehearsed: None };
        let state = Differences { count: differing, first: (0..differing).map(differences).collect::<Vec<_>>() };
        let first = state.first.first().cloned();
        VerifyStateReport {
            plugin: PluginName::new("p").unwrap(),
            component_digest: "d".into(),
            from: Position(1001),
            to: Position(1040),
            events: 3,
            left_out: 0,
            keys: 7,
            same: differing == 0,
            first: first.map(|difference| FirstDifference { difference, written_at: None }),
            state,
            failures: Differences { count: failed, first: (0..failed).map(|n| failure(1001 + n)).collect() },
            stopped: stops.then(|| failure(1000 + failed)),
            cost: Cost::default(),
        }
    }

    #[test]
    fn what_failed_is_named_before_what_came_of_it() {
        let said = |failed, stops, differing| fault(&report(failed, stops, differing)).map(|(what, _)| what);
        let all = "event 1001 failed, the first of 3: trap: unreachable; it ended after 3 events, at 1003 of 1040; \
                   7 state keys differ";
        assert_eq!(said(3, true, 7).as_deref(), Some(all));
        let one = "event 1001 failed: trap: unreachable; 7 state keys differ";
        assert_eq!(said(1, false, 7).as_deref(), Some(one));
        let nothing_built = "event 1001 failed: trap: unreachable; it ended after 3 events, at 1001 of 1040";
        assert_eq!(said(1, true, 0).as_deref(), Some(nothing_built));
        let unexplained = "7 state keys differ, first \"k/0\", which no event writes: stored is 1, built anew is -";
        assert_eq!(said(0, false, 7).as_deref(), Some(unexplained));
        assert_eq!((said(0, false, 0), said(2, false, 0)), (None, None), "what failed has left no trace either time");
    }
}
