//! What `tidemill dev` prints: lines for people, or an object a line.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::build::Built;
use super::feed::Feed;
use super::project::Project;
use super::session::{Loaded, Ran};
use crate::cli::color;
use crate::cli::error::CliError;
use crate::cli::output::{Output, complain, shown, talk};
use crate::kit::{Call, Dead, Report};

/// Characters of a value that are shown on a terminal.
const VALUE_CHARS: usize = 160;

/// What came of all feeds of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) feeds: usize,
    pub(super) failed: usize,
    pub(super) events: usize,
    /// Calls of the plugin, in which events were handed over one by one.
    pub(super) calls: usize,
    pub(super) us: u64,
    pub(super) memory_peak_bytes: usize,
}

impl Tally {
    pub(super) fn verdict(&self) -> String {
        format!("{} of {} failed", self.failed, self.feeds)
    }
}

/// Where it is printed.
pub(super) struct Show<'o, 'w> {
    output: &'o mut Output<'w>,
    json: bool,
    coloured: bool,
}

/// How a word is meant.
#[derive(Clone, Copy)]
enum Mood {
    Good,
    Bad,
    Odd,
}

impl<'o, 'w> Show<'o, 'w> {
    pub(super) fn new(output: &'o mut Output<'w>, json: bool) -> Self {
        Self { output, json, coloured: color::on_stdout() }
    }

    pub(super) fn building(&mut self, project: &Project) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        self.output.heading(&format!("building: {}", project.build))?;
        self.output.flush()
    }

    pub(super) fn built(&mut self, project: &Project, built: &Built) -> Result<(), CliError> {
        let good = built.status.success();
        if self.json {
            let Built { said, took, .. } = built;
            let line = json!({
                "step": "build", "ok": good, "command": project.build, "ms": took.as_millis() as u64, "output": said
            });
            return self.line(&line);
        }
        if good {
            return self.output.line(&format!("built in {}", time(built.took)));
        }
        // Its own words, on the stream of words.
        self.output.flush()?;
        talk(&built.said);
        Ok(())
    }

    pub(super) fn loaded(&mut self, project: &Project, loaded: &Loaded) -> Result<(), CliError> {
        let Loaded { kit, bytes, ms, .. } = loaded;
        let description = kit.description().cloned().unwrap_or_default();
        let types = kit.filter().map(|filter| filter.types.iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>());
        if self.json {
            let line = json!({
                "step": "load", "component": project.component.display().to_string(), "bytes": bytes, "ms": ms,
                "name": description.name, "version": description.version, "types": types,
            });
            return self.line(&line);
        }
        let who = match description.name.as_str() {
            "" => "it does not describe itself".into(),
            name => format!("{} {}", shown(name, 64), shown(&description.version, 32)),
        };
        let role = match types {
            None => kit.title().to_owned(),
            Some(types) if types.is_empty() => "listens to every type of event".into(),
            Some(types) => format!("listens to {}", types.join(", ")),
        };
        let size = size(*bytes);
        self.output.line(&format!("loaded {}, {size}, in {ms} ms: {who}; {role}", project.component.display()))
    }

    /// Tells of each call, and of what came of all.
    pub(super) fn feed(&mut self, feed: &Feed, ran: &Ran, tally: &mut Tally) -> Result<(), CliError> {
        let Ran { traced, batched } = ran;
        let report = ran.report();
        let passed = report.passed() && ran.set_aside() == 0;
        tally.feeds += 1;
        tally.failed += usize::from(!passed);
        tally.events += feed.fixture.when.len();
        tally.calls += traced.calls.len();
        tally.us += traced.calls.iter().map(|call| call.us).sum::<u64>();
        tally.memory_peak_bytes = tally.memory_peak_bytes.max(traced.report.memory_peak_bytes);
        if self.json {
            for call in unseen(feed, &traced.calls) {
                self.line(
                    &json!({ "step": "call", "of": report.name, "positions": positions(feed, call), "call": call }),
                )?;
            }
            let line = json!({
                "step": "feed", "from": feed.from.display().to_string(), "passed": passed, "expects": batched.is_some(),
                "set_aside": ran.set_aside(), "report": report,
            });
            return self.line(&line);
        }
        let about =
            if report.about.is_empty() { String::new() } else { format!(": {}", shown(&report.about, usize::MAX)) };
        self.output.heading(&format!("\n{}{about}", feed.from.display()))?;
        unseen(feed, &traced.calls).try_for_each(|call| self.call(feed, call))?;
        untried(feed, &traced.report).try_for_each(|dead| self.untried(feed, dead))?;
        self.verdict(feed, ran, passed)
    }

    fn call(&mut self, feed: &Feed, call: &Call) -> Result<(), CliError> {
        for (index, event) in call.events.iter().enumerate() {
            let number = feed.positions.get(event.index).copied().unwrap_or(event.index as u64);
            let what = [event.event_type.as_str(), event.stream.as_deref().unwrap_or_default()].join(" ");
            let mood = match call.outcome {
                "handled" | "accepted" | "lifted" => Mood::Good,
                "retry" | "reject" | "rejected" | "refused" | "repeated" => Mood::Odd,
                _ => Mood::Bad,
            };
            let outcome = self.painted(&format!("{:<13}", call.outcome), mood);
            let cost = if index == 0 { cost(call) } else { String::new() };
            self.output.line(format!("{number:>8}  {:<40}  {outcome} {cost}", shown(&what, 128)).trim_end())?;
        }
        if let Some(reason) = &call.reason {
            let how = if call.waited { "passed here at once" } else { "not waited for here" };
            let wait = call.retry_after_ms.map(|ms| format!(" (again in {ms} ms, which is {how})"));
            self.detail("because", &format!("{reason}{}", wait.unwrap_or_default()))?;
            for (name, text) in [("backtrace", &call.backtrace), ("last words", &call.last_words)] {
                text.lines().try_for_each(|line| self.detail(name, line))?;
            }
            return Ok(());
        }
        for event in &call.appended {
            let stream = event.stream.iter().map(|stream| format!(" {stream}")).collect::<String>();
            let tags = event.tags.iter().map(|tag| format!(" #{tag}")).collect::<String>();
            let metadata = event.metadata.iter().map(|(key, value)| format!(" {key}={value}")).collect::<String>();
            self.detail("appended", &format!("{}{stream}{tags} {}{metadata}", event.event_type, event.data))?;
        }
        for sent in &call.dispatched {
            let to = format!("{} {} {}", sent.aggregate, sent.key, sent.command_type);
            self.detail("dispatched", &format!("{to} {}", sent.data))?;
        }
        for (key, value) in &call.state {
            match value {
                Some(value) => self.detail("stored", &format!("{key} = {value}"))?,
                None => self.detail("deleted", key)?,
            }
        }
        call.log.iter().try_for_each(|line| self.detail("logged", &format!("{}: {}", line.level, line.message)))
    }

    /// Tells of an event that was set aside without a call.
    fn untried(&mut self, feed: &Feed, dead: &Dead) -> Result<(), CliError> {
        let number = feed.positions.get(dead.event).copied().unwrap_or(dead.event as u64);
        let event = feed.fixture.when.get(dead.event);
        let field = |name| event.and_then(|event| event.get(name)?.as_str()).unwrap_or_default();
        let what = [field("type"), field("stream")].join(" ");
        let outcome = self.painted(&format!("{:<13}", dead.kind), Mood::Odd);
        self.output.line(format!("{number:>8}  {:<40}  {outcome}", shown(&what, 128)).trim_end())?;
        dead.reason.iter().try_for_each(|reason| self.detail("because", reason))
    }

    fn detail(&mut self, name: &str, text: &str) -> Result<(), CliError> {
        let chars_max = if self.output.is_terminal() { VALUE_CHARS } else { usize::MAX };
        self.output.line(&format!("          {name:<10} {}", shown(text, chars_max)))
    }

    fn verdict(&mut self, feed: &Feed, ran: &Ran, passed: bool) -> Result<(), CliError> {
        let Ran { traced, batched } = ran;
        let count = feed.fixture.when.len();
        let what = match (batched, ran.set_aside()) {
            (Some(_), _) if passed => "passed".to_owned(),
            (Some(_), _) => "FAILED".to_owned(),
            (None, 0) => format!("{count} events"),
            (None, aside) => format!("{count} events, of which {aside} were set aside"),
        };
        let verdict = self.painted(&what, if passed { Mood::Good } else { Mood::Bad });
        self.output.line(&format!("  {verdict}"))?;
        for warning in &ran.report().warnings {
            self.output.line(&format!("    {}", shown(warning, usize::MAX)))?;
        }
        self.differences(ran.report())?;
        if batched.as_ref().is_some_and(Report::passed) && !traced.report.passed() {
            self.output.line("  it passes in batches, as a server hands events over; one by one it does otherwise:")?;
            self.differences(&traced.report)?;
        }
        Ok(())
    }

    fn differences(&mut self, report: &Report) -> Result<(), CliError> {
        let lines: Vec<_> = report.differences.iter().map(ToString::to_string).collect();
        lines.iter().flat_map(|text| text.lines()).try_for_each(|line| {
            let line = shown(line, usize::MAX);
            let line = match line.trim_start().chars().next() {
                Some('-') => self.painted(&line, Mood::Bad),
                Some('+') => self.painted(&line, Mood::Good),
                _ => line,
            };
            self.output.line(&format!("    {line}"))
        })
    }

    pub(super) fn done(&mut self, tally: &Tally) -> Result<(), CliError> {
        let Tally { feeds, failed, events, calls, us, memory_peak_bytes } = tally;
        if self.json {
            let line = json!({
                "step": "done", "feeds": feeds, "failed": failed, "events": events, "calls": calls, "handler_us": us,
                "memory_peak_bytes": memory_peak_bytes,
            });
            return self.line(&line);
        }
        let each = Duration::from_micros(us / (*calls).max(1) as u64);
        let memory = match memory_peak_bytes {
            0 => String::new(),
            peak => format!("; {} of memory at most", size(*peak)),
        };
        self.output.line(&format!("\n{events} events, {calls} calls, {} each{memory}", time(each)))?;
        self.output.flush()
    }

    /// Tells of a run that did not come to its end, or failed; the next one may do better.
    pub(super) fn ran(&mut self, ran: Result<(), CliError>) -> Result<(), CliError> {
        ran.or_else(|error| self.error(&error))
    }

    /// Tells of an error and goes on, unless nobody listens.
    pub(super) fn error(&mut self, error: &CliError) -> Result<(), CliError> {
        let CliError::Failed { what, hint, .. } = error else { return Err(error.clone()) };
        if self.json {
            return self.line(&json!({ "step": "error", "what": what, "hint": hint }));
        }
        self.output.flush()?;
        complain(what, hint.as_deref());
        Ok(())
    }

    pub(super) fn watching(&mut self, folder: &Path) -> Result<(), CliError> {
        self.output.flush()?;
        if !self.json {
            talk(&format!("watching {}; Ctrl-C ends\n", folder.display()));
        }
        Ok(())
    }

    fn line(&mut self, value: &serde_json::Value) -> Result<(), CliError> {
        self.output.json(value)?;
        self.output.flush()
    }

    fn painted(&self, text: &str, mood: Mood) -> String {
        let code = match mood {
            Mood::Good => 32,
            Mood::Bad => 31,
            Mood::Odd => 33,
        };
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }
}

/// The calls that were not shown before.
fn unseen<'a>(feed: &Feed, calls: &'a [Call]) -> impl Iterator<Item = &'a Call> {
    let shown = feed.shown;
    calls.iter().filter(move |call| call.events.iter().any(|event| event.index >= shown))
}

/// The events that were set aside without a call, and have not been told of before.
fn untried<'a>(feed: &Feed, report: &'a Report) -> impl Iterator<Item = &'a Dead> {
    let shown = feed.shown;
    report.found.dead_letters.iter().flatten().filter(move |dead| dead.attempts == 0 && dead.event >= shown)
}

/// Where the events of a call stand in a server's log.
fn positions(feed: &Feed, call: &Call) -> Vec<Option<u64>> {
    call.events.iter().map(|event| feed.positions.get(event.index).copied()).collect()
}

/// What a call took: time, fuel and memory, as far as they are known.
fn cost(call: &Call) -> String {
    let mut cost = format!("{:>9}", time(Duration::from_micros(call.us)));
    // Of what decides, checks or lifts no fuel is known.
    if call.fuel > 0 {
        cost += &format!("  {:>10} fuel", call.fuel);
    }
    if call.memory_bytes > 0 {
        cost += &format!("  {:>9}", size(call.memory_bytes));
    }
    cost
}

fn time(time: Duration) -> String {
    match time.as_micros() {
        us @ 0..1_000 => format!("{us} us"),
        us @ 1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        us => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        bytes => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units_that_fit() {
        assert_eq!(time(Duration::from_micros(45)), "45 us");
        assert_eq!(time(Duration::from_micros(1_250)), "1.2 ms");
        assert_eq!(time(Duration::from_secs(75)), "75.0 s");
        assert_eq!((size(1), size(3 << 20)), ("1 KiB".into(), "3.0 MiB".into()));
    }
}
